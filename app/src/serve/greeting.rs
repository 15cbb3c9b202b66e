//! Commands to try the service with, ready to paste.

use super::Endpoint;
use crate::settings::Settings;

/// Sign up, sign in, refresh, revoke: four lines for a POSIX shell that work one after the other and need only curl and
/// sed.
pub fn curl_lines(endpoint: &Endpoint, settings: &Settings) -> String {
    let url = endpoint.url();
    let curl = match endpoint {
        Endpoint::Unix(path) => format!("curl -sS --unix-socket '{}'", path.display()),
        Endpoint::Tcp { .. } => "curl -sS".to_owned(),
    };
    let mut password = "correct horse battery staple".to_owned();
    while password.len() < settings.policies.password.min_length {
        password.push_str(" and more");
    }
    let json = "-H 'Content-Type: application/json'";
    let who = format!(r#"-d '{{"email":"ada@example.org","password":"{password}"}}'"#);
    // The last match of a name in one line of JSON without blanks.
    let take = |from: &str| format!(r#"$(printf '%s' "${from}" | sed -n 's/.*"refresh_token":"\([^"]*\)".*/\1/p')"#);
    let (login, next) = (take("LOGIN"), take("ANSWER"));
    format!(
        r#"
# Sign up:
{curl} {url}/api/users {json} {who}; echo

# Sign in, and keep the refresh token:
LOGIN=$({curl} {url}/api/login {json} {who}); echo "$LOGIN"; REFRESH_TOKEN={login}

# Refresh (a new refresh token takes the place of the old one, if there is a new one):
ANSWER=$({curl} -X POST {url}/api/refresh -H "Authorization: Bearer $REFRESH_TOKEN"); echo "$ANSWER"; NEXT={next}; REFRESH_TOKEN=${{NEXT:-$REFRESH_TOKEN}}

# Revoke (204: signed out):
{curl} -X POST {url}/api/revoke -H "Authorization: Bearer $REFRESH_TOKEN" -w '%{{http_code}}\n'
"#
    )
}
