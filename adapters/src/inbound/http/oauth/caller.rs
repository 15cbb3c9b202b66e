//! Which client asks (RFC 6749 §2.3): by HTTP Basic, by parameters of the body, or none in particular.

use axum::http::{HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regrant_domain::client::{ClientSecret, Clients};
use zeroize::Zeroizing;

use super::form::Form;
use crate::inbound::http::problem::{OAuthError, Problem};

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// A client without a secret, or one that does not say which it is (RFC 6749 §2.1: public).
    Public,
    /// One of the configured clients, proven by its secret.
    Known,
}

impl Caller {
    /// Where public clients have no business.
    pub(super) fn is_known(self) -> Result<(), Problem> {
        match self {
            Self::Known => Ok(()),
            Self::Public => Err(refused("Only a client that proves itself by its secret may ask here.")),
        }
    }
}

/// Who sent this. Whoever sends credentials must send the right ones, and a client that has a secret must send it.
pub(super) fn of(form: &Form, clients: &Clients) -> Result<Caller, Problem> {
    let (id, secret) = (form.optional("client_id"), form.optional("client_secret"));
    if form.optional("client_assertion").is_some() {
        return Err(refused("Client assertions are not accepted; use client_secret_basic or client_secret_post."));
    }
    let mut headers = form.headers().get_all(header::AUTHORIZATION).iter();
    let credentials = match (headers.next(), headers.next(), secret) {
        (None, _, None) => return public(id, clients),
        (None, _, Some(secret)) => {
            let id = id.ok_or_else(|| malformed("There is a client_secret, but no client_id."))?;
            (id.to_owned(), ClientSecret::received(secret.to_owned()))
        }
        (Some(header), None, None) => {
            let (user, secret) =
                basic(header).ok_or_else(|| refused("The Authorization header is not of HTTP Basic."))?;
            if id.is_some_and(|id| *id != user) {
                return Err(malformed("The header and the parameter client_id name different clients."));
            }
            (user, secret)
        }
        _ => return Err(malformed("The client authenticates in more than one way.")),
    };
    if clients.are_right(&credentials.0, &credentials.1) {
        Ok(Caller::Known)
    } else {
        Err(refused("The client is not known, or its secret is another one."))
    }
}

fn public(id: Option<&str>, clients: &Clients) -> Result<Caller, Problem> {
    match id {
        Some(id) if clients.knows(id) => Err(refused("This client has a secret; it must authenticate with it.")),
        Some(_) | None => Ok(Caller::Public),
    }
}

/// Name and secret of `Basic base64(name ":" secret)`, both encoded as in a form (RFC 6749 §2.3.1).
fn basic(header: &HeaderValue) -> Option<(String, ClientSecret)> {
    let (scheme, credentials) = header.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let decoded = Zeroizing::new(STANDARD.decode(credentials.trim()).ok()?);
    let (name, secret) = str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((of_form(name)?, ClientSecret::received(of_form(secret)?)))
}

/// One value as a form writes it.
fn of_form(text: &str) -> Option<String> {
    if text.contains(['&', '=']) {
        return None;
    }
    Some(form_urlencoded::parse(text.as_bytes()).next().map(|(value, _)| value.into_owned()).unwrap_or_default())
}

fn refused(detail: &'static str) -> Problem {
    Problem::oauth(OAuthError::InvalidClient, detail)
}

fn malformed(detail: &'static str) -> Problem {
    Problem::oauth(OAuthError::InvalidRequest, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<(String, String)> {
        let (name, secret) = basic(&HeaderValue::from_str(value).expect("a header"))?;
        Some((name, secret.expose().to_owned()))
    }

    fn encoded(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[test]
    fn basic_credentials_are_encoded_as_in_a_form() {
        let pair = |name: &str, secret: &str| Some((name.to_owned(), secret.to_owned()));
        assert_eq!(read(&encoded("gateway:secret")), pair("gateway", "secret"));
        assert_eq!(read(&encoded("a%3Ab:s+%2B%25:x")), pair("a:b", "s +%:x"));
        assert_eq!(read(&encoded(":")), pair("", ""));
        assert_eq!(read(&encoded("a:b").replace("Basic", "BASIC")), pair("a", "b"));
    }

    #[test]
    fn what_is_not_basic_is_no_credential() {
        for bad in ["", "Basic", "Basic !", "Bearer YTpi", &encoded("no colon"), &encoded("a:b&c"), "Basic /w=="] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}
