//! `<secret>.<label>`: 64 hex characters, a dot, and 50 characters of base64url that say whose secret it is and prove it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use regrant_domain::ids::SessionId;
use regrant_domain::ports::{NotAuthentic, PortError, TokenCodec, TokenFacts};
use regrant_domain::refresh_token::{Lifetime, LookupKey, Presented, RefreshToken};
use regrant_domain::secret::{Secret, TokenText};
use regrant_domain::token_key::{TokenKey, TokenKeyId, TokenKeyRing};

use super::{HEX_LEN, push_secret, read_secret};

/// Bytes of a label before its tag: key id (1), session id (16), generation and lifetime (4).
const NAMED_LEN: usize = 1 + 16 + 4;
/// Bytes of a label.
const LABEL_LEN: usize = NAMED_LEN + TokenKey::TAG_LEN;
/// Characters of a label in base64url without padding (RFC 4648 §5).
const LABEL_CHARS: usize = (LABEL_LEN * 4).div_ceil(3);
/// Characters of a token.
const TEXT_LEN: usize = HEX_LEN + 1 + LABEL_CHARS;

/// The default format: a random secret in hex, a dot, and a label.
///
/// The label is base64url (RFC 4648 §5, no padding) of `key id (1) | session id (16) | generation (4) | tag (16)`, where
/// the highest bit of the generation says "remembered", and the tag is HMAC-SHA256 under the token key, cut to 128 bits, over everything before it and the secret. Each token has
/// exactly one text: another spelling of the same bytes is refused.
#[derive(Debug)]
pub struct LabelledCodec {
    ring: Arc<TokenKeyRing>,
}

impl LabelledCodec {
    /// A codec that signs with, and accepts, the keys of this ring.
    pub const fn new(ring: Arc<TokenKeyRing>) -> Self {
        Self { ring }
    }
}

impl TokenCodec for LabelledCodec {
    fn secret_len(&self) -> usize {
        Secret::LEN
    }

    fn encode(&self, token: &RefreshToken, _: &TokenFacts) -> Result<TokenText, PortError> {
        let key = self.ring.get(token.key).ok_or_else(|| {
            PortError::corrupt("token key ring", format!("token key {} is no longer in the key ring", token.key.0))
        })?;
        let mut label = [0; LABEL_LEN];
        label[0] = token.key.0;
        label[1..17].copy_from_slice(token.session.as_bytes());
        label[17..NAMED_LEN].copy_from_slice(&token.lifetime.with_generation(token.generation));
        let tag = key.tag(&[&label[..NAMED_LEN], token.secret.expose()]);
        label[NAMED_LEN..].copy_from_slice(&tag);

        // All of it at once: a string that grows leaves copies of the secret behind.
        let mut text = String::with_capacity(TEXT_LEN);
        push_secret(&mut text, &token.secret)?;
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(label, &mut text);
        Ok(TokenText::new(text))
    }

    fn decode(&self, text: &str) -> Result<Presented, NotAuthentic> {
        let text: &[u8; TEXT_LEN] = text.as_bytes().try_into().map_err(|_| NotAuthentic)?;
        let (hex, rest) = text.split_at(HEX_LEN);
        let label_text = rest.strip_prefix(b".").ok_or(NotAuthentic)?;
        let mut label = [0; LABEL_LEN];
        // This alphabet's decoder refuses padding and bits that are not used, so a label has one spelling.
        let len = URL_SAFE_NO_PAD.decode_slice(label_text, &mut label).map_err(|_| NotAuthentic)?;
        if len != LABEL_LEN {
            return Err(NotAuthentic);
        }
        let secret = read_secret(hex)?;
        let (named, tag) = label.split_first_chunk::<NAMED_LEN>().ok_or(NotAuthentic)?;
        let tag: &[u8; TokenKey::TAG_LEN] = tag.try_into().map_err(|_| NotAuthentic)?;
        let key = self.ring.get(TokenKeyId(named[0])).ok_or(NotAuthentic)?;
        if !key.tag_matches(&[named, secret.expose()], tag) {
            return Err(NotAuthentic);
        }
        let session = SessionId::from_bytes(std::array::from_fn(|i| named[1 + i]));
        let (lifetime, generation) = Lifetime::and_generation(std::array::from_fn(|i| named[17 + i]));
        let (key, expires_at) = (key.id(), None);
        Ok(Presented::Chained(RefreshToken { session, generation, secret, lifetime, key, expires_at }))
    }

    fn lookup(&self, token: &RefreshToken) -> LookupKey {
        LookupKey::of_session(token.session)
    }

    fn ring(&self) -> Arc<TokenKeyRing> {
        Arc::clone(&self.ring)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{FACTS, Noise, key, ring, token};
    use super::*;

    fn text(codec: &LabelledCodec, token: &RefreshToken) -> String {
        codec.encode(token, &FACTS).expect("its key is in the ring").expose().to_owned()
    }

    fn chained(presented: Presented) -> RefreshToken {
        match presented {
            Presented::Chained(token) => token,
            Presented::Bare(_) => panic!("a labelled token carries its session"),
        }
    }

    #[test]
    fn what_it_encodes_it_decodes_to_the_same_token() {
        let codec = LabelledCodec::new(ring(1, &[]));
        for fill in 0..=255 {
            let made = token(1, fill);
            let read = chained(codec.decode(&text(&codec, &made)).expect("authentic"));
            assert_eq!(read.secret.expose(), made.secret.expose());
            assert_eq!((read.session, read.generation, read.key), (made.session, made.generation, made.key));
            assert_eq!(read.lifetime, made.lifetime);
            assert_eq!(codec.lookup(&read), LookupKey::of_session(made.session));
        }
    }

    #[test]
    fn the_text_is_sixty_four_hex_characters_a_dot_and_the_label_of_the_design() {
        let codec = LabelledCodec::new(ring(1, &[]));
        // The helper's tokens of an odd fill are those of people who are remembered: the highest bit of the generation.
        for (fill, first_of_generation) in [(0xaa, 1), (0xab, 0x81)] {
            let text = text(&codec, &token(1, fill));
            assert_eq!(text.len(), 115);
            let (secret, label) = text.split_once('.').expect("a dot");
            assert_eq!(secret, format!("{fill:x}").repeat(32));
            let label = URL_SAFE_NO_PAD.decode(label).expect("base64url");
            let mut named = vec![1];
            named.extend((0..16).map(|i| fill + i));
            named.extend([first_of_generation, 2, 3, 4]);
            assert_eq!(label[..21], named);
            assert_eq!(label[21..], key(1).tag(&[&named, &[fill; 32]]));
        }
    }

    #[test]
    fn the_same_token_is_encoded_to_the_same_text() {
        let codec = LabelledCodec::new(ring(1, &[]));
        assert_eq!(text(&codec, &token(1, 5)), text(&codec, &token(1, 5)));
        assert_ne!(text(&codec, &token(1, 5)), text(&codec, &token(1, 6)));
    }

    #[test]
    fn no_byte_can_be_replaced_by_any_other() {
        let codec = LabelledCodec::new(ring(1, &[2]));
        let good = text(&codec, &token(1, 5));
        for at in 0..good.len() {
            for other in 0..=u8::MAX {
                let mut bytes = good.clone().into_bytes();
                if std::mem::replace(&mut bytes[at], other) == other {
                    continue;
                }
                // Bytes that are no text cannot reach a codec; as the nearest text, they are refused too.
                let forged = String::from_utf8_lossy(&bytes);
                assert!(codec.decode(&forged).is_err(), "byte {at} as {other:#x}");
            }
        }
    }

    #[test]
    fn no_bit_of_the_label_or_secret_can_be_changed() {
        let codec = LabelledCodec::new(ring(1, &[0, 2, 3, 5, 9, 17, 33, 65, 129]));
        let good = text(&codec, &token(1, 5));
        let (secret, label) = good.split_once('.').expect("a dot");
        let label = URL_SAFE_NO_PAD.decode(label).expect("base64url");
        for bit in 0..label.len() * 8 {
            let mut label = label.clone();
            label[bit / 8] ^= 1 << (bit % 8);
            let forged = format!("{secret}.{}", URL_SAFE_NO_PAD.encode(label));
            assert_eq!(codec.decode(&forged).err(), Some(NotAuthentic), "bit {bit} of the label");
        }
        for bit in 0..256 {
            let mut secret = hex::decode(secret).expect("hex");
            secret[bit / 8] ^= 1 << (bit % 8);
            let forged = format!("{}{}", hex::encode(secret), &good[64..]);
            assert_eq!(codec.decode(&forged).err(), Some(NotAuthentic), "bit {bit} of the secret");
        }
    }

    #[test]
    fn another_spelling_of_the_same_bytes_is_refused() {
        let codec = LabelledCodec::new(ring(1, &[]));
        let good = text(&codec, &token(1, 0xab));
        let last = good.len() - 1;
        let mut forged = vec![
            good.to_uppercase(),
            good.replacen('a', "A", 1),
            format!(" {good}"),
            format!("{good}\n"),
            format!("{good}=="),
            format!("{good}A"),
            format!("{good}AAAA"),
            format!("0{good}"),
            good.replacen('.', "..", 1),
            good.replace('.', ""),
            good.replace('.', "\u{b7}"),
            format!("{}é", &good[..last - 1]),
        ];
        // The last character carries four bits that no byte uses.
        forged.extend(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/="
                .chars()
                .filter(|c| !good.ends_with(*c))
                .map(|c| format!("{}{c}", &good[..last])),
        );
        forged.extend((0..good.len()).map(|len| good[..len].to_owned()));
        for text in forged {
            assert_eq!(codec.decode(&text).err(), Some(NotAuthentic), "{text:?}");
        }
    }

    #[test]
    fn a_token_of_an_earlier_key_is_accepted_and_of_an_unknown_key_is_not() {
        let before = LabelledCodec::new(ring(1, &[]));
        let old = text(&before, &token(1, 5));
        assert_eq!(chained(LabelledCodec::new(ring(2, &[1])).decode(&old).expect("earlier key")).key, TokenKeyId(1));
        assert!(LabelledCodec::new(ring(2, &[])).decode(&old).is_err());
        let namesake = TokenKeyRing::new(TokenKey::new(TokenKeyId(1), &[77; 32]), vec![]).expect("one key");
        assert!(LabelledCodec::new(Arc::new(namesake)).decode(&old).is_err(), "the id alone proves nothing");
    }

    #[test]
    fn a_token_whose_key_left_the_ring_cannot_be_written() {
        let codec = LabelledCodec::new(ring(2, &[]));
        assert!(matches!(codec.encode(&token(1, 5), &FACTS), Err(PortError::Corrupt { .. })));
        let long = RefreshToken { secret: Secret::new(vec![1; 33]), ..token(2, 5) };
        assert!(matches!(codec.encode(&long, &FACTS), Err(PortError::Corrupt { .. })));
    }

    #[test]
    fn parts_of_two_tokens_do_not_make_a_third() {
        let codec = LabelledCodec::new(ring(1, &[]));
        let (a, b) = (text(&codec, &token(1, 5)), text(&codec, &token(1, 6)));
        assert!(codec.decode(&format!("{}{}", &a[..64], &b[64..])).is_err());
    }

    #[test]
    fn no_text_makes_it_panic() {
        let codec = LabelledCodec::new(ring(1, &[]));
        let good = text(&codec, &token(1, 5));
        let mut noise = Noise(7);
        for _ in 0..20_000 {
            let len = [0, 1, 64, 65, 114, 115, 115, 115, 116, 300][noise.below(10)];
            let bytes: Vec<u8> = (0..len).map(|_| u8::try_from(noise.below(256)).expect("a byte")).collect();
            assert!(codec.decode(&String::from_utf8_lossy(&bytes)).is_err());
            let mut mixed: Vec<char> = good.chars().collect();
            for _ in 0..=noise.below(4) {
                let at = noise.below(mixed.len());
                mixed[at] = ['0', 'g', '.', '_', '=', '\0', 'ü', '𝄞'][noise.below(8)];
            }
            let mixed: String = mixed.into_iter().collect();
            assert_eq!(codec.decode(&mixed).is_ok(), mixed == good);
        }
    }
}
