//! `[oauth]`, read.

use std::net::IpAddr;

use axum::http::Uri;
use regrant_domain::client::Client;

use super::OAuth;
use super::reader::Reader;

pub(super) fn oauth(r: &mut Reader<'_>) -> OAuth {
    let accepted = "an https:// URL without a slash at its end, such as \"https://auth.example.org\" (http:// only for this \
                    machine), or nothing";
    let issuer_url = r.parsed("oauth.issuer_url", issuer_url, accepted).flatten();
    OAuth { issuer_url, clients: clients(r) }
}

fn issuer_url(text: &str) -> Result<Option<String>, &'static str> {
    if text.is_empty() {
        return Ok(None);
    }
    let uri: Uri = text.parse().map_err(|_| "it is not a URL")?;
    let host = uri.host().filter(|host| !host.is_empty()).ok_or("it names no host")?;
    match uri.scheme_str() {
        Some("https") => {}
        Some("http") if is_this_machine(host) => {}
        Some("http") => return Err("http:// is for this machine only (RFC 8414)"),
        _ => return Err("it does not begin with https://"),
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("it holds a user name");
    }
    if text.contains(['?', '#']) {
        return Err("it has a query or a fragment");
    }
    if text.ends_with('/') {
        return Err("it ends with a slash");
    }
    Ok(Some(text.to_owned()))
}

fn is_this_machine(host: &str) -> bool {
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}

/// Entries are never repeated in a fault: somebody may have written a secret in the place of its hash.
fn clients(r: &mut Reader<'_>) -> Vec<Client> {
    const KEY: &str = "oauth.clients";
    let mut clients = Vec::new();
    for (entry, number) in r.list(KEY).iter().zip(1..) {
        match entry.parse() {
            Ok(client) => clients.push(client),
            Err(why) => r.fault(
                KEY,
                format!("entry {number} cannot be used: {why}"),
                "expected entries \"name:sha256:<hash>\": `regrant client new NAME` makes one",
            ),
        }
    }
    clients
}
