//! The promises, as things that must not be seen: I1 to I6, I9, I11 and I12.
//!
//! What the past was is remembered apart from the store, so that a store that forgets too much is seen.
//!
//! **I12, as it is checked.** Parties are the honest storage (or storages, where each tab has its own) and the thief. A
//! party *uses* a token by presenting it with success. To keep refreshing from a stolen token, a party must use the
//! tokens of one generation after the other, since each success is the successor of what was presented; so two parties
//! who both keep refreshing both use a token of every generation after the theft: the same one, or one each. It is
//! therefore enough that
//!
//! 1. Another party than the first to use a token `t` that presents `t` *late* (more than the window after that first use; with `strict`: ever) and
//!    without the retry key of that use is not successful: at this second conflicting presentation the session ends,
//!    unless it was over. Where late predecessors get a reissue, that conflict is allowed once: it kills the
//!    first party's successor, and
//! 2. once a token was handed out, no token that is neither among its ancestors nor among its descendants is used: of
//!    two branches, one is dead. (Only a reissue makes a branch; whoever comes late with its dead side ends the session.)
//! 3. A party whose newest token was used by another one, but not by itself before it got late, is never successful again
//!    with any token (unless it steals anew). This follows from 1 for consecutive tokens, and is checked as well because
//!    it is what the promise says. Where late predecessors get a reissue, 1 and 2 are all there is: the reissue is a new
//!    meeting on the token that was spent for it.
//!
//! A copied retry key counts as a meeting: it proves, wrongly, that the same party asks again. When the store loses
//! writes, what it lost does not count as used; from then on, the same holds again.

use stateright::Property;

use crate::rules::{How, Verdict};
use crate::state::{Fault, NEVER, Owner, Spending, State, Store, Why};
use crate::step::Presentation;
use crate::token::Token;
use crate::world::World;
use regrant_domain::policy::{AfterWindow, OnRollback};

/// Every promise, as a property of states.
pub(crate) fn properties() -> Vec<Property<World>> {
    vec![
        Property::always("I1: one token can produce a new successor", |_, state: &State| {
            state.fault != Some(Fault::I1)
        }),
        Property::always("I2: one token, one successor", |_, state: &State| state.fault != Some(Fault::I2)),
        Property::always("I3: no way back", |_, state: &State| state.fault != Some(Fault::I3)),
        Property::always("I4: no success after an acknowledged end", |_, state: &State| state.fault != Some(Fault::I4)),
        Property::always("I5: reuse is committed before it is told", |_, state: &State| state.fault != Some(Fault::I5)),
        Property::always("I6: nobody honest is signed out", |_, state: &State| state.fault != Some(Fault::I6)),
        Property::always("I9: no success after expiry", |_, state: &State| state.fault != Some(Fault::I9)),
        Property::always("I11: forgeries write nothing", |_, state: &State| state.fault != Some(Fault::I11)),
        Property::always("I12: two parties are seen", |_, state: &State| state.fault != Some(Fault::I12)),
    ]
}

/// Holds an answer, and what was committed for it, to the promises; then remembers it.
pub(crate) fn check_answer(
    world: &World,
    state: &mut State,
    before: &Store,
    presented: &Presentation,
    verdict: &Verdict,
) {
    let kept_writes = state.rollbacks == world.setup.rollbacks;
    let broken = match verdict {
        Verdict::Success(how, token, _) => [
            (presented.after_end && (kept_writes || world.setup.ends_outlive_rollbacks), Fault::I4),
            (is_expired(world, state, presented.lag), Fault::I9),
            (*how == How::Replayed && state.store != *before, Fault::I9),
            (has_other_successor(world, state, presented.token, *how, *token), Fault::I2),
            (is_conflict(world, state, before, presented, verdict), Fault::I12),
        ],
        Verdict::Refused(why) | Verdict::End(why) => [
            (says_ended(*why) && state.store.ended != Some(*why), Fault::I5),
            (is_conflict(world, state, before, presented, verdict), Fault::I12),
            (false, Fault::I4),
            (false, Fault::I9),
            (false, Fault::I2),
        ],
    };
    note(world, state, &broken);
    if let Verdict::Success(how, token, _) = verdict {
        remember(world, state, before, presented, *how, *token);
    }
}

/// Notes the first promise that was broken, of those that the world is held to.
pub(crate) fn note(world: &World, state: &mut State, broken: &[(bool, Fault)]) {
    let held_to = |fault| world.promises.contains(fault);
    if let Some((_, fault)) = broken.iter().find(|(is_broken, fault)| *is_broken && held_to(fault)) {
        state.fault.get_or_insert(*fault);
    }
}

/// Holds a state to the promises that are about states.
pub(crate) fn check_state(world: &World, before: &State, state: &mut State) {
    let kept_writes = before.rollbacks == state.rollbacks;
    let went_back = state.store.current.generation() < before.store.current.generation()
        || (before.store.ended.is_some() && state.store.ended.is_none());
    let broken = [
        (kept_writes && went_back, Fault::I3),
        (has_two_ways_on(world, state), Fault::I1),
        (world.setup.never_signed_out && is_signed_out(world, state), Fault::I6),
    ];
    note(world, state, &broken);
}

const fn says_ended(why: Why) -> bool {
    matches!(why, Why::Reuse | Why::RolledBack | Why::SignedOut)
}

/// I9, by clocks of its own.
fn is_expired(world: &World, state: &State, lag: u8) -> bool {
    let reached = |age: i8, end: i8| end != NEVER && age - lag.cast_signed() >= end;
    reached(state.idle, world.setup.ttl) || reached(state.age, world.setup.max_age)
}

/// I2. A reissue that is lost with other writes is not recorded any more.
fn has_other_successor(world: &World, state: &State, spent: Token, how: How, given: Token) -> bool {
    let forgets_reissues = world.setup.rollbacks > 0 && world.setup.after_window == AfterWindow::Reissue;
    let earlier = state.past(spent).and_then(|past| past.successor);
    how != How::Reissued && !forgets_reissues && earlier.is_some_and(|earlier| earlier != given)
}

/// I12: see the head of this file.
fn is_conflict(world: &World, state: &State, before: &Store, presented: &Presentation, verdict: &Verdict) -> bool {
    let Presentation { party, token, key, lag, .. } = *presented;
    let is_success = matches!(verdict, Verdict::Success(..));
    let is_reissue = matches!(verdict, Verdict::Success(How::Reissued, ..));
    let is_late = |spending: &Spending| world.setup.strict || spending.age.saturating_sub(lag) > world.setup.window;
    let past = state.past(token);
    if past.is_some_and(|past| past.dead) && is_success {
        return true; // 2
    }
    let of_another = |spending: &Spending| spending.by != party && is_late(spending);
    let spending = past.and_then(|past| past.spent);
    if spending.is_some_and(|spending| of_another(&spending) && (key.is_none() || key != spending.key)) {
        let ends = matches!(verdict, Verdict::End(_)) || before.is_over();
        return !ends && !is_reissue; // 1
    }
    let newest = newest_of(state, party);
    let missed = newest.and_then(|newest| state.past(newest)).and_then(|past| past.spent).is_some_and(|spending| {
        of_another(&spending) && spending.users & party.bit() == 0 && !shares_key(state, party, newest, spending)
    });
    is_success && missed && world.setup.after_window == AfterWindow::End // 3
}

fn newest_of(state: &State, party: Owner) -> Option<Token> {
    match party {
        Owner::Storage(slot) => state.storage.get(usize::from(slot)).copied(),
        Owner::Thief => state.loot.iter().map(|loot| loot.token).max_by_key(|token| token.generation()),
    }
}

/// Whether this party has the retry key that its token was spent with.
fn shares_key(state: &State, party: Owner, token: Option<Token>, spending: Spending) -> bool {
    let copied = |owner| state.loot.iter().any(|loot| Some(loot.token) == token && loot.key == Some(owner));
    spending.key.is_some_and(|owner| owner == party || (party == Owner::Thief && copied(owner)))
}

fn remember(world: &World, state: &mut State, before: &Store, presented: &Presentation, how: How, given: Token) {
    let Presentation { party, token, key, lag, .. } = *presented;
    if how != How::Replayed {
        state.idle = if world.setup.ttl == NEVER { 0 } else { lag.cast_signed() };
    }
    let first = Spending { by: party, age: lag, key, users: party.bit() };
    let branches: Vec<Token> = state.held().filter(|held| !held.is_in_line_with(given)).collect();
    for branch in branches {
        state.past_mut(branch).dead = true;
    }
    if how == How::Reissued {
        let dead = state.past_mut(before.current);
        dead.dead = true;
        dead.spent = Some(Spending { key: None, users: 0, ..first });
    }
    let past = state.past_mut(token);
    past.successor = Some(given);
    match &mut past.spent {
        Some(spending) if how != How::Reissued => spending.users |= party.bit(),
        spent => *spent = Some(first),
    }
}

/// I1, while the store keeps its writes.
fn has_two_ways_on(world: &World, state: &State) -> bool {
    if state.rollbacks != world.setup.rollbacks || state.store.is_over() {
        return false;
    }
    let store = &state.store;
    let predecessor = store.current.parent().map(|(parent, _)| parent);
    let mut others: Vec<Token> = state.held().filter(|token| *token != store.current).collect();
    if world.setup.after_window == AfterWindow::Reissue {
        others.retain(|token| Some(*token) != predecessor);
    }
    let makes_new = |token| {
        let verdict = world.ask(store, token, None, 0);
        matches!(*verdict, Verdict::Success(How::Rotated | How::Reissued | How::Healed, ..))
    };
    others.into_iter().any(makes_new)
}

/// I6: the session ended by a rule, or it is over for this client although it is not for the store: what is in the
/// storage, presented now with its retry key, would not be answered with a token.
fn is_signed_out(world: &World, state: &State) -> bool {
    let by_policy = world.setup.on_rollback == OnRollback::End;
    match state.store.ended {
        Some(Why::Reuse) => return true,
        Some(Why::RolledBack) => return !by_policy,
        _ => {}
    }
    let locked_out = |(slot, token): (u8, &Token)| {
        let key = world.setup.keys.then_some(Owner::Storage(slot));
        !matches!(*world.ask(&state.store, *token, key, 0), Verdict::Success(..))
    };
    let lost_writes = state.rollbacks != world.setup.rollbacks;
    let may_be_out = state.store.is_over() || (lost_writes && by_policy);
    !may_be_out && (0..).zip(&state.storage).any(locked_out)
}
