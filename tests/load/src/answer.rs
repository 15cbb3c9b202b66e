//! Whether an answer is right. A fast wrong answer is no answer.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use regrant_adapters::outbound::jwt::JwtAccessTokens;
use regrant_adapters::outbound::system::system_now;
use regrant_domain::ids::SessionId;
use regrant_domain::ports::AccessTokens as _;
use serde::Deserialize;

use crate::connection::Answer;
use crate::flat;

/// Of so many access tokens, the signature of one is checked: a check costs more than everything else here.
const SAMPLED: u64 = 64;

/// What is wrong with an answer: one of a few texts, so that they can be counted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub(crate) enum Wrong {
    #[error("status {0}")]
    Status(u16),
    #[error("{0}")]
    Connection(String),
    #[error("the body is not the JSON that was expected")]
    Body,
    #[error("the new refresh token belongs to another session")]
    Session,
    #[error("the new refresh token is not of the next generation")]
    Generation,
    #[error("the access token is not accepted or not of this session")]
    AccessToken,
}

/// Session and generation that the label of a refresh token names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) session: SessionId,
    pub(crate) generation: u32,
}

impl Label {
    /// Of a token of the labelled format: key id (1), session (16), generation (4), tag.
    pub(crate) fn of(token: &str) -> Option<Self> {
        let mut label = [0; 37];
        let len = URL_SAFE_NO_PAD.decode_slice(token.split_once('.')?.1, &mut label).ok()?;
        (len == label.len()).then(|| Self {
            session: SessionId::from_bytes(std::array::from_fn(|i| label[1 + i])),
            generation: u32::from_be_bytes(std::array::from_fn(|i| label[17 + i])),
        })
    }
}

/// The tokens of a sign-in or a refresh.
#[derive(Debug, Deserialize)]
pub(crate) struct Tokens<'a> {
    pub(crate) token: &'a str,
    pub(crate) refresh_token: &'a str,
}

/// Whoever asks for the profile gets their own.
#[derive(Debug, Deserialize)]
struct Profile<'a> {
    id: &'a str,
}

/// Checks answers.
pub(crate) struct Checks {
    /// Checks access tokens; `None`: without the key, their signature is left alone.
    access: Option<JwtAccessTokens>,
    seen: u64,
}

impl Checks {
    pub(crate) fn new(access: Option<JwtAccessTokens>) -> Self {
        Self { access, seen: 0 }
    }

    /// The tokens of a sign-in.
    pub(crate) fn signed_in<'a>(&mut self, answer: Answer<'a>) -> Result<Tokens<'a>, Wrong> {
        let tokens = tokens(answer)?;
        let label = Label::of(tokens.refresh_token).ok_or(Wrong::Body)?;
        if label.generation != 0 {
            return Err(Wrong::Generation);
        }
        self.access(tokens.token, label.session)?;
        Ok(tokens)
    }

    /// The successor of `spent`.
    pub(crate) fn refreshed<'a>(&mut self, spent: &str, answer: Answer<'a>) -> Result<Tokens<'a>, Wrong> {
        let tokens = tokens(answer)?;
        let before = Label::of(spent).ok_or(Wrong::Body)?;
        let after = Label::of(tokens.refresh_token).ok_or(Wrong::Body)?;
        if after.session != before.session {
            return Err(Wrong::Session);
        }
        if after.generation != before.generation + 1 {
            return Err(Wrong::Generation);
        }
        self.access(tokens.token, after.session)?;
        Ok(tokens)
    }

    fn access(&mut self, token: &str, session: SessionId) -> Result<(), Wrong> {
        self.seen += 1;
        let Some(access) = self.access.as_ref().filter(|_| self.seen % SAMPLED == 1) else {
            return if token.is_empty() { Err(Wrong::AccessToken) } else { Ok(()) };
        };
        let claims = access.verify(token, system_now()).map_err(|_| Wrong::AccessToken)?;
        if claims.session == session { Ok(()) } else { Err(Wrong::AccessToken) }
    }
}

/// Whether it is 200 and says whose it is.
pub(crate) fn profile(answer: Answer<'_>) -> Result<(), Wrong> {
    let profile: Profile<'_> = json(answer)?;
    if profile.id.len() == 36 { Ok(()) } else { Err(Wrong::Body) }
}

/// Whether it is 200 and says that the access token is of this session.
pub(crate) fn verified(answer: Answer<'_>, session: SessionId) -> Result<(), Wrong> {
    if answer.status != 200 {
        return Err(Wrong::Status(answer.status));
    }
    let named = answer.header("x-auth-session").and_then(|id| str::from_utf8(id).ok()?.parse::<SessionId>().ok());
    if named == Some(session) { Ok(()) } else { Err(Wrong::AccessToken) }
}

/// Whether it is 200 with a body.
pub(crate) fn anything(answer: Answer<'_>) -> Result<(), Wrong> {
    match answer {
        Answer { status: 200, body, .. } if !body.is_empty() => Ok(()),
        Answer { status: 200, .. } => Err(Wrong::Body),
        Answer { status, .. } => Err(Wrong::Status(status)),
    }
}

fn tokens(answer: Answer<'_>) -> Result<Tokens<'_>, Wrong> {
    match flat_tokens(answer.body) {
        Some(tokens) if answer.status == 200 => Ok(tokens),
        _ => json(answer),
    }
}

/// `None`: they are not there, or not just once, or not as the service writes them.
fn flat_tokens(body: &[u8]) -> Option<Tokens<'_>> {
    let (mut token, mut refresh_token, mut twice) = (None, None, false);
    flat::members(body, |name, value| match name {
        "token" => twice |= token.replace(value).is_some(),
        "refresh_token" => twice |= refresh_token.replace(value).is_some(),
        _ => {}
    })?;
    if twice { None } else { Some(Tokens { token: token?, refresh_token: refresh_token? }) }
}

fn json<'a, T: Deserialize<'a>>(answer: Answer<'a>) -> Result<T, Wrong> {
    if answer.status != 200 {
        return Err(Wrong::Status(answer.status));
    }
    serde_json::from_slice(answer.body).map_err(|_| Wrong::Body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(session: u8, generation: u32) -> String {
        let mut label = vec![1];
        label.extend([session; 16]);
        label.extend(generation.to_be_bytes());
        label.extend([0; 16]);
        format!("{}.{}", "ab".repeat(32), URL_SAFE_NO_PAD.encode(label))
    }

    fn body(access: &str, refresh: &str) -> String {
        format!(r#"{{"token":"{access}","refresh_token":"{refresh}","token_type":"Bearer","expires_in":3600}}"#)
    }

    fn check(status: u16, body: &str) -> Result<(), Wrong> {
        let answer = Answer { status, head: b"", body: body.as_bytes() };
        Checks::new(None).refreshed(&token(1, 4), answer).map(drop)
    }

    #[test]
    fn only_the_next_generation_of_the_same_session_is_right() {
        assert_eq!(check(200, &body("a", &token(1, 5))), Ok(()));
        assert_eq!(check(200, &body("a", &token(2, 5))), Err(Wrong::Session));
        assert_eq!(check(200, &body("a", &token(1, 4))), Err(Wrong::Generation));
        assert_eq!(check(200, &body("a", &token(1, 6))), Err(Wrong::Generation));
        assert_eq!(check(200, &body("", &token(1, 5))), Err(Wrong::AccessToken));
        assert_eq!(check(200, &body("a", "ab.cd")), Err(Wrong::Body));
        assert_eq!(check(200, r#"{"token":"a"}"#), Err(Wrong::Body));
        assert_eq!(check(503, &body("a", &token(1, 5))), Err(Wrong::Status(503)));
        assert_eq!(check(503, "x"), Err(Wrong::Status(503)));
    }

    #[test]
    fn tokens_are_found_however_their_json_is_written_and_never_twice() {
        let (plain, next) = (body("a", &token(1, 5)), token(1, 5));
        assert!(flat_tokens(plain.as_bytes()).is_some());
        let spaced = plain.replace(':', ": ");
        assert!(flat_tokens(spaced.as_bytes()).is_none());
        assert_eq!(check(200, &spaced), Ok(()));
        for wrong in [
            format!(r#"{{"token":"a","refresh_token":"{next}","token":"b"}}"#),
            format!(r#"{{"token":"a","refresh_token":"{next}","refresh_token":"{next}"}}"#),
            format!(r#"{{"token":["a"],"refresh_token":"{next}"}}"#),
        ] {
            assert_eq!(check(200, &wrong), Err(Wrong::Body), "{wrong}");
        }
    }

    #[test]
    fn a_verified_token_is_of_the_session_that_asked() {
        let session = |byte: u8| SessionId::from_bytes([byte; 16]);
        let head = format!("HTTP/1.1 200 OK\r\nx-auth-session: {}\r\n\r\n", session(1));
        let answer = Answer { status: 200, head: head.as_bytes(), body: b"" };
        assert_eq!(verified(answer, session(1)), Ok(()));
        assert_eq!(verified(answer, session(2)), Err(Wrong::AccessToken));
        assert_eq!(
            verified(Answer { head: b"HTTP/1.1 200 OK\r\n\r\n", ..answer }, session(1)),
            Err(Wrong::AccessToken)
        );
        assert_eq!(verified(Answer { status: 401, ..answer }, session(1)), Err(Wrong::Status(401)));
    }

    #[test]
    fn a_profile_names_its_user() {
        let answer = |body: &'static str| Answer { status: 200, head: b"", body: body.as_bytes() };
        assert_eq!(profile(answer(r#"{"id":"0198c2f1-5d3a-7c11-9a51-2f6b1c0d9e10","email":"a@b"}"#)), Ok(()));
        assert_eq!(profile(answer(r#"{"id":""}"#)), Err(Wrong::Body));
        assert_eq!(profile(answer("")), Err(Wrong::Body));
        assert_eq!(anything(answer("")), Err(Wrong::Body));
        assert_eq!(anything(answer("x")), Ok(()));
    }
}
