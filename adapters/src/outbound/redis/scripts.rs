//! The Lua scripts, and how they are run: one script on one key, so that it is right on a Cluster.
//!
//! A script may run twice: the Cluster client sends again after a lost connection, and so does ours. So every call has
//! an *attempt*, a number of its own that the script stores with what it wrote; a second run of the same attempt finds
//! its own number and gives the same answer, and anybody else's equal call does not.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisResult, Script, ServerErrorKind, ToRedisArgs, Value};
use regrant_domain::ports::PortError;

use super::connection::{Link, To, mentions};
use super::options::Ack;

/// All scripts, the same for every store of this process.
pub(super) static SCRIPTS: LazyLock<Scripts> = LazyLock::new(Scripts::default);

/// See [`SCRIPTS`].
pub(super) struct Scripts {
    pub(super) open: Code,
    pub(super) carry: Code,
    pub(super) rotate: Code,
    pub(super) end: Code,
    pub(super) forget: Code,
    pub(super) join: Code,
    pub(super) leave: Code,
    pub(super) index: Code,
    pub(super) append: Code,
    pub(super) note: Code,
    pub(super) limit: Code,
}

/// The text of a script, and its name on the server.
pub(super) struct Code {
    text: &'static str,
    hash: String,
}

macro_rules! code {
    ($file:literal) => {
        Code::new(include_str!($file))
    };
    (keep, $file:literal) => {
        Code::new(concat!(include_str!("lua/keep.lua"), include_str!($file)))
    };
}

/// The script of every refresh that wins. (Public for `tests/load`, which measures it by itself.)
pub const ROTATE: &str = concat!(include_str!("lua/keep.lua"), include_str!("lua/rotate.lua"));

impl Default for Scripts {
    fn default() -> Self {
        Self {
            open: code!(keep, "lua/open.lua"),
            carry: code!(keep, "lua/carry.lua"),
            rotate: Code::new(ROTATE),
            end: code!(keep, "lua/end.lua"),
            forget: code!("lua/forget.lua"),
            join: code!("lua/join.lua"),
            leave: code!("lua/leave.lua"),
            index: code!("lua/index.lua"),
            append: code!("lua/append.lua"),
            note: code!("lua/note.lua"),
            limit: code!("lua/limit.lua"),
        }
    }
}

impl Code {
    fn new(text: &'static str) -> Self {
        Self { text, hash: Script::new(text).get_hash().to_owned() }
    }

    /// A run of this script on this key.
    pub(super) fn on(&'static self, key: impl Into<String>) -> Run {
        Run { code: self, key: key.into(), args: Vec::with_capacity(12) }
    }
}

/// A script with what it runs on.
#[derive(Clone)]
pub(super) struct Run {
    code: &'static Code,
    key: String,
    args: Vec<Vec<u8>>,
}

/// What a script answered, and whether what it wrote was acknowledged as widely as was asked for.
pub(super) type Acked = RedisResult<(Value, bool)>;

impl Run {
    pub(super) fn arg(mut self, arg: impl ToRedisArgs) -> Self {
        arg.write_redis_args(&mut self.args);
        self
    }

    fn command(&self, verb: &str, script: &str) -> Cmd {
        let mut command = redis::cmd(verb);
        command.arg(script).arg(1).arg(&self.key);
        for arg in &self.args {
            command.arg(arg.as_slice());
        }
        command
    }

    /// Runs it; by its name, and where the server has forgotten that (it was restarted), by its text.
    pub(super) async fn send(&self, link: &Link) -> RedisResult<Value> {
        match link.send(&self.command("EVALSHA", &self.code.hash), To::Key(&self.key)).await {
            Err(error) if is_no_script(&error) => {
                link.send(&self.command("EVAL", self.code.text), To::Key(&self.key)).await
            }
            answer => answer,
        }
    }

    /// Runs all of these, one behind the other in one round trip, and has them acknowledged together. Each answers for
    /// itself. To one master: on a Cluster, each goes its own way.
    pub(super) async fn send_all(runs: &[Self], link: &Link, wait: &Wait) -> Vec<Acked> {
        if let [one] = runs {
            return vec![one.send_acked(link, wait).await];
        }
        let mut commands = Pipeline::with_capacity(runs.len() + 1);
        for run in runs {
            commands.add_command(run.command("EVALSHA", &run.code.hash));
        }
        if let Some(wait) = &wait.command {
            commands.add_command(wait.clone());
        }
        let answers = link.send_together(&commands, runs.len() + usize::from(wait.is_asked())).await;
        let mut answers = match answers {
            Ok(answers) => answers,
            Err(error) => return runs.iter().map(|_| Err(error.clone())).collect(),
        };
        let acked = if wait.is_asked() { answers.pop().map(|answer| wait.is_met_by(answer)) } else { None };
        let mut outcomes = Vec::with_capacity(runs.len());
        for (run, answer) in runs.iter().zip(answers) {
            outcomes.push(match (answer.extract_error(), &acked) {
                (Err(error), _) if is_no_script(&error) => run.send_acked(link, wait).await,
                (Err(error), _) => Err(error),
                (Ok(_), Some(Err(error))) => Err(error.clone()),
                (Ok(answer), acked) => Ok((answer, !matches!(acked, Some(Ok(false))))),
            });
        }
        outcomes
    }

    /// The same, with an answer to whether it was acknowledged as widely as was asked for.
    pub(super) async fn send_acked(&self, link: &Link, wait: &Wait) -> Acked {
        let Some(command) = &wait.command else { return self.send(link).await.map(|answer| (answer, true)) };
        let by_name = self.command("EVALSHA", &self.code.hash);
        let (answer, waited) = match link.send_and_wait(&by_name, command, &self.key).await {
            Err(error) if is_no_script(&error) => {
                link.send_and_wait(&self.command("EVAL", self.code.text), command, &self.key).await?
            }
            answers => answers?,
        };
        Ok((answer, wait.is_met_by(waited)?))
    }
}

fn is_no_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// The command that waits for acknowledgement, if any is asked for.
pub(super) struct Wait {
    ack: Ack,
    command: Option<Cmd>,
}

impl Wait {
    pub(super) fn new(ack: Ack, timeout: std::time::Duration) -> Self {
        let timeout = timeout.as_millis().max(1).to_string();
        let command = match ack {
            Ack::None => None,
            Ack::Replicas(replicas) => Some(redis::cmd("WAIT").arg(replicas).arg(timeout).take()),
            Ack::Aof { replicas } => Some(redis::cmd("WAITAOF").arg(1).arg(replicas).arg(timeout).take()),
        };
        Self { ack, command }
    }

    /// How many connections of their own the writes need.
    pub(super) fn lanes(&self) -> usize {
        if self.is_asked() { 4 } else { 0 }
    }

    pub(super) fn is_asked(&self) -> bool {
        self.command.is_some()
    }

    fn is_met_by(&self, answer: Value) -> RedisResult<bool> {
        Ok(match self.ack {
            Ack::None => true,
            Ack::Replicas(wanted) => redis::from_redis_value::<u32>(answer)? >= wanted,
            Ack::Aof { replicas: wanted } => {
                let (here, there): (u32, u32) = redis::from_redis_value(answer)?;
                here >= 1 && there >= wanted
            }
        })
    }
}

/// Numbers for attempts: a random start per process, then counted.
pub(super) struct Attempts {
    process: [u8; 6],
    next: AtomicU32,
}

/// The number of one call, whatever the number of times that it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attempt([u8; 10]);

impl Attempts {
    /// The standard library seeds its hash maps from the operating system's generator, which is all that is needed:
    /// these numbers are no secret; two processes only must not give the same number to equal calls for one session.
    pub(super) fn new() -> Self {
        let [process @ .., _, _] = RandomState::new().hash_one("attempt").to_be_bytes();
        Self { process, next: AtomicU32::new(0) }
    }

    pub(super) fn next(&self) -> Attempt {
        let mut bytes = [0; 10];
        bytes[..6].copy_from_slice(&self.process);
        bytes[6..].copy_from_slice(&self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        Attempt(bytes)
    }
}

impl Attempt {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What this part is called in errors.
pub(super) const WHAT: &str = "the session store (Redis)";

/// A value of the wrong type is nothing that time heals; anything else may be.
pub(super) fn port_error(error: RedisError) -> PortError {
    let corrupt = mentions(&error, "WRONGTYPE")
        || matches!(error.kind(), ErrorKind::UnexpectedReturnType | ErrorKind::Server(ServerErrorKind::CrossSlot));
    if corrupt { PortError::corrupt(WHAT, error) } else { PortError::unavailable(WHAT, error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_attempts_are_equal() {
        let (a, b) = (Attempts::new(), Attempts::new());
        let first = a.next();
        assert_ne!(first, a.next());
        assert_ne!(first, b.next());
    }
}
