//! redis-benchmark with the very script of a refresh.
//!
//! It can put random numbers into a command and remembers nothing, so each session is rotated from a token to the same
//! token again: everything is compared and everything is written that a refresh compares and writes, with values as long.
//! That the server wrote as often as it ran the script is checked by its own statistics.

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use regrant_adapters::outbound::redis::{ROTATE, RedisOptions};
use regrant_adapters::outbound::system::system_now;
use regrant_domain::ids::{SessionId, UserId};
use regrant_domain::ports::Portable as _;
use regrant_domain::refresh_token::{Generation, Held, LookupKey, Recent, Spent, TokenState};
use regrant_domain::secret::SecretHash;
use regrant_domain::session::{Device, Session, Snapshot, Status};
use regrant_domain::time::Timestamp;
use std::time::Duration;

use super::ground::Ground;
use crate::Failure;

/// What redis-benchmark replaces: twelve digits.
const RANDOM: &str = "__rand_int__";
/// Before and after these digits, so that a key decodes to a session's id.
const AROUND: (&str, &str) = ("regrantld", "A");
const DAY: Duration = Duration::from_hours(24);
/// Text, since it is an argument of a program.
const HASH: &[u8; 32] = b"the hash of a secret: 32 bytes..";
const SPENT: &str = "ten bytes.";
/// How often to run it to find out how fast it is.
const TRIAL: u64 = 20_000;

/// Sessions for it.
pub(super) struct RedisBenchmark {
    sessions: u64,
    key: String,
    now: Timestamp,
    script: String,
}

impl RedisBenchmark {
    pub(super) async fn prepare(ground: &Ground, sessions: u64) -> Result<Self, Failure> {
        let now = system_now();
        let node = ground.redis().first();
        let options = RedisOptions::new(ground.redis().url());
        let store = regrant_adapters::outbound::redis::RedisStore::connect(&options).await?;
        let numbers: Vec<_> = (0..sessions).collect();
        for some in numbers.chunks(500) {
            let all = some.iter().map(|number| snapshot(*number, now)).collect::<Result<_, _>>()?;
            store.keep_sessions(all).await?;
        }
        store.close();
        let pattern = format!("*{}{:012}{}*", AROUND.0, 0, AROUND.1);
        let mut connection = node.connect()?;
        let found: Vec<String> = redis::cmd("KEYS").arg(&pattern).query(&mut connection)?;
        let [key] = found.as_slice() else { return Err(format!("the keys of session 0 are {found:?}").into()) };
        let script = redis::cmd("SCRIPT").arg("LOAD").arg(ROTATE).query(&mut connection)?;
        Ok(Self { sessions, key: key.replace(&format!("{:012}", 0), RANDOM), now, script })
    }

    /// Runs it with so many clients; rotations a second.
    pub(super) fn run(&self, ground: &Ground, clients: u64) -> Result<f64, Failure> {
        let trial = self.benchmark(ground, clients, TRIAL)?;
        if ground.options.warm_up > 0 {
            self.benchmark(ground, clients, (trial * f64::from(ground.options.warm_up)) as u64 + 1)?;
        }
        let node = ground.redis().first();
        node.ask("CONFIG", &["RESETSTAT"])?;
        let requests = (trial * f64::from(ground.options.seconds)) as u64 + 1;
        let rate = self.benchmark(ground, clients, requests)?;
        let statistics = node.ask("INFO", &["commandstats"])?;
        let calls = |command: &str| {
            let line = statistics.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")))?;
            line.split(',').next()?.parse::<u64>().ok()
        };
        let (ran, wrote) = (calls("evalsha").unwrap_or(0), calls("pexpireat").unwrap_or(0));
        // Two equal random numbers in a row on one session look like one call that was sent twice, which writes less.
        if ran < requests || wrote * 20 < ran * 19 {
            return Err(format!("of {requests} calls {ran} ran and {wrote} rotated").into());
        }
        Ok(rate)
    }

    fn benchmark(&self, ground: &Ground, clients: u64, requests: u64) -> Result<f64, Failure> {
        let instant = |instant: Timestamp| instant.millis().to_string();
        let hash = String::from_utf8_lossy(HASH);
        let mut command = Command::new("redis-benchmark");
        command.args(["-q", "-h", "127.0.0.1", "-p"]).arg(ground.redis().first().port().to_string());
        command.arg("-c").arg(clients.to_string()).arg("-n").arg(requests.to_string());
        command.arg("-r").arg(self.sessions.to_string());
        command.args(["EVALSHA", &self.script, "1", &self.key, RANDOM]);
        command.arg((30 * DAY).as_millis().to_string());
        command.args(["5", &hash, "5", &hash]).arg(instant(self.now.plus(DAY))).arg(instant(self.now.plus(60 * DAY)));
        command.args(["", "", "append", SPENT]);
        let output = command.output().map_err(|error| format!("redis-benchmark: {error}"))?;
        let said = String::from_utf8_lossy(&output.stdout);
        rate(&said)
            .ok_or_else(|| format!("redis-benchmark said: {said}{}", String::from_utf8_lossy(&output.stderr)).into())
    }
}

/// Of its last line that tells one.
fn rate(said: &str) -> Option<f64> {
    let before = said.rsplit_once(" requests per second")?.0;
    before.rsplit_once(' ').map_or(before, |(_, number)| number).parse().ok()
}

fn snapshot(number: u64, now: Timestamp) -> Result<Snapshot, Failure> {
    let id = URL_SAFE_NO_PAD.decode(format!("{}{number:012}{}", AROUND.0, AROUND.1))?;
    let id = SessionId::from_bytes(id.try_into().map_err(|_| "an id has 16 bytes")?);
    let session = Session {
        id,
        user: UserId::from_bytes((u128::from(number) / 10).to_be_bytes()),
        created_at: now,
        ends_at: now.plus(365 * DAY),
        device: Device {
            label: None,
            user_agent: Some("redis-benchmark".to_owned()),
            ip: Some("192.0.2.17".to_owned()),
        },
        status: Status::Live,
    };
    let spent = |generation| Spent { generation: Generation(generation), at: now, retry_key: None };
    let held = Held { generation: Generation(5), hash: SecretHash::from_bytes(*HASH) };
    let recent = (1..5).map(spent).fold(Recent::default(), Recent::with);
    let token = TokenState { held, expires_at: now.plus(60 * DAY), recent, access: None };
    Ok(Snapshot { session, lookup: LookupKey::of_session(id), token })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_session_has_its_number_in_digits() {
        let snapshot = snapshot(1234, Timestamp::from_millis(0)).unwrap();
        assert_eq!(snapshot.lookup.as_str(), "regrantld000000001234A");
    }

    #[test]
    fn the_rate_is_the_last_one_told() {
        assert_eq!(
            rate("EVALSHA x: rps=1.0\rEVALSHA 5 a.b: 12345.67 requests per second, p50=0.9 msec\n"),
            Some(12_345.67)
        );
        assert_eq!(rate("ERR"), None);
    }
}
