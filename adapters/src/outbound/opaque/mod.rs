//! Tokens of exactly 256 URL-safe characters that say nothing to whoever reads them: access and refresh tokens alike.
//!
//! Deliberately absent: stores, the clock and randomness. 256 characters of base64url (RFC 4648 §5) are 192 bytes:
//!
//! `key id (1) | what it names (20 or 44) | secret (155 or 131) | tag (16)`
//!
//! The tag is HMAC-SHA256 under the token key, cut to 128 bits, over the purpose and everything before the tag. So text
//! that was not issued here is refused before a store is asked, and an access token is never taken for a refresh token,
//! or the other way round. Each token has exactly one text.

mod access;
mod refresh;

pub use access::OpaqueAccessTokens;
pub use refresh::OpaqueCodec;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use regrant_domain::ports::NotAuthentic;
use regrant_domain::secret::{Secret, TokenText};
use regrant_domain::token_key::{TokenKey, TokenKeyId, TokenKeyRing};
use zeroize::Zeroizing;

/// Characters of a token.
const TEXT_LEN: usize = 256;
/// Bytes of a token.
const LEN: usize = TEXT_LEN / 4 * 3;

/// What a token is for; part of what its tag covers.
#[derive(Debug, Clone, Copy)]
struct Purpose(&'static [u8]);

/// Bytes of the secret of a token that names so many bytes.
const fn secret_len(named: usize) -> usize {
    LEN - 1 - named - TokenKey::TAG_LEN
}

/// The text of a token; `None` if the secret has another length than it must have.
fn seal<const NAMED: usize>(
    key: &TokenKey,
    purpose: Purpose,
    named: &[u8; NAMED],
    secret: &Secret,
) -> Option<TokenText> {
    if secret.expose().len() != secret_len(NAMED) {
        return None;
    }
    let mut bytes = Zeroizing::new([0; LEN]);
    bytes[0] = key.id().0;
    bytes[1..=NAMED].copy_from_slice(named);
    let (sealed, tag) = bytes.split_at_mut(LEN - TokenKey::TAG_LEN);
    sealed[1 + NAMED..].copy_from_slice(secret.expose());
    tag.copy_from_slice(&key.tag(&[purpose.0, sealed]));
    // All of it at once: a string that grows leaves copies of the secret behind.
    let mut text = String::with_capacity(TEXT_LEN);
    URL_SAFE_NO_PAD.encode_string(bytes.as_slice(), &mut text);
    Some(TokenText::new(text))
}

/// What [`seal`] was given, once the tag proves it.
struct Opened<const NAMED: usize> {
    key: TokenKeyId,
    named: [u8; NAMED],
    secret: Secret,
}

fn open<const NAMED: usize>(ring: &TokenKeyRing, purpose: Purpose, text: &str) -> Result<Opened<NAMED>, NotAuthentic> {
    if text.len() != TEXT_LEN {
        return Err(NotAuthentic);
    }
    let mut bytes = Zeroizing::new([0; LEN]);
    URL_SAFE_NO_PAD.decode_slice(text, &mut *bytes).map_err(|_| NotAuthentic)?;
    let (sealed, tag) = bytes.split_last_chunk::<{ TokenKey::TAG_LEN }>().ok_or(NotAuthentic)?;
    let key = ring.get(TokenKeyId(sealed[0])).ok_or(NotAuthentic)?;
    if !key.tag_matches(&[purpose.0, sealed], tag) {
        return Err(NotAuthentic);
    }
    let (named, secret) = sealed[1..].split_first_chunk::<NAMED>().ok_or(NotAuthentic)?;
    Ok(Opened { key: key.id(), named: *named, secret: Secret::new(secret.to_vec()) })
}

#[cfg(test)]
mod tests;
