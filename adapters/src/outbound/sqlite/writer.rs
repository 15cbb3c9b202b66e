//! The one connection that writes, and the task that owns it.
//!
//! Work is handed over as a whole and answered when it is committed, so a caller that goes away cancels nothing half
//! way: what it had handed over is done all the same. One writer is also all that SQLite can have at a time.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;

use regrant_domain::ports::PortError;
use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::{mpsc, oneshot};

use super::fault::Fault;
use super::file;

/// How much work may wait. Callers beyond it wait to hand theirs over.
const WAITING: usize = 1024;

pub(super) type Working<'c, T> = Pin<Box<dyn Future<Output = Result<T, Fault>> + Send + 'c>>;

/// Hands work to the task. Clones hand it to the same one; when the last is dropped, the task comes to its end.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    messages: mpsc::Sender<Message>,
}

enum Message {
    Work(Box<dyn Work>),
    Close(oneshot::Sender<()>),
}

impl Writer {
    /// Starts the task.
    pub(super) fn start(path: PathBuf, connection: SqliteConnection) -> Self {
        let (messages, inbox) = mpsc::channel(WAITING);
        tokio::spawn(Task { path, connection: Some(connection), inbox }.run());
        Self { messages }
    }

    /// Runs `work` in a transaction of its own and answers after the commit. An error of `work` undoes all of it.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T, PortError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> Working<'c, T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let work = Handed { work: Some(work), outcome: None, reply };
        self.messages.send(Message::Work(Box::new(work))).await.map_err(|_| Fault::Closed)?;
        answer.await.map_err(|_| Fault::Closed)?.map_err(PortError::from)
    }

    /// Does what was handed over before, closes the connection, and refuses everything from then on.
    pub(super) async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.messages.send(Message::Close(reply)).await.is_ok() {
            // An error means that the task was already gone: closed all the same.
            let _ = closed.await;
        }
    }
}

/// Work of any type: done first, answered after the commit.
trait Work: Send {
    /// Whether it is to be committed.
    fn run<'c>(&'c mut self, connection: &'c mut SqliteConnection) -> Pin<Box<dyn Future<Output = bool> + Send + 'c>>;

    /// Answers the caller; `Err`: it could not be begun or committed.
    fn answer(self: Box<Self>, committed: Result<(), Fault>);
}

struct Handed<T, F> {
    work: Option<F>,
    outcome: Option<Result<T, Fault>>,
    reply: oneshot::Sender<Result<T, Fault>>,
}

impl<T, F> Work for Handed<T, F>
where
    T: Send + 'static,
    F: for<'c> FnOnce(&'c mut SqliteConnection) -> Working<'c, T> + Send + 'static,
{
    fn run<'c>(&'c mut self, connection: &'c mut SqliteConnection) -> Pin<Box<dyn Future<Output = bool> + Send + 'c>> {
        Box::pin(async move {
            if let Some(work) = self.work.take() {
                self.outcome = Some(work(connection).await);
            }
            self.outcome.as_ref().is_some_and(Result::is_ok)
        })
    }

    fn answer(self: Box<Self>, committed: Result<(), Fault>) {
        let answer = match (self.outcome, committed) {
            (Some(Err(fault)), _) | (_, Err(fault)) => Err(fault),
            (Some(outcome), Ok(())) => outcome,
            (None, Ok(())) => Err(Fault::Closed),
        };
        // The caller may have gone away; the work is done all the same.
        let _ = self.reply.send(answer);
    }
}

struct Task {
    path: PathBuf,
    /// `None` after a failure: a connection that failed is not trusted again.
    connection: Option<SqliteConnection>,
    inbox: mpsc::Receiver<Message>,
}

impl Task {
    async fn run(mut self) {
        while let Some(message) = self.inbox.recv().await {
            match message {
                // One commit for each. The place to commit everything that waits at once: drain the inbox here, run
                // all of it between one BEGIN and COMMIT, answer all after it; and if one fails, roll back and run
                // each by itself.
                Message::Work(mut work) => {
                    let committed = self.commit(&mut *work).await;
                    work.answer(committed);
                }
                Message::Close(closed) => {
                    self.inbox.close();
                    self.close().await;
                    let _ = closed.send(());
                    return;
                }
            }
        }
        self.close().await;
    }

    async fn commit(&mut self, work: &mut dyn Work) -> Result<(), Fault> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => file::options(&self.path).connect().await?,
        };
        let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
        if work.run(&mut tx).await {
            tx.commit().await?;
        } else {
            tx.rollback().await?;
        }
        self.connection = Some(connection);
        Ok(())
    }

    /// As the last connection it also brings the log into the database file.
    async fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            file::close(connection).await;
        }
    }
}
