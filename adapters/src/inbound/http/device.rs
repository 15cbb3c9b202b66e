//! Where a request comes from: shown to the user, logged, and counted.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, header};
use regrant_domain::history::Origin;
use regrant_domain::session::Device;

use super::forwarded::client;
use super::{App, HttpOptions, Peer};

/// The device, with the name that the client gave.
pub(super) fn labelled(origin: Origin, label: Option<String>) -> Device {
    Device { label, user_agent: origin.user_agent, ip: origin.ip }
}

/// Where the request came from.
pub(super) struct From(pub(super) Origin);

impl FromRequestParts<App> for From {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        Ok(Self(origin(&parts.headers, &parts.extensions, app.options())))
    }
}

/// The same, of a request that is not taken apart.
pub(super) fn origin(headers: &HeaderMap, extensions: &Extensions, options: &HttpOptions) -> Origin {
    let user_agent = headers.get(header::USER_AGENT).map(|value| shown(value.as_bytes()));
    let peer = extensions.get::<Peer>().map(|Peer(ip)| *ip);
    let ip = client(peer, headers, &options.proxies).map(|ip| ip.to_string());
    Origin { user_agent: user_agent.filter(|text| !text.is_empty()), ip }
}

/// Readable text of at most [`Device::MAX_USER_AGENT`] bytes, whatever was sent.
fn shown(bytes: &[u8]) -> String {
    let mut text: String = String::from_utf8_lossy(bytes).chars().filter(|c| !c.is_control()).collect();
    text.truncate(text.floor_char_boundary(Device::MAX_USER_AGENT));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_agent_is_cut_between_characters_and_has_no_control_characters() {
        assert_eq!(shown(b"curl/8\t\x07.1"), "curl/8.1");
        assert_eq!(shown("ä".repeat(200).as_bytes()).len(), Device::MAX_USER_AGENT);
        let odd = format!("x{}", "ä".repeat(200));
        assert_eq!(shown(odd.as_bytes()).len(), Device::MAX_USER_AGENT - 1);
        assert_eq!(shown(b"\xff"), "\u{fffd}");
    }
}
