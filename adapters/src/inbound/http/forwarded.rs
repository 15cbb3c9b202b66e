//! Where a request comes from, when it came through proxies.
//!
//! Deliberately absent: belief in what a stranger says. A header counts only as far as each hop, from the last one on, is a
//! proxy that the operator trusts; and only one header is read, because a proxy that sets one passes the other on as its
//! client wrote it.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use regrant_domain::address::AddressRange;

/// Whose word is taken for where a request comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// The addresses of the proxies.
    pub trusted: Vec<AddressRange>,
    /// Whether whoever needs no address (who connects by a socket of this machine) is one of them.
    pub trusts_local: bool,
    /// In which header they tell.
    pub header: Forwarding,
}

/// The header in which proxies tell where a request comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Forwarding {
    /// `X-Forwarded-For`: addresses, with commas between.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address of the client: the last one that is not a trusted proxy's. Where a proxy says something that is no address,
/// it is the proxy's own.
pub(super) fn client(peer: Option<IpAddr>, headers: &HeaderMap, proxies: &Proxies) -> Option<IpAddr> {
    let mut client = peer.map(|peer| peer.to_canonical());
    if !client.map_or(proxies.trusts_local, |peer| proxies.trusts(peer)) {
        return client;
    }
    for hop in hops(headers, proxies.header) {
        let Some(address) = hop else { break };
        client = Some(address);
        if !proxies.trusts(address) {
            break;
        }
    }
    client
}

/// Whether some proxy tells where the request comes from, in either header.
pub(super) fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.contains_key(X_FORWARDED_FOR) || headers.contains_key(header::FORWARDED)
}

impl Proxies {
    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|range| range.includes(address))
    }
}

/// What the hops say, the last one first; `None`: no address.
fn hops(headers: &HeaderMap, forwarding: Forwarding) -> impl Iterator<Item = Option<IpAddr>> {
    let (name, read): (_, fn(&str) -> Option<IpAddr>) = match forwarding {
        Forwarding::XForwardedFor => (X_FORWARDED_FOR, node),
        Forwarding::Forwarded => (header::FORWARDED, for_parameter),
    };
    let lines: Vec<&HeaderValue> = headers.get_all(name).iter().collect();
    lines.into_iter().rev().flat_map(elements).map(move |element| element.and_then(read))
}

/// The elements of one header line, the last one first. Read from the end: what a stranger has written at the beginning,
/// an open quotation mark say, cannot reach what a proxy has written behind it.
fn elements(line: &HeaderValue) -> impl Iterator<Item = Option<&str>> {
    let mut rest = Some(line.as_bytes());
    std::iter::from_fn(move || {
        let all = rest?;
        let mut quoted = false;
        let comma = all.iter().rposition(|byte| {
            quoted ^= *byte == b'"';
            *byte == b',' && !quoted
        });
        let element = comma.map_or(all, |comma| &all[comma + 1..]);
        rest = comma.map(|comma| &all[..comma]);
        Some(str::from_utf8(element).ok().map(str::trim_ascii))
    })
}

/// `for` of one element (RFC 7239 §4), in any case, once.
fn for_parameter(element: &str) -> Option<IpAddr> {
    let mut found = element.split(';').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim_ascii().eq_ignore_ascii_case("for").then_some(value.trim_ascii())
    });
    let (value, None) = (found.next()?, found.next()) else { return None };
    node(value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value))
}

/// An address, with or without a port (RFC 7239 §6): `192.0.2.7`, `192.0.2.7:4711`, `2001:db8::1`, `[2001:db8::1]:4711`.
fn node(text: &str) -> Option<IpAddr> {
    let address = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            port.is_empty().then_some(()).or_else(|| port.strip_prefix(':').map(drop))?;
            address
        }
        None => match text.split_once(':') {
            Some((address, port)) if !port.contains(':') => address,
            _ => text,
        },
    };
    address.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: Option<&str>, header: Forwarding, lines: &[&str]) -> String {
        let trusted = ["10.0.0.0/8", "2001:db8:9::/48"].map(|range| range.parse().expect("a range")).to_vec();
        let proxies = Proxies { trusted, trusts_local: true, header };
        let mut headers = HeaderMap::new();
        for line in lines {
            let line = HeaderValue::from_bytes(line.as_bytes()).expect("a header");
            let name = if line.as_bytes().contains(&b'=') { header::FORWARDED } else { X_FORWARDED_FOR };
            headers.append(name, line);
        }
        let peer = peer.map(|peer| peer.parse().expect("an address"));
        client(peer, &headers, &proxies).map(|client| client.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_strangers_header_is_ignored() {
        for header in [Forwarding::XForwardedFor, Forwarding::Forwarded] {
            assert_eq!(seen(Some("192.0.2.7"), header, &["198.51.100.1", "for=198.51.100.1"]), "192.0.2.7");
        }
    }

    #[test]
    fn the_last_hop_that_is_not_trusted_is_the_client() {
        for (lines, client) in [
            (&["198.51.100.1"][..], "198.51.100.1"),
            (&["198.51.100.1, 10.1.1.1"], "198.51.100.1"),
            // What the client itself has sent is further left.
            (&["127.0.0.1, 10.9.9.9, 198.51.100.1, 10.1.1.1"], "198.51.100.1"),
            (&["127.0.0.1", "198.51.100.1", "10.1.1.1"], "198.51.100.1"),
            (&["198.51.100.1:4711"], "198.51.100.1"),
            (&["::ffff:198.51.100.1"], "198.51.100.1"),
            (&["2001:db8::1, 2001:db8:9::1"], "2001:db8::1"),
            (&["[2001:db8::1]:4711"], "2001:db8::1"),
            // All of them are proxies: the first is the nearest to the client.
            (&["10.2.2.2, 10.1.1.1"], "10.2.2.2"),
            (&[], "10.0.0.1"),
        ] {
            assert_eq!(seen(Some("10.0.0.1"), Forwarding::XForwardedFor, lines), client, "{lines:?}");
            assert_eq!(seen(Some("::ffff:10.0.0.1"), Forwarding::XForwardedFor, lines), client, "{lines:?}");
        }
    }

    #[test]
    fn what_is_no_address_ends_the_search_at_the_proxy_that_said_so() {
        for lines in [&["unknown"][..], &[""], &["198.51.100.1,"], &["198.51.100.1, _hidden"], &["198.51.100.1, ä"]] {
            assert_eq!(seen(Some("10.0.0.1"), Forwarding::XForwardedFor, lines), "10.0.0.1", "{lines:?}");
        }
        let behind = &["198.51.100.1, nonsense, 10.1.1.1"];
        assert_eq!(seen(Some("10.0.0.1"), Forwarding::XForwardedFor, behind), "10.1.1.1");
    }

    #[test]
    fn the_standard_header_is_read_with_its_quotation_marks() {
        for (lines, client) in [
            (&["for=198.51.100.1"][..], "198.51.100.1"),
            (&["For=\"198.51.100.1:4711\";proto=https;by=10.0.0.1"], "198.51.100.1"),
            (&["proto=https; for=\"[2001:db8::1]:4711\" , for=10.1.1.1"], "2001:db8::1"),
            (&["for=\"a, for=b\", for=198.51.100.1"], "198.51.100.1"),
            // An open quotation mark of the client's swallows nothing that a proxy has added.
            (&["for=\"evil, for=198.51.100.1"], "198.51.100.1"),
            (&["for=\"evil", "for=198.51.100.1"], "198.51.100.1"),
            (&["for=198.51.100.1;for=198.51.100.2"], "10.0.0.1"),
            (&["for=unknown"], "10.0.0.1"),
            (&["by=198.51.100.1"], "10.0.0.1"),
        ] {
            assert_eq!(seen(Some("10.0.0.1"), Forwarding::Forwarded, lines), client, "{lines:?}");
        }
    }

    #[test]
    fn only_the_header_that_was_chosen_counts() {
        let both = &["198.51.100.1", "for=198.51.100.2"];
        assert_eq!(seen(Some("10.0.0.1"), Forwarding::XForwardedFor, both), "198.51.100.1");
        assert_eq!(seen(Some("10.0.0.1"), Forwarding::Forwarded, both), "198.51.100.2");
    }

    #[test]
    fn who_has_no_address_may_be_trusted_to_tell_one() {
        assert_eq!(seen(None, Forwarding::XForwardedFor, &["198.51.100.1"]), "198.51.100.1");
        let mut headers = HeaderMap::new();
        headers.insert(X_FORWARDED_FOR, HeaderValue::from_static("198.51.100.1"));
        assert_eq!(client(None, &headers, &Proxies::default()), None);
    }
}
