//! Refresh tokens to text and back.
//!
//! Deliberately absent: stores, the clock and randomness. A codec proves that this deployment issued a text; whether
//! the token is still good is decided elsewhere. Nothing here depends on a secret in its branches but the final,
//! constant-time comparison.
//!
//! One file a format: [labelled](LabelledCodec) and [bare](BareCodec). Formats that go with an access token of the same
//! kind live beside it, in `opaque` and `jwt`.

mod bare;
mod labelled;

pub use bare::BareCodec;
pub use labelled::LabelledCodec;

use regrant_domain::ports::{NotAuthentic, PortError};
use regrant_domain::secret::Secret;
use zeroize::Zeroizing;

/// Characters of a secret in hex.
const HEX_LEN: usize = 2 * Secret::LEN;

/// Writes a secret of [`Secret::LEN`] bytes as lower-case hex.
fn push_secret(text: &mut String, secret: &Secret) -> Result<(), PortError> {
    let mut hex = Zeroizing::new([0; HEX_LEN]);
    hex::encode_to_slice(secret.expose(), &mut *hex).map_err(|error| PortError::corrupt("refresh token", error))?;
    text.extend(hex.iter().copied().map(char::from));
    Ok(())
}

/// Reads exactly what [`push_secret`] writes: one text for each secret, so upper case is not accepted.
fn read_secret(hex: &[u8]) -> Result<Secret, NotAuthentic> {
    if !hex.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(NotAuthentic);
    }
    let mut secret = vec![0; Secret::LEN];
    hex::decode_to_slice(hex, &mut secret).map_err(|_| NotAuthentic)?;
    Ok(Secret::new(secret))
}

#[cfg(test)]
mod testing {
    use std::sync::Arc;

    use regrant_domain::ids::{SessionId, UserId};
    use regrant_domain::ports::TokenFacts;
    use regrant_domain::refresh_token::{Generation, Lifetime, RefreshToken};
    use regrant_domain::secret::Secret;
    use regrant_domain::time::Timestamp;
    use regrant_domain::token_key::{TokenKey, TokenKeyId, TokenKeyRing};

    pub(super) const FACTS: TokenFacts =
        TokenFacts { user: UserId::from_bytes([9; 16]), expires_at: Timestamp::from_millis(1_795_249_800_007) };

    pub(super) fn key(id: u8) -> TokenKey {
        TokenKey::new(TokenKeyId(id), &[id; TokenKey::LEN])
    }

    pub(super) fn ring(current: u8, earlier: &[u8]) -> Arc<TokenKeyRing> {
        Arc::new(TokenKeyRing::new(key(current), earlier.iter().copied().map(key).collect()).expect("ids differ"))
    }

    pub(super) fn token(key: u8, fill: u8) -> RefreshToken {
        RefreshToken {
            session: SessionId::from_bytes(std::array::from_fn(|i| fill.wrapping_add(u8::try_from(i).expect("small")))),
            generation: Generation(0x0102_0304),
            secret: Secret::new(vec![fill; Secret::LEN]),
            lifetime: if fill.is_multiple_of(2) { Lifetime::Usual } else { Lifetime::Remembered },
            key: TokenKeyId(key),
            expires_at: None,
        }
    }

    /// Numbers that look random and are the same in every run (xorshift64*).
    pub(super) struct Noise(pub(super) u64);

    impl Noise {
        pub(super) fn below(&mut self, end: usize) -> usize {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            usize::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).expect("31 bits") % end
        }
    }
}
