//! The port, script by script.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use redis::Value;
use regrant_domain::ids::{SessionId, UserId};
use regrant_domain::ports::{
    End, EndAll, EndOutcome, NewSession, OpenOutcome, PortError, RotateOutcome, Rotated, Rotation, SessionKey,
    SessionRepository, Spends, Swept,
};
use regrant_domain::refresh_token::{Held, LookupKey};
use regrant_domain::session::Snapshot;
use regrant_domain::time::Timestamp;
use tokio::task::JoinSet;

use super::RedisStore;
use super::connection::To;
use super::helpers::corrupt;
use super::row::{self, BadRow, exactly, instant, parse_instant};
use super::scripts::{Attempt, SCRIPTS, WHAT};
use super::store::{Inner, parse};

/// How many sessions of a user are asked for at once.
const AT_ONCE: usize = 32;
/// Every so many rotations, a session is noted in its user's set again.
const NOTED_EVERY: u32 = 8;

#[async_trait]
impl SessionRepository for RedisStore {
    async fn open(&self, new: NewSession) -> Result<OpenOutcome, PortError> {
        let attempt = self.inner.attempts.next();
        self.run(|inner| async move { inner.open(new, attempt).await }).await
    }

    async fn find(&self, key: &SessionKey) -> Result<Option<Snapshot>, PortError> {
        self.inner.find(key).await
    }

    async fn rotate(&self, rotation: Rotation) -> Result<RotateOutcome, PortError> {
        let attempt = self.inner.attempts.next();
        self.run(|inner| async move { inner.rotate(&rotation, attempt).await }).await
    }

    async fn end(&self, end: End) -> Result<EndOutcome, PortError> {
        let attempt = self.inner.attempts.next();
        self.run(|inner| async move { inner.end(&end, attempt).await }).await
    }

    async fn end_all(&self, end: EndAll) -> Result<Vec<SessionId>, PortError> {
        self.run(|inner| async move { inner.end_all(end).await }).await
    }

    async fn list(&self, user: UserId) -> Result<Vec<Snapshot>, PortError> {
        self.run(|inner| async move { inner.list(user).await }).await
    }

    async fn forget_all(&self, user: UserId) -> Result<(), PortError> {
        self.run(|inner| async move { inner.forget_all(user).await }).await
    }

    async fn sweep(&self, cutoff: Timestamp, limit: u32) -> Result<Swept, PortError> {
        self.run(|inner| async move { inner.sweep(cutoff, limit).await }).await
    }
}

/// The answer of the script `end`.
enum Ended {
    Now(SessionId),
    Before,
    Moved,
    Spared,
    NotThere,
}

/// Which session the script `end` ends, and under which conditions.
struct EndOf<'a> {
    lookup: &'a LookupKey,
    only_while: Option<Held>,
    spare: Option<SessionId>,
    must_be: Option<SessionId>,
    at: Timestamp,
    reason: &'static str,
}

impl Inner {
    pub(super) async fn open(self: Arc<Self>, new: NewSession, attempt: Attempt) -> Result<OpenOutcome, PortError> {
        let fields = row::fields(&new).map_err(corrupt)?;
        let taken = || PortError::corrupt(WHAT, "a session with this id or lookup key is already there");
        if !self.announce(&new).await? {
            return Err(taken());
        }
        let over = row::over(&new);
        let key = self.keys.session(&new.lookup);
        let run = SCRIPTS.open.on(key).arg(attempt.as_bytes()).arg(instant(over)).arg(self.retention).arg(fields);
        let (opened, late): (i64, i64) = self.write_if(&run, |(opened, _)| *opened == 1).await?;
        if opened != 1 {
            return Err(taken());
        }
        if late != 0 {
            self.note_late(&new.lookup, over).await;
        }
        Ok(OpenOutcome::Opened)
    }

    pub(super) async fn find(&self, key: &SessionKey) -> Result<Option<Snapshot>, PortError> {
        let id = match key {
            SessionKey::Lookup(lookup) => return self.read_session(lookup).await,
            SessionKey::Id(id) => *id,
        };
        // Where the key follows from the id, that is one round trip.
        if let Some(found) = self.read_session(&LookupKey::of_session(id)).await? {
            return Ok(Some(found));
        }
        let Some(lookup) = self.indexed(id).await? else { return Ok(None) };
        Ok(self.read_session(&lookup).await?.filter(|found| found.session.id == id))
    }

    pub(super) async fn read_session(&self, lookup: &LookupKey) -> Result<Option<Snapshot>, PortError> {
        let key = self.keys.session(lookup);
        let fields: HashMap<Vec<u8>, Vec<u8>> = self.read(redis::cmd("HGETALL").arg(&key), To::Key(&key)).await?;
        row::snapshot(lookup, fields).map_err(corrupt)
    }

    pub(super) async fn rotate(
        self: Arc<Self>,
        rotation: &Rotation,
        attempt: Attempt,
    ) -> Result<RotateOutcome, PortError> {
        let Rotation { lookup, from, to, spends, now, idle_expires_at, access } = rotation;
        let mut run = SCRIPTS.rotate.on(self.keys.session(lookup)).arg(attempt.as_bytes()).arg(self.retention);
        for held in [from, to] {
            run = run.arg(held.generation.0).arg(held.hash.as_bytes().as_slice());
        }
        run = run.arg(instant(*now)).arg(instant(*idle_expires_at));
        run = match access {
            Some(access) => run.arg(access.hash.as_bytes().as_slice()).arg(instant(access.expires_at)),
            None => run.arg("").arg(""),
        };
        run = match spends {
            Spends::Append(entry) => run.arg("append").arg(row::spent(entry)),
            Spends::Replace(recent) => {
                recent.entries().iter().fold(run.arg("replace"), |run, entry| run.arg(row::spent(entry)))
            }
        };
        let answer: Vec<Value> = self.write_if(&run, |answer: &Vec<Value>| answer.len() > 1).await?;
        let [_, user, expires_at, ends_at, late] = answer.as_slice() else { return not_rotated(&answer) };
        let user: Vec<u8> = parse(user.clone())?;
        let user = exactly(&user).map(UserId::from_bytes).ok_or(corrupt(BadRow("its user is not 16 bytes")))?;
        let at = |value: &Value| parse_instant(&parse::<Vec<u8>>(value.clone())?).map_err(corrupt);
        let rotated = Rotated { user, expires_at: at(expires_at)?, ends_at: at(ends_at)? };
        if parse::<i64>(late.clone())? != 0 {
            Box::pin(self.note_late(lookup, rotated.expires_at)).await;
        }
        if to.generation.0 % NOTED_EVERY == 0 {
            let lookup = lookup.clone();
            tokio::spawn(async move { self.join(user, &lookup, rotated.ends_at).await.map(drop) });
        }
        Ok(RotateOutcome::Rotated(rotated))
    }

    pub(super) async fn end(&self, end: &End, attempt: Attempt) -> Result<EndOutcome, PortError> {
        let Some((lookup, must_be)) = self.locate(&end.session).await? else { return Ok(EndOutcome::NotFound) };
        let (only_while, at, reason) = (end.only_while, end.at, end.reason.code());
        let end = EndOf { lookup: &lookup, only_while, spare: None, must_be, at, reason };
        Ok(match self.end_one(&end, attempt).await? {
            Ended::Now(_) => EndOutcome::Ended,
            Ended::Before => EndOutcome::AlreadyEnded,
            Ended::Moved => EndOutcome::Moved,
            Ended::Spared | Ended::NotThere => EndOutcome::NotFound,
        })
    }

    async fn end_one(&self, end: &EndOf<'_>, attempt: Attempt) -> Result<Ended, PortError> {
        let bytes = |id: Option<SessionId>| id.map_or(Vec::new(), |id| id.as_bytes().to_vec());
        let run = SCRIPTS.end.on(self.keys.session(end.lookup)).arg(attempt.as_bytes()).arg(self.retention);
        let run = run.arg(instant(end.at)).arg(end.reason);
        let run = match &end.only_while {
            Some(held) => run.arg(held.generation.0).arg(held.hash.as_bytes().as_slice()),
            None => run.arg("").arg(""),
        };
        let run = run.arg(bytes(end.spare)).arg(bytes(end.must_be)).arg(i32::from(self.wait.is_asked()));
        let wrote = |answer: &Vec<Value>| matches!(answer.first(), Some(Value::Int(1 | 2)));
        let answer: Vec<Value> = self.write_if(&run, wrote).await?;
        match answer.as_slice() {
            [Value::Int(1), late, id, over] => {
                if parse::<i64>(late.clone())? != 0 {
                    let over = parse_instant(&parse::<Vec<u8>>(over.clone())?).map_err(corrupt)?;
                    self.note_late(end.lookup, over).await;
                }
                Self::found_id(end.lookup, &parse::<Vec<u8>>(id.clone())?).map(Ended::Now)
            }
            [Value::Int(2)] => Ok(Ended::Before),
            [Value::Int(3)] => Ok(Ended::Moved),
            [Value::Int(4)] => Ok(Ended::Spared),
            [Value::Int(0)] => Ok(Ended::NotThere),
            _ => Err(corrupt(BadRow("it lacks what every session has"))),
        }
    }

    pub(super) async fn end_all(self: Arc<Self>, end: EndAll) -> Result<Vec<SessionId>, PortError> {
        let EndAll { user, but, reason, at } = end;
        let spared = but.map(LookupKey::of_session);
        let members: Vec<_> =
            self.members(user).await?.into_iter().filter(|key| Some(key) != spared.as_ref()).collect();
        let (mut ended, mut gone) = (Vec::new(), Vec::new());
        let answers = self.for_each(members, move |inner, lookup| async move {
            let attempt = inner.attempts.next();
            let (spare, reason) = (but, reason.code());
            let end = EndOf { lookup: &lookup, only_while: None, spare, must_be: None, at, reason };
            let answer = inner.end_one(&end, attempt).await?;
            Ok((lookup, answer))
        });
        for (lookup, answer) in answers.await? {
            match answer {
                Ended::Now(id) => ended.push(id),
                Ended::NotThere => gone.push(lookup),
                Ended::Before | Ended::Moved | Ended::Spared => {}
            }
        }
        self.drop_members(user, &gone).await;
        Ok(ended)
    }

    pub(super) async fn list(self: Arc<Self>, user: UserId) -> Result<Vec<Snapshot>, PortError> {
        let members = self.members(user).await?;
        let answers = self.for_each(members, |inner, lookup| async move {
            let found = inner.read_session(&lookup).await?;
            Ok((lookup, found))
        });
        let (mut found, mut gone) = (Vec::new(), Vec::new());
        for (lookup, session) in answers.await? {
            match session {
                Some(session) if session.session.user == user => found.push(session),
                Some(_) => return Err(corrupt(BadRow("it is in the set of another user"))),
                None => gone.push(lookup),
            }
        }
        self.drop_members(user, &gone).await;
        Ok(found)
    }

    pub(super) async fn forget_all(self: Arc<Self>, user: UserId) -> Result<(), PortError> {
        let members = self.members(user).await?;
        let answers = self.for_each(members, |inner, lookup| async move {
            let forgotten = inner.forget(&lookup, None, true).await?;
            Ok((lookup, forgotten.is_some()))
        });
        let gone: Vec<_> = answers.await?.into_iter().filter(|(_, forgotten)| !forgotten).map(|(key, _)| key).collect();
        self.drop_members(user, &gone).await;
        Ok(())
    }

    /// Does something for each key, some at once. Everything is tried; the first error is told.
    pub(super) async fn for_each<T, F>(
        self: &Arc<Self>,
        keys: Vec<LookupKey>,
        work: impl Fn(Arc<Self>, LookupKey) -> F,
    ) -> Result<Vec<T>, PortError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, PortError>> + Send + 'static,
    {
        let (mut done, mut failed) = (Vec::with_capacity(keys.len()), None);
        let mut keys = keys.into_iter();
        let mut under_way = JoinSet::new();
        for key in keys.by_ref().take(AT_ONCE) {
            under_way.spawn(work(self.clone(), key));
        }
        while let Some(joined) = under_way.join_next().await {
            match joined.unwrap_or_else(|error| Err(PortError::unavailable(WHAT, error))) {
                Ok(answer) => done.push(answer),
                Err(error) => failed = failed.or(Some(error)),
            }
            if let Some(key) = keys.next() {
                under_way.spawn(work(self.clone(), key));
            }
        }
        match failed {
            None => Ok(done),
            Some(error) => Err(error),
        }
    }
}

fn not_rotated(answer: &[Value]) -> Result<RotateOutcome, PortError> {
    match answer {
        [Value::Int(0)] => Ok(RotateOutcome::NotCurrent),
        _ => Err(corrupt(BadRow("it lacks what every session has"))),
    }
}
