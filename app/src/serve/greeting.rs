//! Commands to try the service with, ready to paste.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::settings::Settings;

/// Where a client on this machine reaches the service.
pub(super) fn url(addr: SocketAddr) -> String {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, addr.port()))
}

/// Sign up, sign in, refresh, revoke: four lines for a POSIX shell that work one after the other and need only curl and
/// sed.
pub fn curl_lines(addr: SocketAddr, settings: &Settings) -> String {
    let url = url(addr);
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
curl -sS {url}/api/users {json} {who}; echo

# Sign in, and keep the refresh token:
LOGIN=$(curl -sS {url}/api/login {json} {who}); echo "$LOGIN"; REFRESH_TOKEN={login}

# Refresh (a new refresh token takes the place of the old one, if there is a new one):
ANSWER=$(curl -sS -X POST {url}/api/refresh -H "Authorization: Bearer $REFRESH_TOKEN"); echo "$ANSWER"; NEXT={next}; REFRESH_TOKEN=${{NEXT:-$REFRESH_TOKEN}}

# Revoke (204: signed out):
curl -sS -X POST {url}/api/revoke -H "Authorization: Bearer $REFRESH_TOKEN" -w '%{{http_code}}\n'
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_means_every_interface_is_told_as_one_that_can_be_reached() {
        for (listen, told) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("0.0.0.0:80", "http://127.0.0.1:80"),
            ("[::]:80", "http://[::1]:80"),
            ("[2001:db8::1]:80", "http://[2001:db8::1]:80"),
        ] {
            assert_eq!(url(listen.parse().expect("an address")), told);
        }
    }
}
