//! The description of the service for programs and people: `/openapi.json` (OpenAPI 3.1) and a page that shows it.
//!
//! Made from the code: each handler describes its own path and its answer; what may be refused is added by `answers`, from
//! one list of codes. The page's files are in the program; nothing is loaded from elsewhere.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::Value;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::oauth::{metadata, tokens as oauth};
use super::{App, health, keys, sessions, tokens, users, verify};

mod answers;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Regrant",
        description = "Signs people in, hands out access and refresh tokens, refreshes and revokes them, and lists and ends sessions.\n\n\
            A refusal is `application/problem+json` (RFC 9457) with a stable `code`. 503 never means no: send the same request again.",
        license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT"),
        contact(),
    ),
    servers((url = "/")),
    paths(
        health::alive,
        health::ready,
        keys::published,
        users::register,
        users::me,
        users::change_password,
        users::delete,
        tokens::login,
        tokens::refresh,
        tokens::revoke,
        sessions::list,
        sessions::history,
        sessions::end_one,
        sessions::end_all,
        verify::verify,
        metadata::published,
        oauth::token,
        oauth::revoke,
        oauth::introspect,
    ),
    components(schemas(answers::Problem, answers::OAuthProblem)),
    modifiers(&Tokens),
    tags(
        (name = "account", description = "Sign up, look, change the password, delete."),
        (name = "tokens", description = "Sign in, refresh, revoke."),
        (name = "sessions", description = "The user's own sessions."),
        (name = "oauth", description = "For clients that speak OAuth 2.0."),
        (name = "service", description = "For those who watch over the service, and for those who check access tokens."),
    )
)]
struct Described;

/// How requests carry tokens (RFC 6750).
struct Tokens;

impl Modify for Tokens {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = |description: &str| {
            let mut bearer = Http::new(HttpAuthScheme::Bearer);
            bearer.description = Some(description.to_owned());
            SecurityScheme::Http(bearer)
        };
        let mut client = Http::new(HttpAuthScheme::Basic);
        client.description = Some("A client that the operator has configured (RFC 6749 §2.3.1).".to_owned());
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("access_token", bearer("The `token` of a sign-in or refresh."));
        components.add_security_scheme("client", SecurityScheme::Http(client));
        components.add_security_scheme("refresh_token", bearer("The `refresh_token` of a sign-in or refresh."));
    }
}

/// The whole document.
pub fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
        // A document that cannot be written would be seen by every test.
        let mut document = serde_json::to_value(Described::openapi()).unwrap_or_default();
        answers::describe(&mut document);
        document
    });
    &DOCUMENT
}

/// `/openapi.json`, and `/docs` with a page that shows it.
pub(super) fn routes() -> Router<App> {
    let page: Router<App> = SwaggerUi::new("/docs").config(Config::from("/openapi.json").validator_url("none")).into();
    Router::new().route("/openapi.json", get(json)).merge(page.layer(from_fn(allow_the_page)))
}

async fn json() -> impl IntoResponse {
    static TEXT: LazyLock<String> = LazyLock::new(|| document().to_string());
    ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "public, max-age=300")], TEXT.as_str())
}

/// The page runs its own scripts and asks this service; it loads nothing from elsewhere.
async fn allow_the_page(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let policy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                  connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}
