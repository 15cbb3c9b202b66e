//! [`HistoryRepository`] on Redis: a sorted set for each session and for each account, and a set of the sessions of a user
//! that have one, which is written first, so that nothing is left when the user goes.
//!
//! The server forgets each by itself when nothing was appended for the retention. Nothing here waits for replicas or disks:
//! a lost line of a history is worth no refused sign-in.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redis::Value;
use regrant_domain::history::{Entry, Origin, What};
use regrant_domain::ids::{SessionId, UserId};
use regrant_domain::ports::{HistoryRepository, PortError, Swept};
use regrant_domain::reason::EndReason;
use regrant_domain::time::Timestamp;

use super::RedisStore;
use super::connection::To;
use super::helpers::corrupt;
use super::row::{BadRow, exactly};
use super::scripts::SCRIPTS;
use super::store::Inner;

#[async_trait]
impl HistoryRepository for RedisStore {
    async fn append(&self, entries: Vec<Entry>) -> Result<(), PortError> {
        self.run(|inner| async move { inner.append(entries).await }).await
    }

    async fn of_session(&self, session: SessionId) -> Result<Vec<Entry>, PortError> {
        self.inner.entries(&self.inner.keys.history_of_session(session), Some(session)).await
    }

    async fn of_account(&self, user: UserId) -> Result<Vec<Entry>, PortError> {
        self.inner.entries(&self.inner.keys.history_of_account(user), None).await
    }

    async fn forget_all(&self, user: UserId) -> Result<(), PortError> {
        self.run(move |inner| async move { inner.forget_histories(user).await }).await
    }

    /// The server forgets by itself.
    async fn sweep(&self, _: Timestamp, _: u32) -> Result<Swept, PortError> {
        Ok(Swept { removed: 0, done: true })
    }
}

impl Inner {
    async fn append(self: Arc<Self>, entries: Vec<Entry>) -> Result<(), PortError> {
        let Some(user) = entries.first().map(|entry| entry.user) else { return Ok(()) };
        let mut by_subject: BTreeMap<Option<SessionId>, Vec<Entry>> = BTreeMap::new();
        for entry in entries {
            by_subject.entry(entry.session).or_default().push(entry);
        }
        let sessions: Vec<_> = by_subject.keys().flatten().copied().collect();
        if !sessions.is_empty() {
            let run = SCRIPTS.note.on(self.keys.histories(user)).arg(self.history_retention);
            let run = sessions.iter().fold(run, |run, session| run.arg(session.as_bytes()));
            self.write::<Value>(&run).await?;
        }
        for (session, entries) in by_subject {
            let key = match session {
                Some(session) => self.keys.history_of_session(session),
                None => self.keys.history_of_account(user),
            };
            let run = SCRIPTS.append.on(key).arg(self.history_retention).arg(Entry::MAX_OF_A_KIND);
            let run = entries.iter().fold(run, |run, entry| run.arg(entry.at.millis()).arg(text(entry)));
            self.write::<Value>(&run).await?;
        }
        Ok(())
    }

    async fn entries(&self, key: &str, session: Option<SessionId>) -> Result<Vec<Entry>, PortError> {
        let mut all = redis::cmd("ZRANGE");
        let texts: Vec<Vec<u8>> = self.read(all.arg(key).arg(0).arg(-1), To::Key(key)).await?;
        let read = |text: &Vec<u8>| entry(text, session).ok_or(corrupt(BadRow("a line of its history cannot be read")));
        texts.iter().map(read).collect()
    }

    async fn forget_histories(self: Arc<Self>, user: UserId) -> Result<(), PortError> {
        let noted = self.keys.histories(user);
        let members: Vec<Vec<u8>> = self.read(redis::cmd("ZRANGE").arg(&noted).arg(0).arg(-1), To::Key(&noted)).await?;
        let sessions = members.iter().filter_map(|member| exactly(member).map(SessionId::from_bytes));
        let histories = sessions.map(|session| self.keys.history_of_session(session));
        for key in histories.chain([self.keys.history_of_account(user), noted.clone()]) {
            self.read::<Value>(redis::cmd("DEL").arg(&key), To::Key(&key)).await?;
        }
        Ok(())
    }
}

/// The kind first, which `lua/append.lua` looks for; and all that makes an entry what it is, so that the same one is kept
/// once.
fn text(entry: &Entry) -> String {
    let Entry { user, at, what, from, .. } = entry;
    let (reason, user) = (what.reason().map(EndReason::code), URL_SAFE_NO_PAD.encode(user.as_bytes()));
    serde_json::json!([what.code(), at.millis(), user, reason, from.ip, from.user_agent]).to_string()
}

fn entry(text: &[u8], session: Option<SessionId>) -> Option<Entry> {
    type Parts = (String, i64, String, Option<String>, Option<String>, Option<String>);
    let (code, at, user, reason, ip, user_agent): Parts = serde_json::from_slice(text).ok()?;
    Some(Entry {
        user: URL_SAFE_NO_PAD.decode(user).ok().as_deref().and_then(exactly).map(UserId::from_bytes)?,
        session,
        at: Some(Timestamp::from_millis(at)).filter(|instant| instant.millis() == at)?,
        what: What::from_codes(&code, reason.as_deref()).ok()?,
        from: Origin { user_agent, ip },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_comes_back_and_what_is_none_is_told() {
        let session = Some(SessionId::from_bytes([2; 16]));
        for what in What::all() {
            let from = Origin { user_agent: Some("a \"quoted\"\0 ä".into()), ip: None };
            let one = Entry { user: UserId::from_bytes([1; 16]), session, at: Timestamp::MAX, what, from };
            assert!(text(&one).starts_with(&format!("[\"{}\",", what.code())));
            assert_eq!(entry(text(&one).as_bytes(), session), Some(one));
        }
        for bad in
            ["", "[]", r#"["ended",1,"AQEBAQEBAQEBAQEBAQEBAQ",null,null,null]"#, r#"["opened",-1,"",null,null,null]"#]
        {
            assert_eq!(entry(bad.as_bytes(), session), None, "{bad}");
        }
    }
}
