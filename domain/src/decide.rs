//! What a presented refresh token gets: one pure function that names every outcome.
//!
//! Deliberately absent: ports, `async`, logging. The rule numbers are those of `docs/rotation.md`.

use crate::access_token::KeptAccess;
use crate::policy::{AccessPolicy, AfterWindow, OnRollback, RefreshPolicy};
use crate::reason::{EndReason, Refusal};
use crate::refresh_token::{
    Generation, Held, Lifetime, Presented, Recent, RefreshToken, RetryKeyHash, Spent, TokenState,
};
use crate::session::Snapshot;
use crate::time::Timestamp;
use crate::token_key::TokenKeyRing;

/// A presentation of a refresh token.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The token.
    pub presented: &'a Presented,
    /// The hash of the retry key, if the request carried one.
    pub retry_key: Option<RetryKeyHash>,
    /// When the request is decided.
    pub now: Timestamp,
}

/// What it is decided by.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// The operator's choices.
    pub policy: &'a RefreshPolicy,
    /// How access tokens are made.
    pub access: &'a AccessPolicy,
    /// The keys that successors are derived with.
    pub ring: &'a TokenKeyRing,
}

/// The outcome. `Rotate`, `Reissue`, `Heal` and `End` are to be committed by a compare-and-set on the token that was
/// decided upon; if that lost, read again and decide again.
#[derive(Debug)]
pub enum Decision {
    /// Rule 4: the current token. Spend it.
    Rotate(Advance),
    /// Rule 4 where tokens do not rotate: the current token stays; nothing is written.
    Serve,
    /// Rules 5 and 6: the spent predecessor of the current token, from the same party. Answer with the current token
    /// again; nothing is written.
    Replay(RefreshToken),
    /// Rule 7: the predecessor came back late and the policy grants it a further successor.
    Reissue(Advance),
    /// Rule 8: the client is ahead of the store, which has lost writes. Adopt the client's generation and spend it.
    Heal(Advance),
    /// Rules 0 to 3 and 9: no, and nothing changes.
    Refuse(Refusal),
    /// Rules 8 and 10: no, and the session ends for this reason.
    End(EndReason),
}

/// A step of the chain: from the stored token, to a new one.
#[derive(Debug)]
pub struct Advance {
    /// What the store must still hold.
    pub from: Held,
    /// The new current token.
    pub token: RefreshToken,
    /// What the store holds afterwards.
    pub state: TokenState,
}

/// Decides about a presented token; the first rule that matches wins.
pub fn decide(snapshot: Option<&Snapshot>, asked: &Asked<'_>, rules: &Rules<'_>) -> Decision {
    let Some(snapshot) = snapshot else { return Decision::Refuse(Refusal::Unknown) }; // rule 0
    if let Some(refusal) = snapshot.session.refusal(asked.now) {
        return Decision::Refuse(refusal); // rules 1 and 2
    }
    if asked.now.has_reached(snapshot.token.expires_at) || asked.presented.says_expired(asked.now) {
        return Decision::Refuse(Refusal::Expired); // rule 3
    }
    match asked.presented {
        Presented::Chained(token) => Chain { snapshot, token, asked, rules }.decide(),
        // A bare token was found by its hash and never moves: it is the current one, or else it is nobody's.
        Presented::Bare(secret) if secret.hash() == snapshot.token.held.hash => Decision::Serve,
        Presented::Bare(_) => Decision::End(EndReason::ReuseDetected),
    }
}

/// Rules 4 to 10, for a token that names its place in the chain.
struct Chain<'a> {
    snapshot: &'a Snapshot,
    token: &'a RefreshToken,
    asked: &'a Asked<'a>,
    rules: &'a Rules<'a>,
}

impl Chain<'_> {
    fn decide(&self) -> Decision {
        let current = &self.snapshot.token.held;
        if self.token.held() == *current {
            return if self.rules.policy.rotate { Decision::Rotate(self.rotate()) } else { Decision::Serve }; // rule 4
        }
        if self.token.generation > current.generation {
            return match self.rules.policy.on_rollback {
                OnRollback::Heal => Decision::Heal(self.heal()), // rule 8
                OnRollback::End => Decision::End(EndReason::RolledBack),
            };
        }
        let spent = self.snapshot.token.recent.get(self.token.generation);
        if let Some(successor) = self.current_if_derived() {
            if spent.is_some_and(|spent| self.has_retry_key_of(spent) || self.is_within_window(spent)) {
                return Decision::Replay(successor); // rules 5 and 6
            }
            if !self.rules.policy.strict && self.rules.policy.after_window == AfterWindow::Reissue {
                return Decision::Reissue(self.reissue()); // rule 7
            }
        }
        if spent.is_some_and(|spent| self.has_retry_key_of(spent) || self.is_within_window(spent)) {
            return Decision::Refuse(Refusal::Superseded); // rule 9
        }
        Decision::End(EndReason::ReuseDetected) // rule 10
    }

    /// The current token, if the presented one is the one that was spent for it.
    fn current_if_derived(&self) -> Option<RefreshToken> {
        let current = &self.snapshot.token.held;
        (self.token.generation < current.generation)
            .then(|| self.rules.ring.successor_with_hash(self.token, current.generation, &current.hash))
            .flatten()
    }

    /// No key never equals no key.
    fn has_retry_key_of(&self, spent: &Spent) -> bool {
        self.asked.retry_key.is_some() && self.asked.retry_key == spent.retry_key
    }

    /// `now - spent_at <= window`, where the window counts at all. An instant in the future counts as now.
    fn is_within_window(&self, spent: &Spent) -> bool {
        let policy = self.rules.policy;
        !policy.strict && !policy.replay_window.is_zero() && self.asked.now.since(spent.at) <= policy.replay_window
    }

    fn rotate(&self) -> Advance {
        self.advance(self.token.generation.next(), self.snapshot.token.recent.clone())
    }

    /// The unused successor is dead: it enters `recent`, and the presented generation's entry is renewed.
    fn reissue(&self) -> Advance {
        let dead = self.snapshot.token.held.generation;
        let entry = Spent { generation: dead, at: self.asked.now, retry_key: None };
        self.advance(dead.next(), self.snapshot.token.recent.clone().with(entry))
    }

    /// The generations that the store missed enter `recent` as spent now.
    fn heal(&self) -> Advance {
        let missed = self.token.generation.0.saturating_sub(u32::try_from(Recent::MAX).unwrap_or(u32::MAX));
        let from = self.snapshot.token.held.generation.0.max(missed);
        let recent = (from..self.token.generation.0).fold(self.snapshot.token.recent.clone(), |recent, generation| {
            recent.with(Spent { generation: Generation(generation), at: self.asked.now, retry_key: None })
        });
        self.advance(self.token.generation.next(), recent)
    }

    fn advance(&self, to: Generation, recent: Recent) -> Advance {
        let ends_at = self.snapshot.session.ends_at;
        let token = self.rules.ring.successor(self.token, to);
        let spent = Spent { generation: self.token.generation, at: self.asked.now, retry_key: self.asked.retry_key };
        let state = TokenState {
            held: token.held(),
            expires_at: idle_expiry(self.asked.now, self.rules.policy, token.lifetime).min(ends_at),
            recent: recent.with(spent),
            access: kept_access(&token, self.asked.now, ends_at, self.rules),
        };
        Advance { from: self.snapshot.token.held, token, state }
    }
}

/// When a token that is made at `now` expires unless the session ends earlier.
pub fn idle_expiry(now: Timestamp, policy: &RefreshPolicy, lifetime: Lifetime) -> Timestamp {
    now.plus(policy.idle(lifetime))
}

/// What a store is to keep of the access token that is made with this refresh token, where it keeps anything.
pub fn kept_access(token: &RefreshToken, now: Timestamp, ends_at: Timestamp, rules: &Rules<'_>) -> Option<KeptAccess> {
    let kept = rules.access.kept?;
    let hash = rules.ring.access_secret(token, kept.secret_len).secret.hash();
    Some(KeptAccess { hash, expires_at: now.plus(rules.access.ttl).min(ends_at) })
}

#[cfg(test)]
#[path = "decide_table.rs"]
mod table;
