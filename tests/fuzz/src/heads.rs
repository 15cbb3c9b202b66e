//! Heads of requests: method, target, and headers, the Bearer token among them.
//!
//! The first line is `GET /api/me?query`, and each further line a header. What a server loop would already have refused
//! is passed over.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, Request, Uri, header};

use crate::Made;
use crate::world::{World, wait};

pub(crate) fn read(data: &[u8]) -> Made {
    let Some(request) = request(data) else { return Made::Nothing };
    let is_head = request.method() == Method::HEAD;
    let wants_proof = request.uri().path().starts_with("/api/");
    let sent: Vec<_> = request.headers().get_all(header::AUTHORIZATION).iter().cloned().collect();
    let (answer, world) = wait(async {
        let world = World::new().await;
        (world.answer(request).await, world)
    });
    answer.is_in_order(!is_head);
    if !(wants_proof && answer.status.is_success()) {
        return Made::Nothing;
    }
    // All these routes need a token, and a head has nowhere else to prove anything.
    let [only] = sent.as_slice() else { panic!("let in with {} Authorization headers", sent.len()) };
    let token = only.as_bytes().trim_ascii_end();
    assert!(
        token.ends_with(world.access_token.as_bytes()) || token.ends_with(world.refresh_token.as_bytes()),
        "let in without a token of ours"
    );
    Made::Something
}

fn request(data: &[u8]) -> Option<Request<Body>> {
    let mut lines = data.split(|byte| *byte == b'\n');
    let mut first = lines.next()?.splitn(2, |byte| *byte == b' ');
    let method = Method::from_bytes(first.next()?).ok()?;
    let uri = Uri::try_from(first.next()?).ok()?;
    let mut request = Request::builder().method(method).uri(uri);
    for line in lines {
        let at = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..at]).ok()?;
        request = request.header(name, HeaderValue::from_bytes(line[at + 1..].trim_ascii_start()).ok()?);
    }
    request.body(Body::empty()).ok()
}
