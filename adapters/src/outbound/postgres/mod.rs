//! Users and sessions in Postgres.
//!
//! Deliberately absent: transactions, and reading before writing. Every call is one statement that carries its own
//! guard, so there is nothing to roll back and nothing to leave open. Also absent: rules, and the time.

use std::fmt;
use std::str::FromStr as _;
use std::time::Duration;

use regrant_domain::ports::{End, EndOutcome, NewSession, OpenOutcome, PortError, RotateOutcome, Rotation};
use regrant_domain::time::Timestamp;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgConnection};

mod batches;
mod ends;
mod errors;
mod history;
mod limits;
mod opens;
mod portable;
mod rotations;
mod rows;
pub mod schema;
mod sessions;
mod start_checks;
mod users;
mod work;

pub use rotations::ROTATE_APPENDING;
pub use start_checks::{Fault, Risk, UnknownRisk};

use errors::WHAT;
use schema::SchemaError;
use work::{Core, Statement};

use super::sql::Connections;
use super::together::Together;

/// How to reach the database.
#[derive(Clone)]
pub struct PostgresOptions {
    /// `postgres://user:password@host:port/database?sslmode=…`, with the parameters that libpq users know: `sslmode`,
    /// `sslrootcert`, `sslcert`, `sslkey`, `host`, `options[…]`, `application_name`.
    pub url: String,
    /// Most connections at once.
    pub max_connections: u32,
    /// How long a request waits for a connection; at most [`PostgresOptions::MAX_ACQUIRE_TIMEOUT`] counts.
    pub acquire_timeout: Duration,
    /// After how long the server gives a statement up. The client waits half a second longer.
    pub statement_timeout: Duration,
    /// What the start-up checks are to put up with.
    pub allow: Vec<Risk>,
}

impl PostgresOptions {
    /// Whoever waits longer than this for a connection is told to come back.
    pub const MAX_ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

    /// The usual choices for this URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            max_connections: 20,
            acquire_timeout: Self::MAX_ACQUIRE_TIMEOUT,
            statement_timeout: Duration::from_secs(5),
            allow: Vec::new(),
        }
    }

    fn connect_options(&self) -> Result<PgConnectOptions, StartError> {
        let options = PgConnectOptions::from_str(&self.url).map_err(StartError::Url)?;
        let named = options.get_application_name().is_some();
        let options = if named { options } else { options.application_name("regrant") };
        // Statements are few and fixed; what they cost is told by metrics.
        Ok(options.disable_statement_logging())
    }
}

impl fmt::Debug for PostgresOptions {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("url", &"…")
            .field("max_connections", &self.max_connections)
            .field("acquire_timeout", &self.acquire_timeout)
            .field("statement_timeout", &self.statement_timeout)
            .field("allow", &self.allow)
            .finish()
    }
}

/// Why the store cannot be used. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The URL cannot be read.
    #[error("the Postgres URL cannot be read: {0}; expected postgres://user:password@host:port/database")]
    Url(#[source] sqlx::Error),
    /// No answer, or no entry.
    #[error("Postgres cannot be reached: {0}")]
    Unreachable(#[source] sqlx::Error),
    /// The server's settings would lose sessions or let ended ones come back.
    #[error("this Postgres is not safe for sessions:{}", start_checks::listed(.0))]
    Unsafe(Vec<Fault>),
    /// The tables are not those of this version.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

/// Users and sessions in Postgres. Cheap to clone; clones share one pool.
#[derive(Clone)]
pub struct PostgresStore {
    core: Core,
    /// Connections that nothing else may take, if there are enough for that.
    for_rotations: Option<PgPool>,
    /// Each kind of work that goes together with its like.
    opens: Together<NewSession, OpenOutcome>,
    rotations: Together<Rotation, RotateOutcome>,
    ends: Together<End, EndOutcome>,
    tidying: limits::Tidying,
}

impl PostgresStore {
    /// An idle connection is asked whether it still lives before it is used, unless it was used this recently: so a
    /// busy server asks hardly ever, and a connection that a restart or a firewall cut is replaced, not handed out.
    const TRUSTED_WHILE: Duration = Duration::from_secs(1);
    /// How long such an answer may take.
    const PING: Duration = Duration::from_millis(500);

    /// Connects, checks the server's settings and the schema; in an empty database, creates the schema.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn connect(options: &PostgresOptions) -> Result<Self, StartError> {
        let connect = options.connect_options()?;
        let waits = options.acquire_timeout.min(PostgresOptions::MAX_ACQUIRE_TIMEOUT);
        let session = session_settings(options.statement_timeout);
        let pool = PgPoolOptions::new()
            .acquire_timeout(waits)
            .max_lifetime(Duration::from_mins(30))
            .idle_timeout(Duration::from_mins(10))
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for >= Self::TRUSTED_WHILE {
                        let answer = tokio::time::timeout(Self::PING, connection.ping()).await;
                        answer.map_err(|_| sqlx::Error::PoolTimedOut)??;
                    }
                    Ok(true)
                })
            })
            .after_connect(move |connection, _| {
                let session = session.clone();
                Box::pin(async move { connection.execute(sqlx::AssertSqlSafe(session)).await.map(drop) })
            });
        let kept = Self::kept_for_rotations(options.max_connections);
        let for_rotations = (kept > 0).then(|| pool.clone().max_connections(kept).connect_lazy_with(connect.clone()));
        let pool = pool.max_connections((options.max_connections - kept).max(1));
        let pool = pool.connect_with(connect).await.map_err(StartError::Unreachable)?;
        let store = Self::on(Core { pool, statement_timeout: options.statement_timeout }, for_rotations);
        match store.check(options).await {
            Ok(()) => Ok(store),
            Err(why) => {
                store.close().await;
                Err(why)
            }
        }
    }

    /// Of so many connections, those that nobody else may take. A storm of sign-ins, which asks for a user each, would
    /// keep every refresh waiting in the same line.
    const fn kept_for_rotations(connections: u32) -> u32 {
        if connections < 4 * batches::LANES { 0 } else { batches::LANES }
    }

    fn on(core: Core, for_rotations: Option<PgPool>) -> Self {
        let pool = for_rotations.clone().unwrap_or_else(|| core.pool.clone());
        let rotating = Core { pool, ..core.clone() };
        let (opens, rotations, ends) = (batches::gather(&core), batches::gather(&rotating), batches::gather(&core));
        Self { core, for_rotations, opens, rotations, ends, tidying: limits::Tidying::default() }
    }

    async fn run(&self, statement: Statement) -> Result<Vec<PgRow>, PortError> {
        self.core.run(statement).await
    }

    async fn check(&self, options: &PostgresOptions) -> Result<(), StartError> {
        let mut connection = self.core.pool.acquire().await.map_err(StartError::Unreachable)?;
        start_checks::check(&mut connection, &options.allow).await?;
        schema::create_or_compare(options).await
    }

    /// The time by the database's own clock.
    ///
    /// # Errors
    /// [`PortError`].
    pub async fn store_now(&self) -> Result<Timestamp, PortError> {
        let rows = self.run(Statement::read("SELECT clock_timestamp()")).await?;
        let now: DateTime<Utc> = rows::only(&rows)?;
        Ok(Timestamp::from_millis(now.timestamp_millis()))
    }

    /// Whether it holds neither users nor sessions.
    ///
    /// # Errors
    /// [`PortError`].
    pub async fn is_empty(&self) -> Result<bool, PortError> {
        const SQL: &str = "SELECT NOT EXISTS (SELECT FROM users) AND NOT EXISTS (SELECT FROM sessions) \
                           AND NOT EXISTS (SELECT FROM refresh_tokens)";
        rows::only(&self.run(Statement::read(SQL)).await?)
    }

    /// Its connections, for those who watch.
    pub fn connections(&self) -> Connections {
        Connections::of(&self.core.pool) + self.for_rotations.as_ref().map(Connections::of).unwrap_or_default()
    }

    /// How many opens, rotations and ends wait to be taken into a batch.
    pub fn waiting(&self) -> usize {
        self.opens.waiting() + self.rotations.waiting() + self.ends.waiting()
    }

    /// Closes the connections, after the work under way. What is asked afterwards is answered with
    /// [`PortError::Unavailable`].
    pub async fn close(&self) {
        if let Some(pool) = &self.for_rotations {
            pool.close().await;
        }
        self.core.pool.close().await;
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("connections", &self.core.pool.size())
            .field("idle", &self.core.pool.num_idle())
            .finish_non_exhaustive()
    }
}

/// What every statement relies on, whatever the server's, the database's or the role's defaults are. Locks are held for
/// one statement only, so its time-out bounds the wait for them too. `synchronous_commit` is *not* set here: it is the
/// operator's choice between kinds of "on", and "off" is refused by the start-up checks. Rows are joined one by one,
/// which all our statements want, so that rotations that are done together lock their rows in the order in which
/// they name them.
fn session_settings(statement_timeout: Duration) -> String {
    format!(
        "SET default_transaction_isolation = 'read committed'; SET statement_timeout = {}; \
         SET idle_in_transaction_session_timeout = '10s'; SET enable_hashjoin = off; SET enable_mergejoin = off",
        statement_timeout.as_millis().max(1)
    )
}

/// A connection of its own, without a time-out for statements: for changes of the schema.
async fn lone_connection(options: &PostgresOptions) -> Result<PgConnection, StartError> {
    let connecting = options.connect_options()?;
    let connected = tokio::time::timeout(Duration::from_secs(10), connecting.connect()).await;
    let mut connection =
        connected.map_err(|_| StartError::Unreachable(sqlx::Error::PoolTimedOut))?.map_err(StartError::Unreachable)?;
    let settings = "SET statement_timeout = 0; SET default_transaction_isolation = 'read committed'";
    connection.execute(settings).await.map_err(StartError::Unreachable)?;
    Ok(connection)
}

fn corrupt(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> PortError {
    PortError::corrupt(WHAT, cause)
}
