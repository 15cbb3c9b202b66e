//! How a statement is carried to the server: in a task of its own, within bounded time, and again only where that is
//! harmless.

use std::io;
use std::time::Duration;

use regrant_domain::ports::PortError;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgPool, PgRow};
use sqlx::{Arguments as _, Encode, Postgres, Type};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::errors::{Failure, failure, leaves_connection_usable, port_error};

/// How much longer than the server's own time-out the client waits for an answer, before it takes the server for gone.
pub(super) const GRACE: Duration = Duration::from_millis(500);

/// How often a statement is sent that the server took back (a deadlock, say).
const ATTEMPTS: u32 = 4;

/// One statement and its arguments.
#[derive(Clone)]
pub(super) struct Statement {
    sql: &'static str,
    arguments: PgArguments,
    /// Changes nothing: may be sent again when nobody knows whether it arrived.
    reads: bool,
    unfit: bool,
}

impl Statement {
    pub(super) fn read(sql: &'static str) -> Self {
        Self { sql, arguments: PgArguments::default(), reads: true, unfit: false }
    }

    pub(super) fn write(sql: &'static str) -> Self {
        Self { reads: false, ..Self::read(sql) }
    }

    /// The next argument.
    pub(super) fn bind<'t, T: Encode<'t, Postgres> + Type<Postgres>>(mut self, value: T) -> Self {
        self.unfit |= self.arguments.add(value).is_err();
        self
    }
}

/// The connections, and how statements are run on them. Clones share them.
#[derive(Clone)]
pub(super) struct Core {
    pub(super) pool: PgPool,
    pub(super) statement_timeout: Duration,
}

impl Core {
    /// Runs it. The work goes on when the caller goes away: a statement that was sent is heard out, and its connection
    /// goes back to the pool clean.
    pub(super) async fn run(&self, statement: Statement) -> Result<Vec<PgRow>, PortError> {
        self.run_raw(statement).await.map_err(port_error)
    }

    pub(super) async fn run_raw(&self, statement: Statement) -> Result<Vec<PgRow>, sqlx::Error> {
        let (tell, told) = oneshot::channel();
        let store = self.clone();
        // In a box, because a task is copied several times on its way.
        tokio::spawn(Box::pin(async move { store.work(statement, tell).await }));
        told.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
    }

    async fn work(self, statement: Statement, tell: oneshot::Sender<Result<Vec<PgRow>, sqlx::Error>>) {
        let mut attempt = 1;
        loop {
            let Tried { result, connection, sent } = self.attempt(statement.clone()).await;
            let again = match result.as_ref().map_err(failure) {
                Err(Failure::TakenBack) => attempt < ATTEMPTS,
                // A write is not sent again: had it applied the first time, the second would be told that it lost
                // against itself.
                Err(Failure::Broken) => statement.reads && sent && attempt == 1,
                Ok(_) | Err(Failure::Away | Failure::Final) => false,
            };
            if again {
                give_back(connection).await;
                attempt += 1;
                continue;
            }
            let _ = tell.send(result); // The caller may have gone away.
            give_back(connection).await;
            return;
        }
    }

    async fn attempt(&self, statement: Statement) -> Tried {
        if statement.unfit {
            let result = Err(sqlx::Error::Encode("an argument does not fit".into()));
            return Tried { result, connection: None, sent: false };
        }
        let mut connection = match self.pool.acquire().await {
            Ok(connection) => connection,
            Err(error) => return Tried { result: Err(error), connection: None, sent: false },
        };
        // All rows, never only the first: a statement has committed when its *last* message has arrived.
        let answer = sqlx::query_with(statement.sql, statement.arguments).fetch_all(&mut *connection);
        let result = timeout(self.statement_timeout + GRACE, answer).await.unwrap_or_else(|_| {
            Err(sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "the server does not answer")))
        });
        let connection = match &result {
            Err(error) if !leaves_connection_usable(error) => {
                drop(connection.detach()); // Closes the socket; the pool opens another one when it needs it.
                None
            }
            _ => Some(connection),
        };
        Tried { result, connection, sent: true }
    }
}

/// What came of one try.
struct Tried {
    result: Result<Vec<PgRow>, sqlx::Error>,
    /// If it is still good.
    connection: Option<PoolConnection<Postgres>>,
    /// Whether the statement went out at all.
    sent: bool,
}

/// The pool asks a connection that comes back whether it is well. If the server does not answer, the place in the pool
/// must not be lost with it.
async fn give_back(connection: Option<PoolConnection<Postgres>>) {
    let Some(mut connection) = connection else { return };
    let _ = timeout(GRACE, connection.return_to_pool()).await;
}
