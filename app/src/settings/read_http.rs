//! `[server]`, `[limits]`, `[cors]`: who may ask, how much, and from where.

use std::ops::RangeInclusive;
use std::time::Duration;

use regrant_domain::address::AddressRange;
use regrant_domain::limit::{Limit, LimitPolicy, Rate};

use super::reader::Reader;
use super::{Cors, Database, Forwarded, LimitState, Limits, Listen, Server, Store, Tls, duration};

const SECOND: Duration = Duration::from_secs(1);
const TEN_MINUTES: Duration = Duration::from_mins(10);
/// The longest time for which browsers remember that a site is to be reached by TLS only: two years.
const LONGEST_HSTS: Duration = Duration::from_hours(24 * 730);

fn size(r: &mut Reader<'_>, key: &'static str, range: RangeInclusive<u32>) -> usize {
    usize::try_from(r.number(key, range)).unwrap_or(usize::MAX)
}

pub(super) fn server(r: &mut Reader<'_>) -> Option<Server> {
    let listen = r.parsed("server.listen", str::parse::<Listen>, Listen::ACCEPTED);
    let nowhere = |text: &str| if text.is_empty() { Ok(None) } else { text.parse::<Listen>().map(Some) };
    let admin_listen = r.parsed("server.admin_listen", nowhere, Listen::ACCEPTED);
    let unix_mode = r.parsed("server.unix_mode", mode, "an octal mode such as \"0660\" or \"0600\"");
    let server = Server {
        // Where it has a fault, what was read is thrown away.
        listen: listen.unwrap_or(Listen::Systemd(None)),
        admin_listen: admin_listen.flatten(),
        unix_mode: unix_mode.unwrap_or_default(),
        tls: tls(r),
        docs: r.flag("server.docs"),
        request_timeout: r.duration("server.request_timeout", SECOND..=TEN_MINUTES),
        header_timeout: r.duration("server.header_timeout", SECOND..=TEN_MINUTES),
        body_limit: size(r, "server.body_limit", 1024..=16 * 1024 * 1024),
        body_memory: size(r, "server.body_memory", 1024 * 1024..=1024 * 1024 * 1024),
        shutdown_grace: r.duration("server.shutdown_grace", Duration::ZERO..=Duration::from_hours(1)),
        max_connections: size(r, "server.max_connections", 1..=100_000),
        forwarded: forwarded(r),
        hsts: r.duration("server.hsts", Duration::ZERO..=LONGEST_HSTS),
    };
    if server.body_memory < server.body_limit && r.sound(&["server.body_memory", "server.body_limit"]) {
        r.fault(
            "server.body_memory",
            "it is less than server.body_limit: the longest body could never be read",
            "expected at least server.body_limit",
        );
    }
    r.sound(&["server.listen", "server.admin_listen", "server.unix_mode"]).then_some(server)
}

/// Who may use a Unix socket, as `chmod` writes it.
fn mode(text: &str) -> Result<u32, String> {
    let octal = (3..=4).contains(&text.len()) && text.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| octal && *mode <= 0o777);
    mode.ok_or_else(|| "it is not three octal digits".into())
}

fn tls(r: &mut Reader<'_>) -> Option<Tls> {
    let (certificate, key) = (r.text("server.tls_certificate"), r.text("server.tls_key"));
    let alone = |r: &mut Reader<'_>, given: &'static str, missing: &str| {
        if r.sound(&["server.tls_certificate", "server.tls_key"]) {
            r.fault(
                given,
                format!("it is set, but {missing} is empty"),
                format!("expected {missing} beside it, or neither"),
            );
        }
        None
    };
    match (certificate.is_empty(), key.is_empty()) {
        (true, true) => None,
        (false, true) => alone(r, "server.tls_certificate", "server.tls_key"),
        (true, false) => alone(r, "server.tls_key", "server.tls_certificate"),
        (false, false) => Some(Tls { certificate: certificate.into(), key: key.into() }),
    }
}

fn forwarded(r: &mut Reader<'_>) -> Forwarded {
    let mut trusted = r.list("server.trusted_proxies");
    let with_local = trusted.len();
    trusted.retain(|text| text != "unix");
    Forwarded {
        trusts_local: trusted.len() < with_local,
        trusted: ranges(r, "server.trusted_proxies", &trusted),
        standard: r.choice("server.forwarded_header", &[("x-forwarded-for", false), ("forwarded", true)], false),
    }
}

fn ranges(r: &mut Reader<'_>, key: &'static str, texts: &[String]) -> Vec<AddressRange> {
    let mut ranges = Vec::with_capacity(texts.len());
    for text in texts {
        match text.parse() {
            Ok(range) => ranges.push(range),
            Err(why) => {
                let accepted = "expected addresses and ranges, such as [\"10.0.0.0/8\", \"2001:db8::1\"]";
                r.fault(key, format!("{text:?} cannot be used: {why}"), accepted);
            }
        }
    }
    ranges
}

pub(super) fn limits(r: &mut Reader<'_>, store: Option<&Store>) -> Limits {
    let mut policy = LimitPolicy::default();
    for (key, limit) in [
        ("limits.sign_in_by_address", Limit::SignInByAddress),
        ("limits.sign_up_by_address", Limit::SignUpByAddress),
        ("limits.password_by_account_and_address", Limit::PasswordByAccountAndAddress),
        ("limits.password_by_account", Limit::PasswordByAccount),
        ("limits.refresh_by_address", Limit::RefreshByAddress),
        ("limits.refresh_by_session", Limit::RefreshBySession),
    ] {
        let rate = r.parsed(key, rate, "a number and a time, such as \"20/10m\", or \"0\" for no limit");
        policy = policy.with(limit, rate.flatten());
    }
    let exempt = r.list("limits.exempt");
    policy.exempt = ranges(r, "limits.exempt", &exempt);
    Limits { policy, state: state(r, store) }
}

fn state(r: &mut Reader<'_>, store: Option<&Store>) -> LimitState {
    let words = [("auto", None), ("memory", Some(LimitState::Memory)), ("store", Some(LimitState::Store))];
    let chosen = r.choice("limits.state", &words, None);
    let is_shared = match store {
        Some(Store::Redis { .. } | Store::Database(Database::Postgres(_))) => true,
        Some(Store::Database(Database::Sqlite { .. } | Database::Memory)) => false,
        // It has faults of its own.
        None => return LimitState::Memory,
    };
    if chosen == Some(LimitState::Store) && !is_shared {
        r.fault(
            "limits.state",
            "the store is one that processes do not share",
            "expected \"auto\" or \"memory\" where store.kind is \"sqlite\" or \"memory\"",
        );
    }
    chosen.unwrap_or(if is_shared { LimitState::Store } else { LimitState::Memory })
}

/// `20/10m`; `0` is no limit.
fn rate(text: &str) -> Result<Option<Rate>, String> {
    if text.trim() == "0" {
        return Ok(None);
    }
    let (most, within) = text.split_once('/').ok_or("there is no slash in it")?;
    let most = most.trim().parse::<u32>().map_err(|_| "it does not begin with a whole number")?;
    let within = duration::parse(within)?;
    Rate::new(most, within).map(Some).ok_or_else(|| {
        let (shortest, longest) = (duration::write(Rate::SHORTEST), duration::write(Rate::LONGEST));
        format!("the number must be from 1 to {}, and the time from {shortest} to {longest}", Rate::MOST)
    })
}

pub(super) fn cors(r: &mut Reader<'_>) -> Cors {
    let cors = Cors {
        origins: checked(r, "cors.origins", is_origin, "origins such as [\"https://app.example.org\"], or [\"*\"]"),
        methods: checked(r, "cors.methods", is_token, "methods such as [\"GET\", \"POST\"]"),
        headers: checked(r, "cors.headers", is_token, "names of headers such as [\"Authorization\"]"),
        exposed: checked(r, "cors.exposed", is_token, "names of headers such as [\"Retry-After\"]"),
        credentials: r.flag("cors.credentials"),
        max_age: r.duration("cors.max_age", Duration::ZERO..=Duration::from_hours(24)),
    };
    let any = cors.origins.iter().any(|origin| origin == "*");
    if any && cors.origins.len() > 1 {
        r.fault("cors.origins", "\"*\" is any origin, and others stand beside it", "expected \"*\" alone, or a list");
    }
    if any && cors.credentials {
        r.fault(
            "cors.credentials",
            "with the origin \"*\", any page could act with the cookies of whoever visits it; browsers refuse that",
            "expected credentials = false, or the origins themselves",
        );
    }
    cors
}

fn checked(r: &mut Reader<'_>, key: &'static str, fits: fn(&str) -> bool, accepted: &str) -> Vec<String> {
    let texts = r.list(key);
    if let Some(text) = texts.iter().find(|text| !fits(text)) {
        r.fault(key, format!("{text:?} is none"), format!("expected {accepted}"));
    }
    texts
}

/// As browsers write it (Fetch standard, §3.2): scheme, host, and port if it is not the usual one; no path, no slash at the
/// end.
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return text == "*" };
    let is_plain = |c: char| c.is_ascii_graphic() && !c.is_ascii_uppercase() && !"/\\*,;\"'@?#".contains(c);
    let word = |text: &str| text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(is_plain);
    word(scheme) && !host.is_empty() && host.chars().all(is_plain)
}

/// `token` of RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_and_a_time() {
        let twenty = Rate::new(20, Duration::from_mins(10));
        assert_eq!(rate("20/10m"), Ok(twenty));
        assert_eq!(rate(" 20 / 10m "), Ok(twenty));
        assert_eq!(rate("0"), Ok(None));
        for bad in ["", "20", "20/", "/10m", "0/10m", "20/10", "-1/1s", "1000001/1m", "1/25h", "1/0s"] {
            assert!(rate(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for good in ["*", "https://app.example.org", "http://localhost:3000", "http://[::1]:8080", "app://main"] {
            assert!(is_origin(good), "{good}");
        }
        for bad in [
            "",
            "app.example.org",
            "https://",
            "://x",
            "https://app.example.org/",
            "https://App.example.org",
            "https://*.example.org",
            "https://a b",
            "https://a,https://b",
            "null",
            "https://me@x",
        ] {
            assert!(!is_origin(bad), "{bad}");
        }
    }
}
