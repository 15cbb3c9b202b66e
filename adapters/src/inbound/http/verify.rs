//! `/api/verify`: for a reverse proxy that asks about each request before it lets it through.
//!
//! Deliberately absent: a body. Whatever method the proxy asks with, the answer is a status and a few headers, and nothing
//! is written. Of access tokens that are signed, no store is asked unless the proxy wants it.

use axum::extract::State;
use axum::http::{HeaderName, StatusCode, Uri};
use axum::response::IntoResponse;
use regrant_domain::usecases::authenticate::Check;

use super::App;
use super::auth::ForwardedBearer;
use super::problem::{self, Problem};

/// The user's id.
const USER: HeaderName = HeaderName::from_static("x-auth-user");
/// The session's id.
const SESSION: HeaderName = HeaderName::from_static("x-auth-session");
/// When the token stops being accepted: seconds since 1970, as in its `exp`.
const EXPIRES: HeaderName = HeaderName::from_static("x-auth-expires");

#[utoipa::path(get, path = "/api/verify", tag = "service", operation_id = "verify", security(("access_token" = [])),
    params(("check" = Option<String>, Query, description = "`session`: ask the store for the session too.")),
    responses((status = 200, description = "The token is good.", headers(
        ("X-Auth-User" = String, description = "The user's id."),
        ("X-Auth-Session" = String, description = "The session's id."),
        ("X-Auth-Expires" = String, description = "When the token stops being accepted: seconds since 1970."),
    ))))]
/// Is an access token good? For reverse proxies.
///
/// Takes any method. Of JWTs, no store is asked unless `check=session`; of opaque tokens always. Other parameters are those of
/// the request that the proxy has to decide about.
pub(super) async fn verify(
    State(app): State<App>,
    uri: Uri,
    bearer: ForwardedBearer,
) -> Result<impl IntoResponse, Problem> {
    let outcome = app.use_cases().authenticate.verify(bearer.text(), check(uri.query())?).await?;
    let bearer = problem::authenticated(outcome)?;
    let headers = [
        (USER, bearer.user.to_string()),
        (SESSION, bearer.session.to_string()),
        (EXPIRES, bearer.expires_at.seconds().to_string()),
    ];
    Ok((StatusCode::OK, headers))
}

/// `check=session` asks for the session too, and `check` with anything else is a fault, not a weaker check. Other
/// parameters are those of the request that the proxy has to decide about, where it hands them on.
fn check(query: Option<&str>) -> Result<Check, Problem> {
    let Some(query) = query else { return Ok(Check::Token) };
    let mut check = Check::Token;
    for (_, value) in form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "check") {
        if value != "session" {
            return Err(Problem::unknown_check());
        }
        check = Check::Session;
    }
    Ok(check)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_adds_to_the_query_cannot_weaken_the_check() {
        let session = |query| check(Some(query)).is_ok_and(|check| check == Check::Session);
        assert!(session("check=session"));
        assert!(session("check=session&path=/a?b=c&x=y"));
        assert!(session("path=/a?b=c&check=session"));
        for query in ["check=session&check=token", "check=session&check=", "check", "check=Session", "check=sessions"] {
            assert!(check(Some(query)).is_err(), "{query}");
        }
        assert!(check(Some("xcheck=session")).is_ok_and(|check| check == Check::Token));
        assert!(check(None).is_ok_and(|check| check == Check::Token));
    }
}
