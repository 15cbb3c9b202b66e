//! `[store]`, `[users]` and `[clock]`, read.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::reader::Reader;
use super::show::HIDDEN;
use super::store::{Ack, ClockCheck, Database, POSTGRES_RISKS, Postgres, REDIS_RISKS, Redis, Store, Url};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
/// Longest URL file in bytes.
const LONGEST_URL: u64 = 16 * 1024;

/// A kind of `[store]` or `[users]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Only in `[users]`: with the sessions.
    WithSessions,
    Memory,
    Sqlite,
    Postgres,
    /// Only in `[store]`.
    Redis,
}

/// What holds for whichever Postgres and Redis there is.
struct Common {
    max_connections: u32,
    statement_timeout: Duration,
    allow: Vec<String>,
}

/// Reads both sections; `None`: there are faults.
pub(super) fn store(r: &mut Reader<'_>, data_dir: &Path) -> Option<Store> {
    let words =
        [("sqlite", Kind::Sqlite), ("postgres", Kind::Postgres), ("redis", Kind::Redis), ("memory", Kind::Memory)];
    let kind = r.choice("store.kind", &words, Kind::Memory);
    let kind = r.sound(&["store.kind"]).then_some(kind);
    let users_kind = users_kind(r, kind);
    let common = Common {
        max_connections: r.number("store.max_connections", 1..=1000),
        statement_timeout: r.duration("store.statement_timeout", SECOND..=MINUTE),
        allow: allow(r, kind, users_kind),
    };
    let redis = redis(r);
    let url = url(r, "store.url", "store.url_file");
    let users_url = url_of_users(r, kind, users_kind, url.as_deref());
    match kind? {
        Kind::Redis => {
            let url = url.and_then(|url| redis_at(r, url));
            let users_kind = users_kind?;
            let users = users_url.and_then(|url| database(r, users_kind, "users.url", url, data_dir, &common));
            let redis = redis?;
            let allow = common.allow.iter().filter(|name| REDIS_RISKS.contains(&name.as_str())).cloned().collect();
            Some(Store::Redis { sessions: Redis { url: url?, allow, ..redis }, users: users? })
        }
        kind => database(r, kind, "store.url", url?, data_dir, &common).map(Store::Database),
    }
}

/// Which kind `users.kind` comes to, if it is sound.
fn users_kind(r: &mut Reader<'_>, sessions: Option<Kind>) -> Option<Kind> {
    let words =
        [("", Kind::WithSessions), ("sqlite", Kind::Sqlite), ("postgres", Kind::Postgres), ("memory", Kind::Memory)];
    let kind = r.choice("users.kind", &words, Kind::WithSessions);
    if !r.sound(&["users.kind"]) {
        return None;
    }
    match (sessions?, kind) {
        (Kind::Redis, Kind::WithSessions) => {
            let accepted = "expected \"sqlite\" or \"postgres\": a Redis store keeps only sessions";
            r.fault("users.kind", "it is empty, but store.kind is \"redis\"", accepted);
            None
        }
        (Kind::Redis, Kind::Memory) => {
            let accepted = "expected \"sqlite\" or \"postgres\": sessions in Redis would outlive their users";
            r.fault("users.kind", "it is \"memory\", but store.kind is \"redis\"", accepted);
            None
        }
        (Kind::Redis, kind) => Some(kind),
        (sessions, kind) if kind == Kind::WithSessions || kind == sessions => Some(sessions),
        _ => {
            let accepted = "expected nothing: users live with the sessions unless store.kind is \"redis\"";
            r.fault("users.kind", "it is another kind than store.kind", accepted);
            None
        }
    }
}

/// The URL of the users' store, where it is one of its own.
fn url_of_users(
    r: &mut Reader<'_>,
    sessions: Option<Kind>,
    users: Option<Kind>,
    store_url: Option<&str>,
) -> Option<String> {
    let named = !r.word("users.kind").is_empty();
    let url = url(r, "users.url", "users.url_file")?;
    let key = if r.word("users.url").is_empty() { "users.url_file" } else { "users.url" };
    if !url.is_empty() && !named && r.sound(&["users.kind"]) {
        r.fault(key, "it is set, but users.kind is empty", "expected users.kind beside it");
        return None;
    }
    let (sessions, _) = (sessions?, users?);
    if sessions != Kind::Redis && !url.is_empty() && store_url.is_some_and(|store_url| store_url != url) {
        let accepted = "expected nothing, or the same: users live with the sessions unless store.kind is \"redis\"";
        r.fault(key, "it names another place than store.url", accepted);
        return None;
    }
    Some(url)
}

/// The text of a URL, from the one key or from the file that the other one names.
fn url(r: &mut Reader<'_>, key: &'static str, file_key: &'static str) -> Option<String> {
    let (url, file) = (r.text(key), r.text(file_key));
    if !r.sound(&[key, file_key]) {
        return None;
    }
    if url.contains(HIDDEN) {
        let accepted = format!("write the real one, or set the environment variable {}", super::layers::variable(key));
        r.fault(key, "its password was hidden when the configuration was printed", accepted);
        return None;
    }
    if file.is_empty() {
        return Some(url);
    }
    if !url.is_empty() {
        r.fault(file_key, format!("it is set, and so is {key}"), "expected one of the two");
        return None;
    }
    let read = read_url(Path::new(&file));
    read.map_err(|why| r.fault(file_key, format!("{file:?} cannot be read: {why}"), "expected a file with a URL")).ok()
}

fn read_url(file: &Path) -> Result<String, String> {
    use std::io::Read as _;
    let mut text = String::new();
    let read = std::fs::File::open(file).and_then(|file| file.take(LONGEST_URL).read_to_string(&mut text));
    read.map_err(|error| error.to_string())?;
    match text.trim() {
        "" => Err("it is empty".to_owned()),
        url if url.contains(char::is_control) => Err("it holds more than one line".to_owned()),
        url => Ok(url.to_owned()),
    }
}

fn database(
    r: &mut Reader<'_>,
    kind: Kind,
    key: &'static str,
    url: String,
    data_dir: &Path,
    common: &Common,
) -> Option<Database> {
    match kind {
        Kind::Sqlite if url.is_empty() => Some(Database::Sqlite { file: data_dir.join("regrant.db") }),
        Kind::Sqlite => match sqlite_file(&url) {
            Ok(file) => Some(Database::Sqlite { file }),
            Err(why) => {
                let accepted = "expected \"sqlite:\" and the path of a file, or nothing: under data.dir";
                wrong_url(r, key, why, accepted)
            }
        },
        Kind::Postgres => match postgres_url(&url) {
            Ok(()) => Some(Database::Postgres(Postgres {
                url: Url::new(url, key),
                max_connections: common.max_connections,
                statement_timeout: common.statement_timeout,
                allow: common.allow.iter().filter(|name| POSTGRES_RISKS.contains(&name.as_str())).cloned().collect(),
            })),
            Err(why) => wrong_url(r, key, why, "expected \"postgres://user:password@host:5432/database\""),
        },
        Kind::Memory | Kind::WithSessions | Kind::Redis if url.is_empty() => Some(Database::Memory),
        Kind::Memory | Kind::WithSessions | Kind::Redis => {
            r.fault(key, "it is set, but store.kind is \"memory\"", "expected nothing");
            None
        }
    }
}

/// The message does not repeat the URL.
fn wrong_url<T>(r: &mut Reader<'_>, key: &'static str, why: &str, accepted: &str) -> Option<T> {
    let file_key = if key == "store.url" { "store.url_file" } else { "users.url_file" };
    let key = if r.word(file_key).is_empty() { key } else { file_key };
    r.fault(key, format!("the value cannot be used: {why}"), accepted);
    None
}

/// `sqlite:PATH`, `sqlite://PATH`, or a plain path.
fn sqlite_file(url: &str) -> Result<PathBuf, &'static str> {
    let path = match url.split_once(':') {
        Some(("sqlite", path)) => path.strip_prefix("//").unwrap_or(path),
        Some((scheme, rest)) if scheme.len() > 1 && rest.starts_with("//") => {
            return Err("it names another kind of store");
        }
        _ => url,
    };
    match path {
        "" => Err("it names no file"),
        ":memory:" => Err("a database in memory is store.kind = \"memory\""),
        _ if path.contains('?') => Err("options after a question mark are not supported"),
        path => Ok(PathBuf::from(path)),
    }
}

/// Parameters of a Postgres URL that count; further ones would be ignored, and one of them may be a misspelt password.
const POSTGRES_PARAMETERS: [&str; 17] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "statement-cache-capacity",
];

/// Only the form: what the values of parameters mean is for the driver to say.
fn postgres_url(url: &str) -> Result<(), &'static str> {
    let rest = match url.split_once("://") {
        _ if url.is_empty() => return Err("it is empty, but the kind is \"postgres\""),
        Some(("postgres" | "postgresql", "")) => return Err("it names no server"),
        Some(("postgres" | "postgresql", rest)) => rest,
        Some(_) => return Err("it names another kind of store"),
        None => return Err("it is not a URL"),
    };
    let parameters = rest.split_once('?').map_or("", |(_, parameters)| parameters);
    let mut names = parameters.split('&').map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name));
    let is_known = |name: &str| name.is_empty() || name.starts_with("options") || POSTGRES_PARAMETERS.contains(&name);
    if names.all(is_known) {
        return Ok(());
    }
    Err("after the question mark is a parameter that has no effect here; known are sslmode, sslrootcert, sslcert, \
         sslkey, host, hostaddr, port, dbname, user, password, application_name and options")
}

const REDIS_FORMS: &str = "expected \"redis://host:6379/0\", \"rediss://…\" (TLS), \"redis+unix:///path\", \
                           \"redis+cluster://a:1,b:2,c:3\" or \"redis+sentinel://a:1,b:2,c:3/name\" (TLS: \
                           \"rediss+cluster://…\", \"rediss+sentinel://…\"), each with user:password@ before the hosts \
                           where needed";

fn redis_at(r: &mut Reader<'_>, url: String) -> Option<Url> {
    match redis_url(&url) {
        Ok(()) => Some(Url::new(url, "store.url")),
        Err(why) => wrong_url(r, "store.url", why, REDIS_FORMS),
    }
}

fn redis_url(url: &str) -> Result<(), &'static str> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(if url.is_empty() { "it is empty, but the kind is \"redis\"" } else { "it is not a URL" });
    };
    let (server, form) = scheme.split_once('+').unwrap_or((scheme, ""));
    let is_redis = matches!(server, "redis" | "rediss" | "valkey" | "valkeys") || scheme == "unix";
    let rest = rest.split_once('?').map_or(rest, |(rest, _)| rest);
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    let path = path.trim_end_matches('/');
    let is_socket = form == "unix" || scheme == "unix";
    match form {
        _ if !is_redis => Err("it names another kind of store"),
        _ if is_socket => {
            if path.is_empty() {
                Err("it names no socket")
            } else {
                Ok(())
            }
        }
        "" | "cluster" | "sentinel" if hosts.trim_matches([',', ' ']).is_empty() => Err("it names no server"),
        "cluster" if !path.is_empty() => Err("a Cluster has no databases: leave the path away"),
        "sentinel" if path.is_empty() => Err("the name of the master is missing"),
        "" | "cluster" | "sentinel" => Ok(()),
        _ => Err("what follows the plus sign is not known"),
    }
}

/// Everything but the URL and what is allowed.
fn redis(r: &mut Reader<'_>) -> Option<Redis> {
    let prefix = r.parsed("store.prefix", prefix, "1 to 64 letters, digits, and : . _ -");
    let response_timeout = r.duration("store.response_timeout", SECOND..=MINUTE);
    let ack = r.parsed("store.ack", ack, "\"none\", \"replicas:N\", \"aof\" or \"aof:N\", with N from 1 to 100");
    let ack_timeout = r.duration("store.ack_timeout", SECOND..=MINUTE);
    let waits = ack.is_some_and(|ack| ack != Ack::None);
    let keys = ["store.response_timeout", "store.ack_timeout"];
    if waits && ack_timeout >= response_timeout && r.sound(&keys) && r.word("store.kind") == "redis" {
        let accepted = "expected less than store.response_timeout";
        r.fault("store.ack_timeout", "an answer is given up before it is acknowledged", accepted);
    }
    let url = Url::new(String::new(), "store.url");
    Some(Redis { url, prefix: prefix?, response_timeout, ack: ack?, ack_timeout, allow: Vec::new() })
}

fn prefix(text: &str) -> Result<String, &'static str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '.' | '_' | '-');
    match text.len() {
        0 => Err("it is empty"),
        65.. => Err("it is too long"),
        _ if !text.chars().all(is_plain) => Err("it has other characters"),
        _ => Ok(text.to_owned()),
    }
}

fn ack(text: &str) -> Result<Ack, &'static str> {
    let (word, number) = text.split_once(':').map_or((text, None), |(word, number)| (word, Some(number)));
    let number = match number {
        None => None,
        Some(number) => {
            let number = number.parse::<u32>().map_err(|_| "what follows the colon is not a number")?;
            Some(number).filter(|number| (1..=100).contains(number)).ok_or("the number is out of range").map(Some)?
        }
    };
    match (word, number) {
        ("none", None) => Ok(Ack::None),
        ("replicas", Some(replicas)) => Ok(Ack::Replicas(replicas)),
        ("replicas", None) => Err("the number of replicas is missing"),
        ("aof", replicas) => Ok(Ack::Aof { replicas: replicas.unwrap_or(0) }),
        _ => Err("it is not known"),
    }
}

/// The names of `store.allow`, each known to a store that is in use.
fn allow(r: &mut Reader<'_>, store: Option<Kind>, users: Option<Kind>) -> Vec<String> {
    let names = r.list("store.allow");
    let Some(store) = store.filter(|_| r.sound(&["store.allow"])) else { return names };
    let mut known = Vec::new();
    if store == Kind::Redis {
        known.extend(REDIS_RISKS);
    }
    if store == Kind::Postgres || users == Some(Kind::Postgres) {
        known.extend(POSTGRES_RISKS);
    }
    let accepted = if known.is_empty() {
        format!("expected [] where store.kind is {:?}", r.word("store.kind"))
    } else {
        format!("expected some of {}", known.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", "))
    };
    for name in names.iter().filter(|name| !known.contains(&name.as_str())) {
        r.fault("store.allow", format!("{name:?} is not known"), accepted.clone());
    }
    names
}

pub(super) fn clock(r: &mut Reader<'_>) -> ClockCheck {
    ClockCheck {
        every: r.duration("clock.check_every", SECOND..=Duration::from_hours(1)),
        warn_above: r.duration("clock.warn_above", SECOND..=Duration::from_hours(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_that_redis_users_know_is_read() {
        for url in [
            "redis://localhost",
            "redis://:secret@10.0.0.1:6380/2",
            "rediss://me:secret@cache.example/0",
            "redis+unix:///run/redis.sock",
            "unix:///run/redis.sock",
            "redis+cluster://a,b,c",
            "rediss+cluster://me:secret@a:1,b:2",
            "redis+sentinel://a,b,c/main",
            "rediss+sentinel://me:secret@a:1,b:2/main/3?sentinel_password=x",
            "valkey://localhost",
        ] {
            assert_eq!(redis_url(url), Ok(()), "{url}");
        }
        for (url, why) in [
            ("", "it is empty"),
            ("localhost:6379", "not a URL"),
            ("postgres://localhost", "another kind"),
            ("redis://", "no server"),
            ("redis+cluster://me:secret@", "no server"),
            ("redis+cluster://a/1", "no databases"),
            ("redis+sentinel://a,b", "name of the master"),
            ("redis+unix://", "no socket"),
            ("redis+magic://a", "plus sign"),
        ] {
            let told = redis_url(url).expect_err(url);
            assert!(told.contains(why), "{url}: {told}");
        }
    }

    #[test]
    fn parameters_of_postgres_that_would_be_ignored_are_refused() {
        for url in
            ["postgres://a/b", "postgresql://me@a/b?sslmode=disable&options[search_path]=x", "postgres:///b?host=/run"]
        {
            assert_eq!(postgres_url(url), Ok(()), "{url}");
        }
        for url in ["postgres://a/b?pasword=hunter2", "postgres://a/b?sslmode=disable&channel_binding=require"] {
            let told = postgres_url(url).expect_err(url);
            assert!(told.contains("no effect here") && !told.contains("hunter2"), "{told}");
        }
    }

    #[test]
    fn acknowledgements_are_read() {
        assert_eq!(ack("none"), Ok(Ack::None));
        assert_eq!(ack("replicas:2"), Ok(Ack::Replicas(2)));
        assert_eq!(ack("aof"), Ok(Ack::Aof { replicas: 0 }));
        assert_eq!(ack("aof:1"), Ok(Ack::Aof { replicas: 1 }));
        for wrong in ["", "all", "none:1", "replicas", "replicas:", "replicas:0", "replicas:-1", "aof:101", "aof:x"] {
            assert!(ack(wrong).is_err(), "{wrong}");
        }
    }
}
