//! Forms, as clients send them that speak OAuth. The first byte names the route, everything after it is the body, in which
//! `{token}` stands for a refresh token that is good.

use axum::http::{Request, header};
use serde_json::Value;

use crate::Made;
use crate::world::{World, wait};

const TOKEN: &[u8] = b"{token}";

pub(crate) fn read(data: &[u8]) -> Made {
    let Some((route, body)) = data.split_first() else { return Made::Nothing };
    let path = match route {
        b't' => "/oauth/token",
        b'r' => "/oauth/revoke",
        b'i' => "/oauth/introspect",
        _ => return Made::Nothing,
    };
    let has_token = body.windows(TOKEN.len()).any(|window| window == TOKEN);
    let answer = wait(async {
        let world = World::new().await;
        let body = with(body, world.refresh_token.as_bytes());
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        world.answer(request.body(body.into()).expect("a request")).await
    });
    answer.is_in_order(true);
    if !answer.status.is_success() {
        return Made::Nothing;
    }
    assert_ne!(path, "/oauth/introspect", "nobody is known here who may ask");
    if path == "/oauth/token" {
        let tokens: Value = serde_json::from_slice(&answer.body).expect("tokens are JSON");
        assert!(has_token && tokens["access_token"].is_string(), "tokens without a token");
    }
    Made::Something
}

/// The body with the token in its place.
fn with(body: &[u8], token: &[u8]) -> Vec<u8> {
    let mut made = Vec::with_capacity(body.len() + token.len());
    let mut rest = body;
    while let Some(at) = rest.windows(TOKEN.len()).position(|window| window == TOKEN) {
        made.extend_from_slice(&rest[..at]);
        made.extend_from_slice(token);
        rest = &rest[at + TOKEN.len()..];
    }
    made.extend_from_slice(rest);
    made
}
