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
    AccessFormat, AccessToken, Algorithm, Hashing, KeyFile, Keys, Log, LogFormat, RefreshFormat, Settings, Sweep,
};
use super::{read_http, read_store};

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
    let access_token = access_token(r);
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
    Some(Settings {
        server: server?,
        limits,
        cors,
        data_dir,
        store: store?,
        clock,
        access_token,
        refresh_format,
        policies,
        hashing,
        keys,
        sweep,
        log,
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

fn access_token(r: &mut Reader<'_>) -> AccessToken {
    let opaque = r.choice("access_token.format", &[("jwt", false), ("opaque", true)], false);
    let algorithms = [
        ("ES256", Algorithm::Es256),
        ("EdDSA", Algorithm::EdDsa),
        ("RS256", Algorithm::Rs256),
        ("HS256", Algorithm::Hs256),
    ];
    let algorithm = r.choice("access_token.algorithm", &algorithms, Algorithm::Es256);
    let named = |name: String| if name.is_empty() { "regrant".to_owned() } else { name };
    AccessToken {
        format: if opaque { AccessFormat::Opaque } else { AccessFormat::Jwt(algorithm) },
        issuer: named(r.text("access_token.issuer")),
        audience: named(r.text("access_token.audience")),
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
        AccessFormat::Opaque | AccessFormat::Jwt(Algorithm::Es256) => "access-es256.pem",
        AccessFormat::Jwt(Algorithm::EdDsa) => "access-eddsa.pem",
        AccessFormat::Jwt(Algorithm::Rs256) => "access-rs256.pem",
        AccessFormat::Jwt(Algorithm::Hs256) => "access-hs256.key",
    };
    let signing_key = file("keys.signing_key", usual);
    let token_key = file("keys.token_key", "token.key");
    if signing_key.path == token_key.path && r.sound(&["keys.signing_key", "keys.token_key"]) {
        let key = if token_key.named { "keys.token_key" } else { "keys.signing_key" };
        r.fault(key, "the signing key and the token key are one file", "expected two files");
    }
    Keys { dir, signing_key, token_key }
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
