//! pgbench with the very statement of a refresh.
//!
//! Each client has sessions of its own and goes round them, so it knows which generation is current: every call rotates,
//! which is checked at the end by the sum of all generations. What differs from Regrant's rotations: the hash stays the
//! same from one generation to the next (pgbench computes numbers only), and so the row is written all the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use regrant_adapters::outbound::postgres::ROTATE_APPENDING;
use regrant_adapters::outbound::system::system_now;
use regrant_domain::refresh_token::Spent;
use regrant_domain::time::Timestamp;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use std::time::Duration;

use super::ground::{Ground, SEED};
use crate::Failure;
use crate::deployment::Place;
use crate::seed::Seed;

/// Keys of the rows begin with it: numbers nearly as long as real keys.
const BASE: u64 = 1_000_000_000_000_000_000;
/// The names of the statement's parameters, `$1` first.
const NAMES: [&str; 8] = ["token", "was", "hash", "becomes", "hash", "spent", "now", "expires"];
const HOUR: Duration = Duration::from_hours(1);

/// A database for it.
pub(super) struct Pgbench {
    url: String,
    sessions: u64,
    script: PathBuf,
    now: Timestamp,
}

/// What it measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    pub(super) per_second: f64,
    /// In milliseconds.
    pub(super) p50: f64,
}

impl Pgbench {
    /// Makes the database, with the adapter's own schema.
    pub(super) async fn prepare(ground: &Ground, name: &str, sessions: u64) -> Result<Self, Failure> {
        let url = ground.database(name).await?;
        let place = Place::open(&url, None).await?;
        Seed::new(SEED, sessions).fill(&place, &super::floors::ring()?, true).await?;
        let script = ground.folder().join(format!("{name}.sql"));
        fs::write(&script, self::script())?;
        let now = system_now().plus(HOUR);
        let mut connection = PgConnection::connect(&url).await?;
        let rename = format!(
            "WITH numbered AS (SELECT token, {BASE} + row_number() OVER (ORDER BY token) - 1 AS number FROM refresh_tokens)
             UPDATE refresh_tokens SET token = number::text, secret_hash = '{}'
             FROM numbered WHERE numbered.token = refresh_tokens.token",
            hash()
        );
        connection.execute(AssertSqlSafe(rename)).await?;
        connection.close().await?;
        Ok(Self { url, sessions, script, now })
    }

    /// Runs it with so many clients.
    pub(super) async fn run(&self, ground: &Ground, clients: u64) -> Result<Measured, Failure> {
        let mut connection = PgConnection::connect(&self.url).await?;
        for sql in ["UPDATE refresh_tokens SET generation = 0", "VACUUM FULL refresh_tokens", "CHECKPOINT"] {
            connection.execute(sql).await?;
        }
        let options: PgConnectOptions = self.url.parse()?;
        let logs = tempfile::tempdir_in(ground.folder())?;
        let mut pgbench = ground.postgres().program("pgbench");
        pgbench.args(["-n", "-M", "prepared", "-P", "1", "-j", "1", "-l", "-h", "127.0.0.1"]);
        pgbench.arg("-p").arg(options.get_port().to_string()).arg("-U").arg(options.get_username());
        pgbench.arg("-c").arg(clients.to_string()).arg("-f").arg(&self.script);
        pgbench.arg("-T").arg((ground.options.warm_up + ground.options.seconds).to_string());
        pgbench.arg("--log-prefix").arg(logs.path().join("log"));
        for (name, value) in self.variables(clients) {
            pgbench.arg("-D").arg(format!("{name}={value}"));
        }
        pgbench.arg(options.get_database().unwrap_or_default());
        let (answer, progress) = said(&mut pgbench)?;
        let rotated: i64 =
            sqlx::query_scalar("SELECT sum(generation)::bigint FROM refresh_tokens").fetch_one(&mut connection).await?;
        connection.close().await?;
        let done =
            number_after(&answer, "number of transactions actually processed: ").ok_or("pgbench said nothing")?;
        if rotated != done.cast_signed() {
            return Err(format!("of {done} statements only {rotated} rotated").into());
        }
        Ok(Measured {
            per_second: mean_after(&progress, f64::from(ground.options.warm_up)).ok_or("pgbench told no progress")?,
            p50: median_latency(logs.path(), ground.options.warm_up)?,
        })
    }

    fn variables(&self, clients: u64) -> Vec<(&'static str, String)> {
        let spent = Spent { generation: regrant_domain::refresh_token::Generation(4), at: self.now, retry_key: None };
        let hex = hex::encode(spent.to_bytes());
        vec![
            ("turn", "-1".to_owned()),
            ("each", (self.sessions / clients).max(1).to_string()),
            ("hash", hash()),
            ("spent", format!("\\x{hex}")),
            ("now", self.now.to_string()),
            ("expires", self.now.plus(60 * 24 * HOUR).to_string()),
        ]
    }
}

fn hash() -> String {
    format!("\\x{}", "41".repeat(32))
}

/// The statement with names for its parameters, after what computes them.
fn script() -> String {
    let named = NAMES.iter().zip(1..).fold(ROTATE_APPENDING.to_owned(), |statement, (name, number)| {
        statement.replace(&format!("${number}"), &format!(":{name}"))
    });
    format!(
        "\\set turn :turn + 1\n\
         \\set token {BASE} + :client_id * :each + :turn % :each\n\
         \\set was :turn / :each\n\
         \\set becomes :was + 1\n\
         {named};\n"
    )
}

/// Standard output and standard error.
fn said(command: &mut Command) -> Result<(String, String), Failure> {
    let output = command.output()?;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(format!("{command:?} failed:\n{error}").into());
    }
    Ok((String::from_utf8_lossy(&output.stdout).into_owned(), error))
}

fn number_after(text: &str, words: &str) -> Option<u64> {
    let digits: String = text.split_once(words)?.1.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// The mean rate of the lines `progress: 3.0 s, 1234.5 tps, …` after so many seconds.
fn mean_after(progress: &str, seconds: f64) -> Option<f64> {
    let rates = progress.lines().filter_map(|line| {
        let (at, rest) = line.strip_prefix("progress: ")?.split_once(" s, ")?;
        let rate: f64 = rest.split_once(" tps")?.0.parse().ok()?;
        (at.parse::<f64>().ok()? > seconds + 0.5).then_some(rate)
    });
    let rates: Vec<f64> = rates.collect();
    (!rates.is_empty()).then(|| rates.iter().sum::<f64>() / rates.len() as f64)
}

/// Of its logs (`client, number, microseconds, script, second, microsecond` in each line), after the warm-up.
fn median_latency(folder: &Path, warm_up: u32) -> Result<f64, Failure> {
    let mut all: Vec<(u64, u64)> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let text = fs::read_to_string(entry?.path())?;
        all.extend(text.lines().filter_map(|line| {
            let mut fields = line.split(' ').skip(2);
            Some((fields.nth(2)?.parse().ok()?, line.split(' ').nth(2)?.parse().ok()?))
        }));
    }
    let begun = all.iter().map(|(second, _)| *second).min().ok_or("pgbench logged nothing")?;
    let mut latencies: Vec<u64> =
        all.into_iter().filter(|(second, _)| *second >= begun + u64::from(warm_up)).map(|(_, micros)| micros).collect();
    latencies.sort_unstable();
    let median = latencies.get(latencies.len() / 2).ok_or("pgbench logged nothing after the warm-up")?;
    Ok(*median as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_names_every_parameter_and_is_else_the_statement() {
        let script = script();
        assert!(!script.contains('$'), "{script}");
        let statement = script.split_once("UPDATE").unwrap().1;
        let names: Vec<_> = NAMES.iter().filter(|name| statement.contains(&format!(":{name}"))).collect();
        assert_eq!(names.len(), 8, "{script}");
    }

    #[test]
    fn the_rate_is_that_after_the_warm_up() {
        let progress = "pgbench (15)\nprogress: 1.0 s, 10.0 tps, lat 1 ms\nprogress: 2.0 s, 20.0 tps, lat 1 ms\n\
                        progress: 3.0 s, 300.0 tps, lat 1 ms\nprogress: 4.0 s, 400.0 tps, lat 1 ms\n";
        assert_eq!(mean_after(progress, 2.0), Some(350.0));
        assert_eq!(mean_after(progress, 9.0), None);
        assert_eq!(number_after("a: 12/3", "a: "), Some(12));
    }

    #[test]
    fn the_median_is_read_from_the_logs() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "0 1 9000 0 100 5\n0 2 3000 0 102 5\n0 3 5000 0 103 5\n").unwrap();
        fs::write(folder.path().join("b"), "1 1 4000 0 103 5\n").unwrap();
        assert!((median_latency(folder.path(), 2).unwrap() - 4.0).abs() < 1e-9);
    }
}
