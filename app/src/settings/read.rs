//! Values to [`Settings`]: types, ranges, and what contradicts what.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use regrant_domain::policy::{
    AccessPolicy, AfterWindow, HistoryPolicy, OnRollback, PasswordPolicy, RefreshPolicy, SessionPolicy, WhenFull,
};
use regrant_domain::usecases::Policies;
use regrant_domain::usecases::register::TakenEmail;

use super::reader::Reader;
use super::{
    AccessFormat, AccessToken, Algorithm, Hashing, KeyFile, Keys, Log, LogFormat, Otlp, RefreshFormat, Settings, Sweep,
};
use super::{read_http, read_oauth, read_store};

/// What is written into tokens where the operator says nothing else.
const NAME: &str = "regrant";
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_hours(24);
/// The longest life of a token or session: ten years.
const LONGEST: Duration = Duration::from_hours(24 * 3650);

/// Reads everything. The result counts only if the reader has no faults; `None`: it certainly has some.
pub(super) fn settings(r: &mut Reader<'_>) -> Option<Settings> {
    let server = read_http::server(r);
    let data_dir = folder(r, "data.dir");
    let store = read_store::store(r, &data_dir);
    let limits = read_http::limits(r, store.as_ref());
    let cors = read_http::cors(r);
    let clock = read_store::clock(r);
    let oauth = read_oauth::oauth(r);
    let access_token = access_token(r, oauth.issuer_url.as_deref());
    let (refresh_format, refresh) = refresh_token(r, access_token.format);
    let policies = Policies {
        refresh,
        access: AccessPolicy {
            ttl: r.duration("access_token.ttl", SECOND..=30 * DAY),
            email_claim: r.flag("access_token.email_claim"),
            kept: None, // as the format says: see `compose`
        },
        session: session(r),
        password: PasswordPolicy { min_length: size(r, "password.min_length", 1..=64) },
        taken_email: r.choice(
            "users.sign_up_conflict",
            &[("hide", TakenEmail::Hide), ("tell", TakenEmail::Tell)],
            TakenEmail::Hide,
        ),
        history: HistoryPolicy { retention: r.duration("history.retention", Duration::ZERO..=LONGEST) },
    };
    let threads = size(r, "password.hash_threads", 0..=256);
    let hashing =
        Hashing { threads: (threads > 0).then_some(threads), queue: size(r, "password.hash_queue", 0..=10_000) };
    let keys = keys(r, &data_dir, access_token.format);
    let sweep = sweep(r);
    let log = log(r);
    let otlp = otlp(r);
    Some(Settings {
        server: server?,
        limits,
        cors,
        data_dir,
        store: store?,
        clock,
        oauth,
        access_token,
        refresh_format,
        policies,
        hashing,
        keys,
        sweep,
        log,
        otlp,
    })
}

fn size(r: &mut Reader<'_>, key: &'static str, range: RangeInclusive<u32>) -> usize {
    usize::try_from(r.number(key, range)).unwrap_or(usize::MAX)
}

fn folder(r: &mut Reader<'_>, key: &'static str) -> PathBuf {
    let path = r.text(key);
    if path.is_empty() && r.sound(&[key]) {
        r.fault(key, "it is empty", "expected the path of a folder; \".\" is where Regrant is started");
    }
    PathBuf::from(path)
}

fn access_token(r: &mut Reader<'_>, issuer_url: Option<&str>) -> AccessToken {
    let opaque = r.choice("access_token.format", &[("jwt", false), ("opaque", true)], false);
    let algorithms = [
        ("ES256", Algorithm::Es256),
        ("EdDSA", Algorithm::EdDsa),
        ("RS256", Algorithm::Rs256),
        ("HS256", Algorithm::Hs256),
    ];
    let algorithm = r.choice("access_token.algorithm", &algorithms, Algorithm::Es256);
    let named = |name: &str, otherwise: &str| if name.is_empty() { otherwise.to_owned() } else { name.to_owned() };
    let issuer = r.text("access_token.issuer");
    AccessToken {
        format: if opaque { AccessFormat::Opaque } else { AccessFormat::Jwt(algorithm) },
        // RFC 8414 §2 and RFC 9068 §2.2 are about one issuer. Refresh tokens are read by nobody else: they are not refused
        // because the service got an address.
        issuer: named(&issuer, issuer_url.unwrap_or(NAME)),
        refresh_issuer: named(&issuer, NAME),
        audience: named(&r.text("access_token.audience"), NAME),
        grace: r.duration("access_token.grace", Duration::ZERO..=Duration::from_mins(1)),
    }
}

fn refresh_token(r: &mut Reader<'_>, access: AccessFormat) -> (RefreshFormat, RefreshPolicy) {
    let formats = [
        ("labelled", RefreshFormat::Labelled),
        ("bare", RefreshFormat::Bare),
        ("opaque", RefreshFormat::Opaque),
        ("jwt", RefreshFormat::Jwt),
    ];
    let format = r.choice("refresh_token.format", &formats, RefreshFormat::Labelled);
    let ttl = r.duration("refresh_token.ttl", SECOND..=LONGEST);
    let policy = RefreshPolicy {
        ttl,
        remembered_ttl: r.duration_or("refresh_token.remembered_ttl", SECOND..=LONGEST, ttl),
        rotate: r.flag("refresh_token.rotate"),
        replay_window: r.duration("refresh_token.replay_window", Duration::ZERO..=RefreshPolicy::MAX_REPLAY_WINDOW),
        strict: r.flag("refresh_token.strict"),
        after_window: r.choice(
            "refresh_token.after_window",
            &[("end", AfterWindow::End), ("reissue", AfterWindow::Reissue)],
            AfterWindow::End,
        ),
        on_rollback: r.choice(
            "refresh_token.on_rollback",
            &[("heal", OnRollback::Heal), ("end", OnRollback::End)],
            OnRollback::Heal,
        ),
    };
    if format == RefreshFormat::Bare && policy.rotate && r.sound(&["refresh_token.format", "refresh_token.rotate"]) {
        r.fault(
            "refresh_token.rotate",
            "tokens of the format \"bare\" cannot rotate: a spent one could not be told from a forged one",
            "expected rotate = false beside format = \"bare\", or another format",
        );
    }
    if access == AccessFormat::Opaque
        && !policy.rotate
        && r.sound(&["access_token.format", "refresh_token.rotate", "refresh_token.format"])
    {
        r.fault(
            "access_token.format",
            "tokens of the format \"opaque\" are replaced together with the refresh token, and that does not rotate",
            "expected format = \"jwt\", or refresh_token.rotate = true",
        );
    }
    (format, policy)
}

fn session(r: &mut Reader<'_>) -> SessionPolicy {
    let when_full =
        [("end_oldest", WhenFull::EndOldest), ("end_least_recent", WhenFull::EndLeastRecent), ("deny", WhenFull::Deny)];
    let max_age = r.duration("session.max_age", SECOND..=LONGEST);
    SessionPolicy {
        max_age,
        remembered_max_age: r.duration_or("session.remembered_max_age", SECOND..=LONGEST, max_age),
        max_per_user: NonZeroU32::new(r.number("session.max_per_user", 0..=10_000)),
        when_full: r.choice("session.when_full", &when_full, WhenFull::EndOldest),
    }
}

fn keys(r: &mut Reader<'_>, data_dir: &Path, access: AccessFormat) -> Keys {
    let dir = Some(r.text("keys.dir")).filter(|dir| !dir.is_empty()).map_or_else(|| data_dir.to_owned(), PathBuf::from);
    let mut file = |key, usual: &str| {
        let name = r.text(key);
        let named = !name.is_empty();
        KeyFile { path: dir.join(if named { &name } else { usual }), named }
    };
    let usual = match access {
        // Not used; it is named nonetheless, so that nothing else takes its place.
        AccessFormat::Opaque => Algorithm::Es256.usual_file(),
        AccessFormat::Jwt(algorithm) => algorithm.usual_file(),
    };
    let signing_key = file("keys.signing_key", usual);
    let token_key = file("keys.token_key", "token.key");
    if signing_key.path == token_key.path && r.sound(&["keys.signing_key", "keys.token_key"]) {
        let key = if token_key.named { "keys.token_key" } else { "keys.signing_key" };
        r.fault(key, "the signing key and the token key are one file", "expected two files");
    }
    let publish_before = r.duration("keys.publish_before", SECOND..=30 * DAY);
    let check_every = r.duration("keys.check_every", SECOND..=Duration::from_hours(1));
    if check_every > publish_before / 2 && r.sound(&["keys.publish_before", "keys.check_every"]) {
        r.fault(
            "keys.publish_before",
            "a key could be used before every process and every verifier knows it",
            "expected at least twice keys.check_every",
        );
    }
    Keys { dir, signing_key, token_key, publish_before, check_every }
}

fn sweep(r: &mut Reader<'_>) -> Sweep {
    let every = r.duration("sweep.every", Duration::ZERO..=7 * DAY);
    let retention = r.duration("sweep.retention", Duration::ZERO..=LONGEST);
    Sweep { every: (!every.is_zero()).then_some(every), retention }
}

fn log(r: &mut Reader<'_>) -> Log {
    use tracing::Level;
    let levels = [
        ("error", Level::ERROR),
        ("warn", Level::WARN),
        ("info", Level::INFO),
        ("debug", Level::DEBUG),
        ("trace", Level::TRACE),
    ];
    let formats = [("human", LogFormat::Human), ("json", LogFormat::Json)];
    Log {
        level: r.choice("log.level", &levels, Level::INFO),
        format: r.choice("log.format", &formats, LogFormat::Human),
    }
}

fn otlp(r: &mut Reader<'_>) -> Option<Otlp> {
    let accepted = "the address of an OTLP collector, such as \"http://127.0.0.1:4318\", or \"\"";
    let traces_url = r.parsed("telemetry.otlp_endpoint", traces_url, accepted);
    let sampling = r.ratio("telemetry.otlp_sampling");
    Some(Otlp { traces_url: traces_url??, sampling })
}

/// Where traces go below a collector's address (OTLP 1.0, "OTLP/HTTP Request"); `None`: there is no collector.
fn traces_url(text: &str) -> Result<Option<String>, &'static str> {
    if text.is_empty() {
        return Ok(None);
    }
    let address: hyper::Uri = text.parse().map_err(|_| "it is no address")?;
    match (address.scheme_str(), address.authority()) {
        (Some("http"), Some(place)) if place.as_str().contains('@') => Err("it names a user"),
        (Some("http"), Some(_)) if address.query().is_some() => Err("it has a question mark"),
        (Some("http"), Some(_)) => Ok(Some(format!("{}/v1/traces", text.trim_end_matches('/')))),
        (Some("https"), _) => Err("TLS is for an agent beside the service to speak"),
        _ => Err("it does not begin with http://"),
    }
}
