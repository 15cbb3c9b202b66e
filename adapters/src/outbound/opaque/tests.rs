use std::sync::Arc;

use regrant_domain::access_token::{AccessGrant, AccessRefusal, AccessSecret, Proof};
use regrant_domain::ids::{AccessTokenId, SessionId, UserId};
use regrant_domain::ports::{AccessTokens as _, TokenCodec as _, TokenFacts};
use regrant_domain::refresh_token::{Generation, Held, Lifetime, Presented, RefreshToken};
use regrant_domain::time::Timestamp;

use super::*;

const USER: UserId = UserId::from_bytes([9; 16]);
const SESSION: SessionId = SessionId::from_bytes([7; 16]);
const EXPIRES_AT: Timestamp = Timestamp::from_millis(1_795_249_800_007);
const FACTS: TokenFacts = TokenFacts { user: USER, expires_at: EXPIRES_AT };

fn ring(current: u8, earlier: &[u8]) -> Arc<TokenKeyRing> {
    let key = |id: u8| TokenKey::new(TokenKeyId(id), &[id; TokenKey::LEN]);
    Arc::new(TokenKeyRing::new(key(current), earlier.iter().copied().map(key).collect()).expect("ids differ"))
}

fn refresh_token(key: u8, lifetime: Lifetime) -> RefreshToken {
    RefreshToken {
        session: SESSION,
        generation: Generation(258),
        secret: Secret::new((0..155).collect()),
        lifetime,
        key: TokenKeyId(key),
        expires_at: None,
    }
}

fn refresh_text(codec: &OpaqueCodec, token: &RefreshToken) -> String {
    codec.encode(token, &FACTS).expect("its key is in the ring").expose().to_owned()
}

fn grant(fill: u8) -> AccessGrant {
    let secret = Secret::new(vec![fill; OpaqueAccessTokens::SECRET_LEN]);
    AccessGrant {
        id: AccessTokenId::from_bytes([3; 16]),
        user: USER,
        session: SESSION,
        issued_at: Timestamp::from_millis(0),
        expires_at: EXPIRES_AT,
        email: None,
        kept: Some(AccessSecret { generation: Generation(4), secret, key: TokenKeyId(1) }),
    }
}

fn access_text(tokens: &OpaqueAccessTokens, fill: u8) -> String {
    tokens.issue(&grant(fill)).expect("its key is in the ring").text.expose().to_owned()
}

fn before(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.millis() - 1)
}

#[test]
fn both_are_exactly_256_url_safe_characters() {
    let (codec, tokens) = (OpaqueCodec::new(ring(1, &[])), OpaqueAccessTokens::new(ring(1, &[])));
    assert_eq!(codec.secret_len(), 155);
    for text in [refresh_text(&codec, &refresh_token(1, Lifetime::Usual)), access_text(&tokens, 255)] {
        assert_eq!(text.len(), 256);
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)), "{text}");
    }
}

#[test]
fn a_refresh_token_comes_back_equal_and_the_same_token_has_the_same_text() {
    let codec = OpaqueCodec::new(ring(1, &[]));
    for lifetime in [Lifetime::Usual, Lifetime::Remembered] {
        let made = refresh_token(1, lifetime);
        let text = refresh_text(&codec, &made);
        assert_eq!(text, refresh_text(&codec, &made));
        let Ok(Presented::Chained(read)) = codec.decode(&text) else { panic!("it is ours") };
        assert_eq!(read.secret.expose(), made.secret.expose());
        assert_eq!((read.session, read.generation, read.key), (made.session, made.generation, made.key));
        assert_eq!(read.lifetime, lifetime);
    }
}

#[test]
fn an_access_token_says_whose_it_is_until_the_millisecond_of_its_expiry() {
    let tokens = OpaqueAccessTokens::new(ring(1, &[]));
    let text = access_text(&tokens, 5);
    let claims = tokens.verify(&text, before(EXPIRES_AT)).expect("good");
    assert_eq!((claims.user, claims.session, claims.expires_at), (USER, SESSION, EXPIRES_AT));
    let hash = Secret::new(vec![5; OpaqueAccessTokens::SECRET_LEN]).hash();
    assert_eq!(claims.proof, Proof::Kept(Held { generation: Generation(4), hash }));
    assert_eq!(tokens.verify(&text, EXPIRES_AT), Err(AccessRefusal::Expired));
}

#[test]
fn neither_is_taken_for_the_other() {
    let (codec, tokens) = (OpaqueCodec::new(ring(1, &[])), OpaqueAccessTokens::new(ring(1, &[])));
    assert!(codec.decode(&access_text(&tokens, 5)).is_err());
    let refresh = refresh_text(&codec, &refresh_token(1, Lifetime::Usual));
    assert_eq!(tokens.verify(&refresh, before(EXPIRES_AT)), Err(AccessRefusal::NotAuthentic));
}

#[test]
fn no_character_can_be_replaced_by_any_other() {
    let (codec, tokens) = (OpaqueCodec::new(ring(1, &[2])), OpaqueAccessTokens::new(ring(1, &[2])));
    let (refresh, access) = (refresh_text(&codec, &refresh_token(1, Lifetime::Usual)), access_text(&tokens, 5));
    for at in 0..TEXT_LEN {
        for other in 0..=u8::MAX {
            let forged = |good: &str| {
                let mut bytes = good.to_owned().into_bytes();
                let differs = std::mem::replace(&mut bytes[at], other) != other;
                differs.then(|| String::from_utf8_lossy(&bytes).into_owned())
            };
            if let Some(forged) = forged(&refresh) {
                assert!(codec.decode(&forged).is_err(), "character {at} as {other:#x}");
            }
            if let Some(forged) = forged(&access) {
                assert_eq!(tokens.verify(&forged, before(EXPIRES_AT)), Err(AccessRefusal::NotAuthentic), "{at}");
            }
        }
    }
}

#[test]
fn other_lengths_and_other_texts_are_refused() {
    let (codec, tokens) = (OpaqueCodec::new(ring(1, &[])), OpaqueAccessTokens::new(ring(1, &[])));
    let good = refresh_text(&codec, &refresh_token(1, Lifetime::Usual));
    for text in ["", "x", &good[1..], &format!("{good}A"), &format!("{good}="), &"ü".repeat(128), &"A".repeat(256)] {
        assert!(codec.decode(text).is_err(), "{text:?}");
        assert_eq!(tokens.verify(text, EXPIRES_AT), Err(AccessRefusal::NotAuthentic), "{text:?}");
    }
}

#[test]
fn tokens_of_an_earlier_key_are_accepted_and_those_of_a_key_that_is_gone_are_not() {
    let old = refresh_text(&OpaqueCodec::new(ring(1, &[])), &refresh_token(1, Lifetime::Usual));
    assert!(OpaqueCodec::new(ring(2, &[1])).decode(&old).is_ok());
    assert!(OpaqueCodec::new(ring(2, &[])).decode(&old).is_err());
    let old = access_text(&OpaqueAccessTokens::new(ring(1, &[])), 5);
    assert!(OpaqueAccessTokens::new(ring(2, &[1])).verify(&old, before(EXPIRES_AT)).is_ok());
    assert!(OpaqueAccessTokens::new(ring(2, &[])).verify(&old, before(EXPIRES_AT)).is_err());
}

#[test]
fn a_secret_of_another_format_is_an_error_that_says_so() {
    let short = RefreshToken { secret: Secret::new(vec![1; 32]), ..refresh_token(1, Lifetime::Usual) };
    assert!(OpaqueCodec::new(ring(1, &[])).encode(&short, &FACTS).is_err());
    assert!(OpaqueAccessTokens::new(ring(1, &[])).issue(&AccessGrant { kept: None, ..grant(1) }).is_err());
}
