//! Bodies of requests. The first byte names the route, everything after it is the body.

use axum::http::{Method, Request, header};
use serde_json::Value;

use crate::Made;
use crate::world::{World, wait};

/// A route that takes a body, or is to refuse one.
struct Route {
    method: Method,
    path: &'static str,
    /// The fields that it cannot do without; none where it takes no body.
    fields: &'static [&'static str],
}

pub(crate) fn read(data: &[u8]) -> Made {
    let Some((route, body)) = data.split_first() else { return Made::Nothing };
    let Some(route) = route_of(*route) else { return Made::Nothing };
    let answer = wait(async {
        let world = World::new().await;
        let token = if route.fields.is_empty() { &world.refresh_token } else { &world.access_token };
        let request = Request::builder()
            .method(route.method.clone())
            .uri(route.path)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {token}"));
        world.answer(request.body(body.to_vec().into()).expect("a request")).await
    });
    answer.is_in_order(true);
    if !answer.status.is_success() {
        return Made::Nothing;
    }
    if route.fields.is_empty() {
        assert!(matches!(body.trim_ascii(), b"" | b"{}" | b"null"), "a body was passed over");
        return Made::Something;
    }
    let body: Value = serde_json::from_slice(body).expect("what is taken is JSON");
    for field in route.fields {
        assert!(body[*field].is_string(), "{field} was not needed");
    }
    Made::Something
}

fn route_of(byte: u8) -> Option<Route> {
    let (method, path, fields): (_, _, &[&str]) = match byte {
        b'u' => (Method::POST, "/api/users", &["email", "password"]),
        b'l' => (Method::POST, "/api/login", &["email", "password"]),
        b'p' => (Method::PUT, "/api/me/password", &["current_password", "new_password"]),
        b'd' => (Method::DELETE, "/api/me", &["password"]),
        b'r' => (Method::POST, "/api/refresh", &[]),
        b'v' => (Method::POST, "/api/revoke", &[]),
        _ => return None,
    };
    Some(Route { method, path, fields })
}
