//! The one connection that writes, and the task that owns it.
//!
//! Work is handed over as a whole and answered when it is committed, so a caller that goes away cancels nothing half
//! way: what it had handed over is done all the same. One writer is also all that SQLite can have at a time.
//!
//! Whatever waits when a commit is done goes into the next one, in the order in which it came: the disk is waited for
//! once for all of it. Nothing waits for company. Work that fails is undone by itself, and the others do not notice;
//! only what ends the transaction itself (a full disk, say) is everybody's failure.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use regrant_domain::ports::PortError;
use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::checkpoints::Checkpoints;
use super::fault::Fault;
use super::file;

/// How much work may wait. Who comes beyond it is told at once that the store is overloaded.
const WAITING: usize = 4096;
/// Most work in one commit.
const TOGETHER: usize = 256;

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
        let checkpoints = Some(Checkpoints::start(path.clone()));
        tokio::spawn(Task { path, connection: Some(connection), checkpoints, inbox }.run());
        Self { messages }
    }

    /// Runs `work` in a transaction of its own and answers after the commit. An error of `work` undoes all of it.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T, PortError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> Working<'c, T> + Send + 'static,
    {
        Ok(self.hand_over(work).await?)
    }

    /// The same, with the cause of a failure.
    pub(super) async fn hand_over<T, F>(&self, work: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> Working<'c, T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let work = Handed { work: Some(work), outcome: None, reply };
        self.messages.try_send(Message::Work(Box::new(work))).map_err(|refused| match refused {
            TrySendError::Full(_) => Fault::Overloaded,
            TrySendError::Closed(_) => Fault::Closed,
        })?;
        answer.await.map_err(|_| Fault::Closed)?
    }

    /// How much work waits to be taken into a commit.
    pub(super) fn waiting(&self) -> usize {
        self.messages.max_capacity() - self.messages.capacity()
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
    fn run<'c>(&'c mut self, connection: &'c mut SqliteConnection) -> Pin<Box<dyn Future<Output = Ran> + Send + 'c>>;

    /// Answers the caller; `Err`: it could not be begun or committed.
    fn answer(self: Box<Self>, committed: Result<(), Fault>);
}

/// What came of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ran {
    /// It is to be committed.
    Well,
    /// It is to be undone.
    Badly,
    /// It has taken the transaction with it.
    Ruinously,
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
    fn run<'c>(&'c mut self, connection: &'c mut SqliteConnection) -> Pin<Box<dyn Future<Output = Ran> + Send + 'c>> {
        Box::pin(async move {
            let Some(work) = self.work.take() else { return Ran::Badly };
            match self.outcome.insert(work(connection).await) {
                Ok(_) => Ran::Well,
                Err(fault) if fault.ends_the_transaction() => Ran::Ruinously,
                Err(_) => Ran::Badly,
            }
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
    /// `None` once it is closed.
    checkpoints: Option<Checkpoints>,
    inbox: mpsc::Receiver<Message>,
}

impl Task {
    async fn run(mut self) {
        while let Some(message) = self.inbox.recv().await {
            let (mut together, closed) = self.waiting(message);
            if !together.is_empty() {
                let committed = self.commit(&mut together).await.map_err(Arc::new);
                for work in together {
                    work.answer(committed.clone().map_err(Fault::Together));
                }
            }
            if let Some(closed) = closed {
                self.inbox.close();
                self.close().await;
                let _ = closed.send(());
                return;
            }
        }
        self.close().await;
    }

    /// All work that waits, this first, up to the request to close.
    fn waiting(&mut self, first: Message) -> (Vec<Box<dyn Work>>, Option<oneshot::Sender<()>>) {
        let mut together = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Work(work) => together.push(work),
                Message::Close(closed) => return (together, Some(closed)),
            }
            next = if together.len() < TOGETHER { self.inbox.try_recv().ok() } else { None };
        }
        (together, None)
    }

    async fn commit(&mut self, together: &mut [Box<dyn Work>]) -> Result<(), Fault> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => file::writing(&self.path).connect().await?,
        };
        let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
        let committed = if let [work] = together {
            work.run(&mut tx).await == Ran::Well
        } else {
            for work in together {
                each(&mut tx, &mut **work).await?;
            }
            true
        };
        if committed {
            tx.commit().await?;
            self.checkpoints.iter().for_each(Checkpoints::committed);
        } else {
            tx.rollback().await?;
        }
        self.connection = Some(connection);
        Ok(())
    }

    /// As the last connection it also brings the log into the database file.
    async fn close(&mut self) {
        if let Some(checkpoints) = self.checkpoints.take() {
            checkpoints.close().await;
        }
        if let Some(connection) = self.connection.take() {
            file::close(connection).await;
        }
    }
}

/// Runs work of several within one transaction, so that it can be undone by itself.
async fn each(tx: &mut SqliteConnection, work: &mut dyn Work) -> Result<(), Fault> {
    let mut own = tx.begin().await?;
    match work.run(&mut own).await {
        Ran::Well => own.commit().await?,
        Ran::Badly => own.rollback().await?,
        Ran::Ruinously => return Err(Fault::Undone),
    }
    Ok(())
}

#[cfg(test)]
#[path = "writer_test.rs"]
mod tests;
