//! Exactly 64 lower-case hex characters, and nothing else.

use std::sync::Arc;

use regrant_domain::ports::{NotAuthentic, PortError, TokenCodec, TokenFacts};
use regrant_domain::refresh_token::{LookupKey, Presented, RefreshToken};
use regrant_domain::secret::{Secret, TokenText};
use regrant_domain::token_key::TokenKeyRing;

use super::{HEX_LEN, push_secret, read_secret};

/// The static format: the secret alone. It carries no session and no proof; it is found by its hash, and it does not
/// rotate.
#[derive(Debug)]
pub struct BareCodec {
    ring: Arc<TokenKeyRing>,
}

impl BareCodec {
    /// A codec. The ring is only handed on: these tokens are not signed.
    pub const fn new(ring: Arc<TokenKeyRing>) -> Self {
        Self { ring }
    }
}

impl TokenCodec for BareCodec {
    fn secret_len(&self) -> usize {
        Secret::LEN
    }

    fn encode(&self, token: &RefreshToken, _: &TokenFacts) -> Result<TokenText, PortError> {
        let mut text = String::with_capacity(HEX_LEN);
        push_secret(&mut text, &token.secret)?;
        Ok(TokenText::new(text))
    }

    fn decode(&self, text: &str) -> Result<Presented, NotAuthentic> {
        let hex: &[u8; HEX_LEN] = text.as_bytes().try_into().map_err(|_| NotAuthentic)?;
        read_secret(hex).map(Presented::Bare)
    }

    fn lookup(&self, token: &RefreshToken) -> LookupKey {
        LookupKey::of_secret(&token.secret.hash())
    }

    fn ring(&self) -> Arc<TokenKeyRing> {
        Arc::clone(&self.ring)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{FACTS, Noise, ring, token};
    use super::*;

    fn text(codec: &BareCodec, token: &RefreshToken) -> String {
        codec.encode(token, &FACTS).expect("a secret of 32 bytes").expose().to_owned()
    }

    #[test]
    fn what_it_encodes_it_decodes_and_finds_under_the_same_key() {
        let codec = BareCodec::new(ring(1, &[]));
        let made = token(1, 0xab);
        let text = text(&codec, &made);
        assert_eq!(text, "ab".repeat(32));
        let read = codec.decode(&text).expect("well formed");
        assert_eq!(read.lookup(), codec.lookup(&made));
        assert!(matches!(read, Presented::Bare(secret) if secret.expose() == made.secret.expose()));
    }

    #[test]
    fn anything_but_sixty_four_lower_case_hex_characters_is_refused() {
        let codec = BareCodec::new(ring(1, &[]));
        let good = text(&codec, &token(1, 0xab));
        let mut forged = vec![
            String::new(),
            good.to_uppercase(),
            good.replacen('a', "A", 1),
            good.replacen('a', "g", 1),
            format!("{good}\n"),
            format!(" {}", &good[1..]),
            format!("{good}00"),
            format!("{good}.AQ"),
            format!("{}é", &good[..62]),
        ];
        forged.extend((0..good.len()).map(|len| good[..len].to_owned()));
        for text in forged {
            assert_eq!(codec.decode(&text).err(), Some(NotAuthentic), "{text:?}");
        }
    }

    #[test]
    fn a_secret_of_another_length_cannot_be_written() {
        let codec = BareCodec::new(ring(1, &[]));
        let short = RefreshToken { secret: Secret::new(vec![1; 31]), ..token(1, 5) };
        assert!(matches!(codec.encode(&short, &FACTS), Err(PortError::Corrupt { .. })));
    }

    #[test]
    fn no_text_makes_it_panic() {
        let codec = BareCodec::new(ring(1, &[]));
        let mut noise = Noise(11);
        for _ in 0..20_000 {
            let len = [0, 1, 63, 64, 64, 65, 200][noise.below(7)];
            let bytes: Vec<u8> = (0..len).map(|_| u8::try_from(noise.below(256)).expect("a byte")).collect();
            assert!(codec.decode(&String::from_utf8_lossy(&bytes)).is_err());
        }
    }
}
