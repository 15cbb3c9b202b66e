//! What is asked of a server before it may keep sessions, all at once, each by the name of its setting.

use std::collections::HashMap;

use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind};

use super::connection::{Link, Master, To, mentions};
use super::options::{Ack, RedisAllowance, RedisOptions};

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Reasons not to start.
    pub(super) refused: Vec<String>,
    /// What the operator should know.
    pub(super) warnings: Vec<String>,
}

/// Asks every master.
pub(super) async fn check(link: &Link, options: &RedisOptions) -> RedisResult<Findings> {
    let mut findings = Findings::default();
    for master in link.masters().await? {
        Check { link, options, master: &master, findings: &mut findings }.run().await?;
    }
    Ok(findings)
}

struct Check<'a> {
    link: &'a Link,
    options: &'a RedisOptions,
    master: &'a Master,
    findings: &'a mut Findings,
}

impl Check<'_> {
    async fn run(mut self) -> RedisResult<()> {
        let info = self.info().await?;
        let told = |name: &str| info.get(name).map(String::as_str);
        self.version(told("redis_version"));
        self.role(told("role"));
        // INFO tells some of it even where CONFIG is not allowed.
        let policy = match told("maxmemory_policy") {
            Some(policy) => Some(policy.to_owned()),
            None => self.setting("maxmemory-policy").await?,
        };
        self.eviction(policy.as_deref());
        let appends = match told("aof_enabled") {
            Some(enabled) => Some(enabled == "1"),
            None => self.setting("appendonly").await?.map(|value| value == "yes"),
        };
        if appends == Some(true) {
            let fsync = self.setting("appendfsync").await?;
            self.fsync(fsync.as_deref());
        } else {
            let save = self.setting("save").await?;
            self.snapshots(appends, save.as_deref());
        }
        self.acknowledgement(appends, told("connected_slaves"));
        Ok(())
    }

    fn refuse(&mut self, allowance: RedisAllowance, fault: &str) {
        let master = self.master;
        if self.options.allows(allowance) {
            self.findings.warnings.push(format!("{master}: {fault} (allowed by {})", allowance.name()));
        } else {
            let name = allowance.name();
            self.findings.refused.push(format!("{master}: {fault}; to start all the same, set {name}"));
        }
    }

    fn warn(&mut self, what: &str) {
        let master = self.master;
        self.findings.warnings.push(format!("{master}: {what}"));
    }

    fn version(&mut self, version: Option<&str>) {
        let shown = version.unwrap_or("unknown");
        if parsed(version) < (6, 2) {
            self.refuse(RedisAllowance::OldServer, &format!("redis_version is {shown}: 6.2 or later is needed"));
        }
        if matches!(self.options.ack, Ack::Aof { .. }) && parsed(version) < (7, 2) {
            let fault = format!("redis_version is {shown}: acknowledgement by `aof` needs 7.2 or later");
            self.findings.refused.push(format!("{}: {fault}", self.master));
        }
    }

    fn role(&mut self, role: Option<&str>) {
        if role != Some("master") {
            let role = role.unwrap_or("unknown");
            self.refuse(
                RedisAllowance::Replica,
                &format!("role is {role}: sessions can only be kept by a master; use redis+sentinel:// to find it"),
            );
        }
    }

    fn eviction(&mut self, policy: Option<&str>) {
        match policy {
            Some("noeviction") => {}
            Some(policy) => self.refuse(
                RedisAllowance::Eviction,
                &format!(
                    "maxmemory-policy is {policy}: sessions would vanish when memory is short; set it to noeviction"
                ),
            ),
            None => self.unreadable("maxmemory-policy"),
        }
    }

    fn fsync(&mut self, fsync: Option<&str>) {
        match fsync {
            Some("always") => {}
            Some("everysec") => {
                self.warn("appendfsync is everysec: a crash or a power failure may take the writes of the last two seconds along");
            }
            Some("no") => self.refuse(
                RedisAllowance::NoFsync,
                "appendfsync is no: a power failure may take the writes of the last half minute along; set it to everysec \
                 or always",
            ),
            Some(other) => self.warn(&format!("appendfsync is {other}, which is not known")),
            None => self.unreadable("appendfsync"),
        }
    }

    fn snapshots(&mut self, appends: Option<bool>, save: Option<&str>) {
        match (appends, save) {
            (Some(false), Some("")) => self.refuse(
                RedisAllowance::NoPersistence,
                "appendonly is no and save is empty: a restart would sign everybody out; set appendonly to yes",
            ),
            (Some(false), Some(save)) => self.warn(&format!(
                "appendonly is no: a crash takes everything since the last snapshot along (save is \"{save}\"), ends of \
                 sessions included",
            )),
            (None, _) => self.unreadable("appendonly"),
            (_, None) => self.unreadable("save"),
            (Some(true), Some(_)) => {}
        }
    }

    fn acknowledgement(&mut self, appends: Option<bool>, replicas: Option<&str>) {
        let wanted = match self.options.ack {
            Ack::None => return,
            Ack::Replicas(wanted) => wanted,
            Ack::Aof { replicas } => {
                if appends == Some(false) {
                    let fault = "appendonly is no: acknowledgement by `aof` needs it";
                    self.findings.refused.push(format!("{}: {fault}", self.master));
                }
                replicas
            }
        };
        let connected = replicas.and_then(|replicas| replicas.parse::<u32>().ok()).unwrap_or(0);
        if connected < wanted {
            self.warn(&format!(
                "connected_slaves is {connected}: writes that {wanted} replicas must acknowledge will not succeed"
            ));
        }
    }

    fn unreadable(&mut self, setting: &str) {
        self.refuse(
            RedisAllowance::UnreadableSettings,
            &format!("{setting} cannot be read, because this server does not allow CONFIG GET"),
        );
    }

    async fn info(&self) -> RedisResult<HashMap<String, String>> {
        let text: String = self.ask(&redis::cmd("INFO")).await?;
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        Ok(lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect())
    }

    /// `None`: the server does not tell.
    async fn setting(&self, name: &str) -> RedisResult<Option<String>> {
        match self.ask::<HashMap<String, String>>(redis::cmd("CONFIG").arg("GET").arg(name)).await {
            Ok(mut settings) => Ok(settings.remove(name)),
            Err(error) if is_forbidden(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        Ok(redis::from_redis_value(self.link.send(command, To::Master(self.master)).await?)?)
    }
}

/// Managed servers rename CONFIG away, or take the right to use it.
fn is_forbidden(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(ServerErrorKind::ResponseError | ServerErrorKind::NoPerm))
        || mentions(error, "NOPERM")
}

/// Major and minor.
fn parsed(version: Option<&str>) -> (u32, u32) {
    let mut parts = version.unwrap_or_default().split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}
