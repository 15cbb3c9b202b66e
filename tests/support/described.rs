//! Every answer that a test gets is compared with `/openapi.json`: what is not described there must not happen.

use axum::http::{Method, StatusCode, header};
use regrant_adapters::inbound::http::document;
use serde_json::Value;

use super::transport::Answer;

/// Panics where the document does not describe this answer. Paths that it does not have are none of its business.
#[track_caller]
pub(crate) fn check(method: &Method, path: &str, answer: &Answer) {
    let path = path.split('?').next().unwrap_or_default();
    let Some(item) = item(path) else { return };
    // A HEAD is a GET without the body, and one route takes any method.
    let as_get = method == Method::HEAD || (path == "/api/verify" && method != Method::OPTIONS);
    let asked = if as_get { "get".to_owned() } else { method.as_str().to_ascii_lowercase() };
    let Some(operation) = item.get(&asked) else {
        let known = [StatusCode::METHOD_NOT_ALLOWED, StatusCode::SERVICE_UNAVAILABLE, StatusCode::OK];
        let preflight = method == Method::OPTIONS;
        assert!(
            preflight || known[..2].contains(&answer.status),
            "{method} {path} is not described: {}",
            answer.status
        );
        return;
    };
    let status = answer.status.as_str();
    let described = operation["responses"].get(status);
    let described =
        described.unwrap_or_else(|| panic!("{method} {path}: {status} is not described ({:?})", answer.text()));
    for name in answer.headers.keys().filter(|name| !is_of_http(name.as_str())) {
        let mut described = described["headers"].as_object().into_iter().flatten();
        let told = described.any(|(told, _)| told.eq_ignore_ascii_case(name.as_str()));
        assert!(told, "{method} {path}: {status} has {name}, which is not described");
    }
    if answer.body.is_empty() {
        return; // no body, or the answer to a HEAD
    }
    let problem = &described["content"]["application/problem+json"]["schema"]["properties"]["code"]["enum"];
    let is_problem = answer.headers.get(header::CONTENT_TYPE).is_some_and(|is| is == "application/problem+json");
    let errors = &described["content"]["application/json"]["schema"]["properties"]["error"]["enum"];
    if let Some(errors) = errors.as_array().filter(|_| !is_problem) {
        let error = answer.json()["error"].clone();
        assert!(errors.contains(&error), "{method} {path}: {status} with the error {error} is not described");
    }
    if let Some(codes) = problem.as_array().filter(|_| is_problem) {
        let code = answer.json()["code"].clone();
        assert!(codes.contains(&code), "{method} {path}: {status} with the code {code} is not described");
    }
}

/// Headers that HTTP itself and the protocol of browsers (CORS) explain.
fn is_of_http(name: &str) -> bool {
    ["content-type", "content-length", "date", "vary", "allow"].contains(&name) || name.starts_with("access-control-")
}

/// What the document says of the path that this one is an example of.
fn item(path: &str) -> Option<&'static Value> {
    let fits = |template: &str| {
        let (mut parts, mut given) = (template.split('/'), path.split('/'));
        loop {
            match (parts.next(), given.next()) {
                (None, None) => return true,
                (Some(part), Some(is)) if part == is || (part.starts_with('{') && !is.is_empty()) => {}
                _ => return false,
            }
        }
    };
    document()["paths"].as_object()?.iter().find(|(template, _)| fits(template)).map(|(_, item)| item)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue};

    use super::*;

    fn answer(status: u16, code: &str) -> Answer {
        let body = serde_json::json!({ "code": code }).to_string().into_bytes();
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        Answer { status: StatusCode::from_u16(status).unwrap(), headers, body }
    }

    #[test]
    fn what_is_described_passes() {
        check(&Method::GET, "/healthz", &answer(200, ""));
        check(&Method::POST, "/api/refresh", &answer(401, "superseded"));
        check(&Method::DELETE, "/api/sessions/1?x=y", &answer(404, "session_not_found"));
        check(&Method::PUT, "/api/me", &answer(405, "method_not_allowed"));
        check(&Method::GET, "/elsewhere", &answer(404, "not_found"));
    }

    #[test]
    #[should_panic(expected = "418 is not described")]
    fn another_status_does_not() {
        check(&Method::GET, "/api/me", &answer(418, ""));
    }

    #[test]
    #[should_panic(expected = "is not described")]
    fn another_code_does_not() {
        check(&Method::POST, "/api/revoke", &answer(401, "superseded"));
    }

    #[test]
    #[should_panic(expected = "has x-unheard-of, which is not described")]
    fn another_header_does_not() {
        let mut answer = answer(200, "");
        answer.headers.insert("x-unheard-of", HeaderValue::from_static("1"));
        check(&Method::GET, "/healthz", &answer);
    }

    #[test]
    #[should_panic(expected = "is not described")]
    fn another_method_does_not() {
        check(&Method::PATCH, "/api/me", &answer(200, ""));
    }
}
