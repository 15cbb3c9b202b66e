//! Addresses as people write them: one server, a Cluster, or the master that Sentinels name.

use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisResult, TlsMode};

use super::StartError;

/// Where the sessions are.
pub(super) enum Address {
    /// One server.
    Server(Box<Client>),
    /// A Cluster, by some of its nodes.
    Cluster(Vec<ConnectionInfo>),
    /// The master of this name, by its Sentinels.
    Sentinel(Box<SentinelClient>),
}

const FORMS: &str = "expected redis://host:port/db, rediss://… (TLS), redis+unix:///path, redis+cluster://a:1,b:2,c:3 or \
                     redis+sentinel://a:1,b:2,c:3/name/db, each with user:password@ before the hosts where needed, and \
                     rediss+cluster:// or rediss+sentinel:// for TLS";

impl Address {
    pub(super) fn parse(url: &str) -> Result<Self, StartError> {
        let Some((scheme, rest)) = url.split_once("://") else { return Err(invalid(FORMS)) };
        match scheme {
            "redis" | "rediss" | "valkey" | "valkeys" | "unix" | "redis+unix" | "valkey+unix" => {
                Client::open(url).map(Box::new).map(Self::Server).map_err(|error| refused(&error))
            }
            "redis+cluster" | "rediss+cluster" | "valkey+cluster" | "valkeys+cluster" => {
                let parts = Parts::of(rest, tls(scheme))?;
                if !parts.path.is_empty() {
                    return Err(invalid("a Cluster has no databases: leave the path away"));
                }
                parts.nodes(&parts.user, "").map(Self::Cluster).map_err(|error| refused(&error))
            }
            "redis+sentinel" | "rediss+sentinel" | "valkey+sentinel" | "valkeys+sentinel" => {
                sentinel(&Parts::of(rest, tls(scheme))?)
            }
            _ => Err(invalid(FORMS)),
        }
    }
}

fn tls(scheme: &str) -> bool {
    scheme.starts_with("rediss+") || scheme.starts_with("valkeys+")
}

fn sentinel(parts: &Parts<'_>) -> Result<Address, StartError> {
    let (name, db) = parts.path.split_once('/').unwrap_or((parts.path, ""));
    if name.is_empty() {
        return Err(invalid("the name of the master is missing: redis+sentinel://a,b,c/name"));
    }
    // User and password are those of the master. Sentinels may have their own.
    let own = |key| parts.query.split('&').find_map(|pair| pair.strip_prefix(key)).unwrap_or_default();
    let sentinel_user = match (own("sentinel_user="), own("sentinel_password=")) {
        ("", "") => String::new(),
        (user, password) => format!("{user}:{password}@"),
    };
    let build = || -> RedisResult<SentinelClient> {
        let sentinels = parts.nodes(&sentinel_user, "")?;
        let as_master = parts.nodes(&parts.user, db)?;
        let mut node = SentinelNodeConnectionInfo::default();
        if let Some(like) = as_master.first() {
            node = node.set_redis_connection_info(like.redis_settings().clone());
            if let ConnectionAddr::TcpTls { insecure, .. } = like.addr() {
                node = node.set_tls_mode(if *insecure { TlsMode::Insecure } else { TlsMode::Secure });
            }
        }
        SentinelClient::build(sentinels, name, Some(node), SentinelServerType::Master)
    };
    build().map(|client| Address::Sentinel(Box::new(client))).map_err(|error| refused(&error))
}

/// `user:password@host:port,host:port/path?query`
struct Parts<'a> {
    tls: bool,
    user: String,
    hosts: Vec<&'a str>,
    path: &'a str,
    query: &'a str,
}

impl<'a> Parts<'a> {
    fn of(rest: &'a str, tls: bool) -> Result<Self, StartError> {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (format!("{user}@"), hosts),
            None => (String::new(), authority),
        };
        let hosts: Vec<_> = hosts.split(',').map(str::trim).filter(|host| !host.is_empty()).collect();
        if hosts.is_empty() {
            return Err(invalid(FORMS));
        }
        Ok(Self { tls, user, hosts, path: path.trim_end_matches('/'), query })
    }

    fn nodes(&self, user: &str, db: &str) -> RedisResult<Vec<ConnectionInfo>> {
        let scheme = if self.tls { "rediss" } else { "redis" };
        self.hosts.iter().map(|host| format!("{scheme}://{user}{host}/{db}").into_connection_info()).collect()
    }
}

/// The address itself may hold a password, so no message repeats it.
fn invalid(why: &str) -> StartError {
    StartError::Address(why.to_owned())
}

fn refused(error: &redis::RedisError) -> StartError {
    StartError::Address(format!("{error}; {FORMS}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(url: &str) -> Result<String, String> {
        match Address::parse(url) {
            Ok(Address::Server(client)) => Ok(format!("server {}", client.get_connection_info().addr())),
            Ok(Address::Cluster(nodes)) => {
                Ok(nodes.iter().map(|node| node.addr().to_string()).collect::<Vec<_>>().join(" "))
            }
            Ok(Address::Sentinel(_)) => Ok("sentinel".into()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn the_usual_forms_are_read() {
        assert_eq!(kind("redis://127.0.0.1:7000/3").as_deref(), Ok("server 127.0.0.1:7000"));
        assert_eq!(kind("rediss://user:p%40ss@cache.example").as_deref(), Ok("server cache.example:6379"));
        assert_eq!(kind("redis+unix:///run/redis.sock?db=2").as_deref(), Ok("server /run/redis.sock"));
        assert_eq!(kind("redis+cluster://u:p@a:1,b:2,c").as_deref(), Ok("a:1 b:2 c:6379"));
        assert_eq!(kind("rediss+cluster://a:1").as_deref(), Ok("a:1"));
        assert_eq!(kind("redis+sentinel://u:p@a:26379,b:26379/main/1").as_deref(), Ok("sentinel"));
        assert_eq!(kind("rediss+sentinel://a,b,c/main?sentinel_password=x").as_deref(), Ok("sentinel"));
    }

    #[test]
    fn what_cannot_be_read_is_told_without_the_password() {
        for url in [
            "",
            "localhost",
            "http://a:hunter2@x",
            "redis+cluster://:hunter2@",
            "redis+cluster://:hunter2@a:1/4",
            "redis+sentinel://:hunter2@a,b",
            "redis+sentinel://:hunter2@a,b/name/notanumber",
            "redis://:hunter2@a:notaport",
        ] {
            let Err(message) = kind(url) else { panic!("{url} was read") };
            assert!(!message.contains("hunter2") && message.len() > 20, "{message}");
        }
    }
}
