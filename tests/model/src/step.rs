//! What can happen next, and what it leads to.

use stateright::{Model, Property};

use crate::promises;
use crate::rules::Verdict;
use crate::state::{Answer, Fault, Loot, NEVER, Owner, Reply, Request, State, Store, Tab, Why};
use crate::token::Token;
use crate::world::{Server, World};

/// What becomes of an answer. (A server that crashes after its commit is an answer that is lost.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It arrives at once.
    Arrives,
    /// It never arrives.
    Lost,
    /// It is on its way.
    Delayed,
}

/// Something that happens. Numbers are positions in the state's lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Time passes.
    Tick,
    /// A tab reads the storage, and asks.
    Ask(u8),
    /// A tab timed out, and sends the same pair again.
    AskAgain(u8),
    /// A superseded tab with nothing newer in the storage asks without the key, after the window.
    AskWithoutKey(u8),
    /// A tab is closed and opened again, or gives up.
    Reload(u8),
    /// The server handles a request.
    Handle {
        /// Which.
        request: u8,
        /// The network keeps a copy.
        again: bool,
        /// What becomes of the answer.
        fate: Fate,
        /// How many ticks ago the server looked at the clock.
        lag: u8,
    },
    /// A request is lost. (Also a server that crashes before its commit.)
    LoseRequest(u8),
    /// An answer arrives.
    Arrive(u8),
    /// An answer is lost.
    LoseAnswer(u8),
    /// Somebody ends the session, and is told so or not.
    SignOut {
        /// Whether the answer arrived.
        acknowledged: bool,
    },
    /// The store's content is what will be left after a failover, or is backed up.
    BackUp,
    /// The store goes back to that.
    RollBack,
    /// The thief copies the token in this storage, with the retry key that a tab has sent with it, if any, or without.
    Steal(u8, bool),
    /// The thief presents loot, with a retry key or without.
    Abuse(u8, Option<Owner>),
    /// The thief throws loot away.
    Discard(u8),
    /// Somebody presents a forged token, one generation ahead.
    Forge,
}

impl Model for World {
    type State = State;
    type Action = Event;

    fn init_states(&self) -> Vec<State> {
        vec![self.first()]
    }

    fn actions(&self, state: &State, events: &mut Vec<Event>) {
        if state.fault.is_some() {
            return;
        }
        if self.time_may_pass(state) {
            events.push(Event::Tick);
        }
        for (at, tab) in (0..).zip(&state.tabs) {
            self.events_of_tab(state, at, *tab, events);
        }
        let room = state.answers.len() < self.setup.answers;
        let fates = [Fate::Arrives, Fate::Lost, Fate::Delayed];
        for at in 0..positions(&state.requests) {
            events.push(Event::LoseRequest(at));
            for again in [false, true].into_iter().filter(|again| self.setup.duplicates || !again) {
                for fate in fates.into_iter().filter(|fate| room || *fate != Fate::Delayed) {
                    let handle = |lag| Event::Handle { request: at, again, fate, lag };
                    events.extend((0..=self.setup.lag).map(handle));
                }
            }
        }
        for at in 0..positions(&state.answers) {
            events.extend([Event::Arrive(at), Event::LoseAnswer(at)]);
        }
        if self.setup.sign_out && state.store.ended.is_none() {
            events.extend([true, false].map(|acknowledged| Event::SignOut { acknowledged }));
        }
        if state.rollbacks > 0 {
            events.push(if state.backup.is_some() { Event::RollBack } else { Event::BackUp });
        }
        self.events_of_thief(state, events);
    }

    fn next_state(&self, state: &State, event: Event) -> Option<State> {
        let mut next = state.clone();
        match event {
            Event::Tick => self.tick(&mut next),
            Event::Ask(tab) => {
                let token = next.storage[usize::from(self.slot_of(tab))];
                send(&mut next, tab, token, self.setup.keys);
            }
            Event::AskAgain(tab) => {
                if let Tab::Waiting(token, keyed) = state.tabs[usize::from(tab)] {
                    send(&mut next, tab, token, keyed);
                }
            }
            Event::AskWithoutKey(tab) => {
                if let Tab::Stuck(token, _) = state.tabs[usize::from(tab)] {
                    send(&mut next, tab, token, false);
                }
            }
            Event::Reload(tab) => next.tabs[usize::from(tab)] = Tab::Idle,
            Event::Handle { request, again, fate, lag } => self.handle(&mut next, request, again, fate, lag),
            Event::LoseRequest(at) => drop(next.requests.remove(at.into())),
            Event::Arrive(at) => {
                let answer = next.answers.remove(at.into());
                self.receive(&mut next, answer);
            }
            Event::LoseAnswer(at) => drop(next.answers.remove(at.into())),
            Event::SignOut { acknowledged } => {
                next.store.ended = Some(Why::SignedOut);
                next.end_acknowledged |= acknowledged;
            }
            Event::BackUp => next.backup = Some(next.store.clone()),
            Event::RollBack => roll_back(&mut next),
            Event::Steal(slot, with_key) => {
                let token = next.storage[usize::from(slot)];
                next.loot.push(Loot { token, key: with_key.then_some(Owner::Storage(slot)) });
            }
            Event::Abuse(at, key) => self.abuse(&mut next, at, key),
            Event::Discard(at) => drop(next.loot.remove(at.into())),
            Event::Forge => self.forge(&mut next),
        }
        self.hold_to_reach(&mut next);
        promises::check_state(self, state, &mut next);
        Some(next.canonical())
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promises::properties()
    }

    fn within_boundary(&self, state: &State) -> bool {
        !state.storage.iter().any(|token| self.is_beyond_reach(&state.store, *token))
    }
}

fn positions<T>(list: &[T]) -> u8 {
    u8::try_from(list.len()).unwrap_or(u8::MAX)
}

/// The tab has asked, and waits.
fn send(state: &mut State, tab: u8, token: Token, keyed: bool) {
    state.requests.push(Request { tab, token, keyed, after_end: state.end_acknowledged });
    state.tabs[usize::from(tab)] = Tab::Waiting(token, keyed);
}

/// The store has lost every write since the backup. What it has forgotten was not spent as far as anybody can know.
fn roll_back(state: &mut State) {
    let Some(backup) = state.backup.take() else { return };
    let lost = backup.current.generation();
    state.store = backup;
    state.rollbacks -= 1;
    for past in state.past.iter_mut().filter(|past| past.token.generation() >= lost) {
        past.spent = None;
        past.dead = false;
    }
}

impl World {
    fn events_of_tab(&self, state: &State, at: u8, tab: Tab, events: &mut Vec<Event>) {
        let room = state.requests.len() < self.setup.requests;
        match tab {
            Tab::Idle if room => events.push(Event::Ask(at)),
            Tab::Waiting(..) => {
                if room {
                    events.push(Event::AskAgain(at));
                }
                events.push(Event::Reload(at));
            }
            Tab::Stuck(_, since) => {
                if room && since > self.setup.window {
                    events.push(Event::AskWithoutKey(at));
                }
                events.push(Event::Reload(at));
            }
            Tab::Idle | Tab::Out => {}
        }
    }

    fn events_of_thief(&self, state: &State, events: &mut Vec<Event>) {
        if self.setup.loot == 0 {
            return;
        }
        if state.loot.len() < self.setup.loot {
            for (slot, token) in (0..).zip(&state.storage) {
                events.push(Event::Steal(slot, false));
                let sent = |tab: &Tab| *tab == Tab::Waiting(*token, true);
                let mut tabs = (0..).zip(&state.tabs).filter(|(at, _)| self.slot_of(*at) == slot);
                if self.setup.loot_keys && tabs.any(|(_, tab)| sent(tab)) {
                    events.push(Event::Steal(slot, true));
                }
            }
        }
        for (at, loot) in (0..).zip(&state.loot) {
            events.extend([Event::Abuse(at, None), Event::Abuse(at, Some(Owner::Thief)), Event::Discard(at)]);
            events.extend(loot.key.map(|key| Event::Abuse(at, Some(key))));
        }
        events.push(Event::Forge);
    }

    /// In a world without long outages, time waits for whoever still has to hear of a spent token's successor.
    fn time_may_pass(&self, state: &State) -> bool {
        let in_time = |token: Token| {
            let spent = state.past(token).and_then(|past| past.spent);
            spent.is_none_or(|spending| spending.age < self.setup.window)
        };
        !self.setup.prompt || state.held().all(in_time)
    }

    fn tick(&self, state: &mut State) {
        let oldest = self.oldest();
        // Where time proves nothing, ages are not looked at.
        let oldest_entry = if self.setup.strict || self.setup.window == 0 { 0 } else { oldest };
        for store in std::iter::once(&mut state.store).chain(&mut state.backup) {
            store.recent.iter_mut().for_each(|entry| entry.age = (entry.age + 1).min(oldest_entry));
            store.expires_in = self.less(store.expires_in);
            store.ends_in = self.less(store.ends_in);
        }
        for tab in &mut state.tabs {
            if let Tab::Stuck(_, since) = tab {
                *since = (*since + 1).min(self.setup.window + 1);
            }
        }
        for spending in state.past.iter_mut().filter_map(|past| past.spent.as_mut()) {
            spending.age = (spending.age + 1).min(oldest);
        }
        if self.setup.ttl != NEVER {
            state.idle = (state.idle + 1).min(self.setup.ttl + self.setup.lag.cast_signed());
        }
        if self.setup.max_age != NEVER {
            state.age = (state.age + 1).min(self.setup.max_age + self.setup.lag.cast_signed());
        }
    }

    /// A tick less, as long as a server that looked at the clock too early could tell the difference.
    fn less(&self, ticks: i8) -> i8 {
        if ticks == NEVER { NEVER } else { (ticks - 1).max(-self.setup.lag.cast_signed()) }
    }

    fn handle(&self, state: &mut State, at: u8, again: bool, fate: Fate, lag: u8) {
        let request = state.requests[usize::from(at)];
        if !again {
            state.requests.remove(at.into());
        }
        let party = Owner::Storage(self.slot_of(request.tab));
        let key = request.keyed.then_some(party);
        let presented = Presentation { party, token: request.token, key, lag, after_end: request.after_end };
        let reply = self.present(state, &presented);
        let answer = Answer { tab: request.tab, asked: request.token, reply };
        match fate {
            Fate::Arrives => self.receive(state, answer),
            Fate::Lost => {}
            Fate::Delayed => state.answers.push(answer),
        }
    }

    /// The server decides and commits, as one step.
    fn present(&self, state: &mut State, presented: &Presentation) -> Reply {
        let verdict = self.ask_seen(&state.store, presented.token, presented.key, presented.lag);
        let before = state.store.clone();
        let reply = match &*verdict {
            Verdict::Success(_, token, store) => {
                state.store = store.clone();
                Reply::Token(*token)
            }
            Verdict::Refused(why) => Reply::No(*why),
            Verdict::End(why) => {
                if self.server != Server::LosesEnds {
                    state.store.ended = Some(*why);
                }
                Reply::No(*why)
            }
        };
        promises::check_answer(self, state, &before, presented, &verdict);
        reply
    }

    fn receive(&self, state: &mut State, Answer { tab, asked, reply }: Answer) {
        let stored = &mut state.storage[usize::from(self.slot_of(tab))];
        let waiting = matches!(state.tabs[usize::from(tab)], Tab::Waiting(token, _) if token == asked);
        if !waiting {
            return;
        }
        state.tabs[usize::from(tab)] = match reply {
            Reply::Token(token) => {
                if token.generation() > stored.generation() {
                    *stored = token;
                }
                Tab::Idle
            }
            Reply::No(Why::Superseded) if stored.generation() > asked.generation() => Tab::Idle,
            Reply::No(Why::Superseded) => Tab::Stuck(asked, 0),
            Reply::No(_) => Tab::Out,
        };
    }

    fn abuse(&self, state: &mut State, at: u8, key: Option<Owner>) {
        let token = state.loot[usize::from(at)].token;
        let after_end = state.end_acknowledged;
        let reply = self.present(state, &Presentation { party: Owner::Thief, token, key, lag: 0, after_end });
        if let Reply::Token(token) = reply {
            if state.loot.len() >= self.setup.loot {
                state.loot.remove(at.into());
            }
            state.loot.push(Loot { token, key: None });
        }
    }

    fn forge(&self, state: &mut State) {
        if self.server != Server::BelievesAnything {
            return; // Its text is not authentic: nothing is read and nothing is written.
        }
        let token = state.store.current.child(1, Token::FORGED);
        if let Verdict::Success(_, _, store) = &*self.ask_seen(&state.store, token, None, 0) {
            state.store = store.clone();
            promises::note(self, state, &[(true, Fault::I11)]);
        }
    }

    /// Lets go of what lags too far behind.
    fn hold_to_reach(&self, state: &mut State) {
        let store = state.store.clone();
        let lags = |token: Token| self.is_beyond_reach(&store, token);
        state.requests.retain(|request| !lags(request.token));
        state.loot.retain(|loot| !lags(loot.token));
        for tab in &mut state.tabs {
            if matches!(tab, Tab::Waiting(token, _) | Tab::Stuck(token, _) if lags(*token)) {
                *tab = Tab::Idle;
            }
        }
        state.backup = state.backup.take().filter(|backup: &Store| !lags(backup.current));
    }
}

/// Somebody presents a token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Presentation {
    pub(crate) party: Owner,
    pub(crate) token: Token,
    pub(crate) key: Option<Owner>,
    pub(crate) lag: u8,
    pub(crate) after_end: bool,
}
