//! What each route may refuse, and the headers of every answer: added to what the handlers describe.

use regrant_domain::reason::Refusal;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// A refusal (RFC 9457).
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `problem` writes")]
pub(super) struct Problem {
    /// `urn:regrant:problem:` and the code.
    #[schema(format = "uri")]
    r#type: String,
    /// The same at every occurrence.
    title: String,
    /// The status of the answer.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What happened this time.
    detail: String,
    /// Stable: what programs decide by.
    code: String,
    /// The same as in the header `X-Request-Id`, and in the log.
    request_id: String,
    /// The field of the request body that is at fault.
    #[schema(nullable = false)]
    field: Option<String>,
}

/// A refusal as OAuth tells it (RFC 6749 §5.2).
#[derive(ToSchema)]
#[schema(as = OAuthError)]
#[expect(dead_code, reason = "describes what `problem` writes")]
pub(super) struct OAuthProblem {
    /// What programs decide by.
    error: String,
    /// What happened this time.
    error_description: String,
    /// The same as in the header `X-Request-Id`.
    request_id: String,
    /// Where an authentic token was refused: why.
    #[schema(nullable = false)]
    code: Option<String>,
}

/// A code with its status, and when it is given. (Those of [`Refusal`] are 401, and say it themselves.)
const CODES: &[(&str, u16, &str)] = &[
    ("access_token_expired", 401, "The access token has expired: refresh it."),
    ("busy", 503, "The service is reading as many request bodies as it can."),
    ("body_too_large", 413, "The body is longer than the configured limit."),
    ("email_taken", 409, "Another account has this e-mail address (only where the operator chose to tell)."),
    ("incomplete_body", 400, "The body could not be read to its end."),
    ("internal", 500, "A fault of the service."),
    ("invalid_body", 422, "JSON, but not of the right shape."),
    ("invalid_credentials", 401, "The e-mail address or the password is wrong."),
    ("invalid_email", 422, "Not an e-mail address."),
    ("invalid_idempotency_key", 400, "A malformed or repeated Idempotency-Key."),
    ("invalid_json", 400, "The body is not JSON."),
    ("invalid_label", 422, "Not a name for a session."),
    ("invalid_password", 422, "Not a password that can be taken."),
    ("invalid_query", 400, "A parameter that the route does not know."),
    ("invalid_request", 400, "The token was sent in a way that cannot be understood."),
    ("invalid_token", 401, "Not an authentic token, or not of the kind that this route takes."),
    ("issuer_not_known", 404, "The operator has not said where clients reach the service."),
    ("missing_token", 401, "No token was sent."),
    ("session_limit", 403, "The account has as many sessions as it may have."),
    ("session_not_found", 404, "The caller has no such session."),
    ("timeout", 503, "It took too long; whether it was done is not known."),
    ("too_many_requests", 429, "More than a limit allows."),
    ("try_again", 503, "Overtaken by another request of the same user."),
    ("unavailable", 503, "The service cannot find out at the moment; nothing is decided."),
    ("unsupported_media_type", 415, "The body is not said to be JSON."),
    ("wrong_password", 403, "The current password is another one."),
];

/// What every route may answer.
const ANY: &[&str] = &["timeout", "internal"];
/// What a route with a JSON body may answer.
const BODY: &[&str] =
    &["unsupported_media_type", "incomplete_body", "invalid_json", "invalid_body", "body_too_large", "busy"];
/// What a route with a form may answer, beside the errors of OAuth.
const FORM: &[&str] = &["incomplete_body", "body_too_large", "busy", "unavailable"];
const LIMITED: &[&str] = &["too_many_requests"];
/// What a route with a token may answer, beside the reasons of [`Refusal`].
const BEARER: &[&str] = &["missing_token", "invalid_request", "invalid_token"];

/// What a route may refuse, beside [`ANY`].
struct Refuses {
    operation: (&'static str, &'static str),
    codes: &'static [&'static [&'static str]],
    /// Whether an authentic token may be refused with a reason.
    reasons: bool,
}

const fn refuses(
    method: &'static str,
    path: &'static str,
    reasons: bool,
    codes: &'static [&'static [&'static str]],
) -> Refuses {
    Refuses { operation: (method, path), codes, reasons }
}

const STORE: &[&str] = &["unavailable"];
const ACCESS: &[&str] = &["access_token_expired", "unavailable"];

const REFUSALS: &[Refuses] = &[
    refuses("get", "/healthz", false, &[]),
    refuses("get", "/readyz", false, &[STORE]),
    refuses("get", "/.well-known/jwks.json", false, &[]),
    refuses(
        "post",
        "/api/users",
        false,
        &[BODY, STORE, LIMITED, &["invalid_email", "invalid_password", "email_taken"]],
    ),
    refuses(
        "post",
        "/api/login",
        false,
        &[
            BODY,
            STORE,
            LIMITED,
            &[
                "invalid_email",
                "invalid_password",
                "invalid_label",
                "invalid_credentials",
                "session_limit",
                "try_again",
            ],
        ],
    ),
    refuses(
        "post",
        "/api/refresh",
        true,
        &[BEARER, STORE, LIMITED, &["invalid_idempotency_key", "body_too_large", "incomplete_body", "busy"]],
    ),
    refuses("post", "/api/revoke", false, &[BEARER, STORE, &["body_too_large", "incomplete_body", "busy"]]),
    refuses("get", "/api/me", true, &[BEARER, ACCESS]),
    refuses("delete", "/api/me", true, &[BEARER, ACCESS, BODY, &["invalid_password", "wrong_password", "try_again"]]),
    refuses(
        "put",
        "/api/me/password",
        true,
        &[BEARER, ACCESS, BODY, &["invalid_password", "wrong_password", "try_again"]],
    ),
    refuses("get", "/api/sessions", true, &[BEARER, ACCESS, &["invalid_query"]]),
    refuses("delete", "/api/sessions", true, &[BEARER, ACCESS, &["invalid_query"]]),
    refuses("delete", "/api/sessions/{id}", true, &[BEARER, ACCESS, &["session_not_found"]]),
    refuses("get", "/api/sessions/{id}/history", true, &[BEARER, ACCESS, &["session_not_found"]]),
    // Proxies take a 400 for an outage.
    refuses(
        "get",
        "/api/verify",
        true,
        &[ACCESS, &["missing_token", "invalid_token", "invalid_request:401", "invalid_query"]],
    ),
    refuses("get", "/.well-known/oauth-authorization-server", false, &[&["issuer_not_known"]]),
    refuses("post", "/oauth/token", false, &[FORM, LIMITED]),
    refuses("post", "/oauth/revoke", false, &[FORM]),
    refuses("post", "/oauth/introspect", false, &[FORM]),
];

/// The errors of RFC 6749 §5.2 that a route may give with 400; each of them may also give 401 `invalid_client`.
const OAUTH_ERRORS: &[(&str, &[&str])] = &[
    ("/oauth/token", &["invalid_request", "invalid_grant", "unsupported_grant_type", "invalid_scope"]),
    ("/oauth/revoke", &["invalid_request"]),
    ("/oauth/introspect", &["invalid_request"]),
];

/// Adds to each operation what it may refuse, and to each answer its headers.
pub(super) fn describe(document: &mut Value) {
    for Refuses { operation: (method, path), codes, reasons } in REFUSALS {
        let codes = codes.iter().copied().flatten().chain(ANY);
        let known = codes.filter_map(|code| explained(code));
        let reasons = Refusal::all().filter(|_| *reasons).map(|why| (why.code(), 401, why.sentence()));
        let mut by_status: std::collections::BTreeMap<u16, Vec<(&str, &str)>> = std::collections::BTreeMap::new();
        for (code, status, when) in known.chain(reasons) {
            by_status.entry(status).or_default().push((code, when));
        }
        let answers = &mut document["paths"][path][method]["responses"];
        for (status, codes) in by_status {
            answers[status.to_string()] = refusal(&codes);
        }
    }
    for (path, errors) in OAUTH_ERRORS {
        let answers = &mut document["paths"][path]["post"]["responses"];
        answers["400"] = or_oauth(answers["400"].take(), errors);
        answers["401"] = or_oauth(Value::Null, &["invalid_client"]);
    }
    explain_headers(document);
    for (path, operation) in operations(document) {
        if let Some(answers) = operation["responses"].as_object_mut() {
            for (status, answer) in answers {
                headers(path, status, answer);
            }
        }
    }
}

/// A code of the list, or with another status than there: `code:status`.
fn explained(code: &str) -> Option<(&'static str, u16, &'static str)> {
    let (code, status) = code.split_once(':').unwrap_or((code, ""));
    let (code, usual, when) = *CODES.iter().find(|(known, ..)| *known == code)?;
    Some((code, status.parse().unwrap_or(usual), when))
}

/// Every operation of the document, with its path.
fn operations(document: &mut Value) -> impl Iterator<Item = (&str, &mut Value)> {
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    paths.flat_map(|(path, item)| {
        item.as_object_mut().into_iter().flat_map(Map::values_mut).map(move |operation| (path.as_str(), operation))
    })
}

fn refusal(codes: &[(&str, &str)]) -> Value {
    let names: Vec<_> = codes.iter().map(|(code, _)| *code).collect();
    let said: Vec<_> = codes.iter().map(|(code, when)| format!("- `{code}`: {when}")).collect();
    json!({
        "description": said.join("\n"),
        "content": { "application/problem+json": { "schema": {
            "allOf": [{ "$ref": "#/components/schemas/Problem" }],
            "properties": { "code": { "type": "string", "enum": names } },
        } } },
    })
}

/// The answer, or one of these errors.
fn or_oauth(mut answer: Value, errors: &[&str]) -> Value {
    let said: Vec<_> = errors.iter().map(|error| format!("- `{error}` (RFC 6749 §5.2)")).collect();
    let before = answer["description"].as_str().map(|told| format!("\n{told}")).unwrap_or_default();
    answer["description"] = format!("{}{before}", said.join("\n")).into();
    answer["content"]["application/json"] = json!({ "schema": {
        "allOf": [{ "$ref": "#/components/schemas/OAuthError" }],
        "properties": { "error": { "type": "string", "enum": errors } },
    } });
    answer
}

/// Headers of every answer, with what they are for.
const COMMON: &[(&str, &str)] = &[
    ("X-Request-Id", "The request's own, if it has a proper one, or a new one; the log has it too."),
    ("Cache-Control", "`no-store`, unless the answer holds nothing of anybody."),
    ("Content-Security-Policy", "An answer is no page: nothing in it is run or shown."),
    ("X-Content-Type-Options", "`nosniff`"),
    ("Referrer-Policy", "`no-referrer`"),
    ("Cross-Origin-Resource-Policy", "`same-origin`; see `cors.origins` for pages of other origins."),
    ("Strict-Transport-Security", "Where `server.hsts` is set."),
];

/// Headers of some answers.
const CHALLENGE: (&str, &str) = (
    "WWW-Authenticate",
    "RFC 6750 §3, without an error code where no token was sent; RFC 7617 where a client has to prove itself.",
);
const RETRY_AFTER: (&str, &str) = ("Retry-After", "Whole seconds to wait before the same request is sent again.");
const PRAGMA: (&str, &str) = ("Pragma", "`no-cache`, for caches of HTTP/1.0 (RFC 6749 §5.1).");

/// Every header once, for answers to refer to.
fn explain_headers(document: &mut Value) {
    for (name, description) in COMMON.iter().chain([&CHALLENGE, &RETRY_AFTER, &PRAGMA]) {
        document["components"]["headers"][name] = json!({ "description": description, "schema": { "type": "string" } });
    }
}

fn headers(path: &str, status: &str, answer: &mut Value) {
    let special = match status {
        "400" | "401" => Some(CHALLENGE),
        "429" | "503" => Some(RETRY_AFTER),
        _ => None,
    };
    let pragma = path.starts_with("/oauth/").then_some(PRAGMA);
    for (name, _) in COMMON.iter().copied().chain(special).chain(pragma) {
        answer["headers"][name] = json!({ "$ref": format!("#/components/headers/{name}") });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_that_a_route_names_is_explained_and_every_explained_code_is_named() {
        let named = || REFUSALS.iter().flat_map(|refuses| refuses.codes.iter().copied().flatten()).chain(ANY);
        for code in named() {
            assert!(explained(code).is_some(), "{code} is not explained");
        }
        for (code, ..) in CODES {
            assert!(named().any(|named| named == code), "{code} is never given");
        }
    }

    #[test]
    fn every_operation_says_what_it_refuses_and_the_other_way_round() {
        let mut document = super::super::document().clone();
        let mut described = Vec::new();
        for (path, methods) in document["paths"].as_object().into_iter().flatten() {
            described
                .extend(methods.as_object().into_iter().flatten().map(|(method, _)| (method.clone(), path.clone())));
        }
        let mut listed: Vec<_> =
            REFUSALS.iter().map(|Refuses { operation: (m, p), .. }| ((*m).to_owned(), (*p).to_owned())).collect();
        described.sort();
        listed.sort();
        assert_eq!(described, listed);
        assert_eq!(operations(&mut document).count(), listed.len());
        for (_, operation) in operations(&mut document) {
            assert!(operation["operationId"].is_string() && operation["summary"].is_string(), "{operation}");
            for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
                assert_ne!(answer["description"], "", "{operation}");
                assert!(answer["headers"]["X-Request-Id"].is_object(), "{status}");
            }
        }
    }
}
