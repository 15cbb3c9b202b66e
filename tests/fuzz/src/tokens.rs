//! The token formats that are not JWTs: labelled, bare, opaque.

use regrant_adapters::outbound::opaque::{OpaqueAccessTokens, OpaqueCodec};
use regrant_adapters::outbound::token_codec::{BareCodec, LabelledCodec};
use regrant_domain::access_token::{AccessGrant, AccessRefusal, AccessSecret};
use regrant_domain::ids::{AccessTokenId, SessionId, UserId};
use regrant_domain::ports::{AccessTokens as _, TokenCodec, TokenFacts};
use regrant_domain::refresh_token::{Generation, Lifetime, Presented, RefreshToken};
use regrant_domain::secret::Secret;
use regrant_domain::time::Timestamp;
use regrant_domain::token_key::TokenKeyId;

use crate::{Made, keys};

pub(crate) const FACTS: TokenFacts =
    TokenFacts { user: UserId::from_bytes([9; 16]), expires_at: Timestamp::from_millis(1_795_249_800_000) };

pub(crate) fn labelled(data: &[u8]) -> Made {
    let codec = LabelledCodec::new(keys::ours());
    makes_whole_tokens(&codec, data);
    has_one_text(&codec, &LabelledCodec::new(keys::nobodys()), data)
}

pub(crate) fn opaque_refresh(data: &[u8]) -> Made {
    let codec = OpaqueCodec::new(keys::ours());
    makes_whole_tokens(&codec, data);
    has_one_text(&codec, &OpaqueCodec::new(keys::nobodys()), data)
}

/// Bare tokens carry no proof: what can be promised is their form.
pub(crate) fn bare(data: &[u8]) -> Made {
    let codec = BareCodec::new(keys::ours());
    let Ok(text) = str::from_utf8(data) else { return Made::Nothing };
    let is_one = text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let Ok(presented) = codec.decode(text) else {
        assert!(!is_one, "a token was refused");
        return Made::Nothing;
    };
    assert!(is_one, "something else was accepted");
    let Presented::Bare(secret) = &presented else { panic!("a bare token carries nothing") };
    let token = a_token(Secret::new(secret.expose().to_vec()), data);
    assert_eq!(codec.lookup(&token), presented.lookup());
    assert_eq!(codec.encode(&token, &FACTS).expect("32 bytes").expose(), text);
    Made::Something
}

pub(crate) fn opaque_access(data: &[u8]) -> Made {
    let tokens = OpaqueAccessTokens::new(keys::ours());
    let start = Timestamp::from_millis(0);
    let grant = a_grant(data);
    let made = tokens.issue(&grant).expect("its secret is long enough");
    let claims = tokens.verify(made.text.expose(), start);
    let expired = grant.expires_at.millis() <= 0;
    assert_eq!(claims.is_err(), expired, "what we make we accept, until it expires");

    let Ok(text) = str::from_utf8(data) else { return Made::Nothing };
    let forged = OpaqueAccessTokens::new(keys::nobodys()).verify(text, start);
    assert_eq!(forged, Err(AccessRefusal::NotAuthentic), "a forgery was accepted");
    // Text of the one purpose is no text of the other.
    let verdict = tokens.verify(text, start);
    let as_refresh = OpaqueCodec::new(keys::ours()).decode(text);
    assert!(as_refresh.is_err() || verdict == Err(AccessRefusal::NotAuthentic));
    let Ok(claims) = verdict else { return Made::Nothing };
    assert!(claims.proof.kept().is_some() && text.len() == 256);
    assert_eq!(tokens.verify(text, claims.expires_at), Err(AccessRefusal::Expired));
    Made::Something
}

/// Whatever is accepted is, made again, the same text; and nothing is accepted without the keys that made it.
fn has_one_text(codec: &dyn TokenCodec, strange: &dyn TokenCodec, data: &[u8]) -> Made {
    let Ok(text) = str::from_utf8(data) else { return Made::Nothing };
    assert!(strange.decode(text).is_err(), "a forgery was accepted");
    let Ok(presented) = codec.decode(text) else { return Made::Nothing };
    let Presented::Chained(token) = &presented else { panic!("it carries its session") };
    assert_eq!(codec.encode(token, &FACTS).expect("its key is ours").expose(), text, "a token has two texts");
    assert_eq!(codec.lookup(token), presented.lookup());
    Made::Something
}

/// Any token that can be made is read as it was made.
fn makes_whole_tokens(codec: &dyn TokenCodec, data: &[u8]) {
    let secret = data.iter().copied().chain([0x5a].into_iter().cycle()).take(codec.secret_len()).collect();
    let made = a_token(Secret::new(secret), data);
    let text = codec.encode(&made, &FACTS).expect("its secret has the right length");
    let Ok(Presented::Chained(read)) = codec.decode(text.expose()) else { panic!("our own token was refused") };
    assert_eq!(read.secret.expose(), made.secret.expose());
    assert_eq!((read.session, read.key, read.lifetime), (made.session, made.key, made.lifetime));
    assert_eq!(read.generation, made.generation);
}

fn a_token(secret: Secret, data: &[u8]) -> RefreshToken {
    let [a, b, c, d, flags] = bytes(data, 16);
    RefreshToken {
        session: SessionId::from_bytes(bytes(data, 0)),
        generation: Generation(u32::from_be_bytes([a, b, c, d]).min(Generation::LAST.0)),
        secret,
        lifetime: if flags & 1 == 0 { Lifetime::Usual } else { Lifetime::Remembered },
        key: TokenKeyId(if flags & 2 == 0 { 1 } else { 2 }),
        expires_at: None,
    }
}

fn a_grant(data: &[u8]) -> AccessGrant {
    let [a, b, c, d, flags] = bytes(data, 16);
    AccessGrant {
        id: AccessTokenId::from_bytes([3; 16]),
        user: UserId::from_bytes(bytes(data, 21)),
        session: SessionId::from_bytes(bytes(data, 0)),
        issued_at: Timestamp::from_millis(0),
        expires_at: Timestamp::from_millis(i64::from_be_bytes(bytes(data, 37)).clamp(0, Timestamp::MAX.millis())),
        email: None,
        kept: Some(AccessSecret {
            generation: Generation(u32::from_be_bytes([a, b, c, d])),
            secret: Secret::new(
                data.iter().copied().cycle().chain([1; 131]).take(OpaqueAccessTokens::SECRET_LEN).collect(),
            ),
            key: TokenKeyId(if flags & 2 == 0 { 1 } else { 2 }),
        }),
    }
}

/// Some of the bytes, and zeros where there are no more.
fn bytes<const N: usize>(data: &[u8], from: usize) -> [u8; N] {
    std::array::from_fn(|i| data.get(from + i).copied().unwrap_or(0))
}
