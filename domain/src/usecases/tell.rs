//! Saying that something happened: to whoever listens, and to the history.
//!
//! The act is done when it is told. So a history that cannot be written changes no answer: that it was lost is an event too.

use std::error::Error;

use super::Ports;
use crate::history::{Entry, Origin};
use crate::ids::{SessionId, UserId};
use crate::ports::{End, EndOutcome, Event, PortError, SessionKey};
use crate::time::Timestamp;

impl Ports {
    /// Tells what happened to one user, and keeps what belongs into a history.
    pub(super) async fn tell(
        &self,
        events: impl IntoIterator<Item = Event> + Send,
        user: UserId,
        at: Timestamp,
        from: &Origin,
    ) {
        let entries = self.record(events, user, at, from);
        self.keep(entries, from).await;
    }

    /// The same, and nobody waits for the history.
    pub(super) fn tell_in_background(&self, event: Event, user: UserId, at: Timestamp, from: &Origin) {
        let entries = self.record([event], user, at, from);
        let (ports, origin) = (self.clone(), from.clone());
        if !self.background.begin(Box::pin(async move { ports.keep(entries, &origin).await })) {
            self.events.record(Event::HistoryLost { why: "too much is under way in the background".into() }, from);
        }
    }

    /// Ends a session and, if it was this call that did, tells so. Whose it is, is looked up where the caller cannot know.
    pub(super) async fn end(
        &self,
        end: End,
        session: SessionId,
        user: Option<UserId>,
        from: &Origin,
    ) -> Result<EndOutcome, PortError> {
        let event = Event::Ended { session, reason: end.reason };
        let at = end.at;
        let outcome = self.sessions.end(end).await?;
        if outcome == EndOutcome::Ended {
            match self.owner(session, user).await {
                Ok(Some(user)) => self.tell([event], user, at, from).await,
                Ok(None) => self.events.record(event, from),
                Err(error) => {
                    self.events.record(event, from);
                    self.lost(&error, from);
                }
            }
        }
        Ok(outcome)
    }

    async fn owner(&self, session: SessionId, user: Option<UserId>) -> Result<Option<UserId>, PortError> {
        match user {
            Some(user) => Ok(Some(user)),
            None => Ok(self.sessions.find(&SessionKey::Id(session)).await?.map(|found| found.session.user)),
        }
    }

    /// Tells, and says what belongs into the history.
    fn record(
        &self,
        events: impl IntoIterator<Item = Event>,
        user: UserId,
        at: Timestamp,
        from: &Origin,
    ) -> Vec<Entry> {
        let mut entries = Vec::new();
        for event in events {
            entries.extend(Entry::of(&event, user, at, from));
            self.events.record(event, from);
        }
        entries
    }

    async fn keep(&self, entries: Vec<Entry>, from: &Origin) {
        if !entries.is_empty()
            && let Err(error) = self.history.append(entries).await
        {
            self.lost(&error, from);
        }
    }

    fn lost(&self, error: &PortError, from: &Origin) {
        let why = match error.source() {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        };
        self.events.record(Event::HistoryLost { why }, from);
    }
}
