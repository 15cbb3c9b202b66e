//! One state for all that cannot be told apart: what nobody can present any more is forgotten, generations count from
//! the oldest token that somebody holds, sets are sorted, and two tabs have no order.

use crate::state::{Answer, Entry, KeyId, Owner, Reply, State, Store, Tab};
use crate::token::Token;

impl State {
    /// The representative of all states that behave as this one does.
    #[must_use]
    pub fn canonical(mut self) -> Self {
        self.forget();
        self.rebase();
        self.sort();
        if self.tabs.len() == 2 {
            let mut swapped = self.clone();
            swapped.swap_tabs();
            swapped.sort();
            return self.min(swapped);
        }
        self
    }

    /// Drops what no rule and no property can ask about again.
    fn forget(&mut self) {
        // A tab that gave up on a request does not read its answer.
        let tabs = &self.tabs;
        self.answers
            .retain(|answer| matches!(tabs[usize::from(answer.tab)], Tab::Waiting(token, _) if token == answer.asked));
        let mut live: Vec<Token> = self.held().collect();
        live.push(self.store.current);
        live.extend(self.backup.iter().map(|backup| backup.current));
        live.sort_unstable();
        live.dedup();
        self.past.retain_mut(|past| {
            let kept = live.binary_search(&past.token).is_ok();
            let told = past.spent.is_some() || past.successor.is_some() || past.dead;
            kept && told
        });
        forget_entries(&mut self.store, &live);
        if let Some(backup) = &mut self.backup {
            forget_entries(backup, &live);
        }
        if self.store.ended.is_some() {
            self.store.recent.clear();
            if self.backup.is_none() {
                self.past.clear();
            }
        }
    }

    /// Counts from the youngest common ancestor of everything that is left.
    fn rebase(&mut self) {
        let mut tokens = Vec::new();
        self.each_token(&mut |token| tokens.push(*token));
        let Some(root) = tokens.into_iter().reduce(Token::common_with) else { return };
        if root == Token::ROOT {
            return;
        }
        self.each_token(&mut |token| *token = token.seen_from(root));
        let generations = root.generation();
        for store in std::iter::once(&mut self.store).chain(&mut self.backup) {
            for entry in store.recent.iter_mut().filter(|entry| entry.generation != Entry::NOBODYS) {
                entry.generation -= generations;
            }
        }
    }

    fn each_token(&mut self, act: &mut dyn FnMut(&mut Token)) {
        for store in std::iter::once(&mut self.store).chain(&mut self.backup) {
            act(&mut store.current);
            store.recent.iter_mut().filter_map(|entry| entry.key.as_mut()).for_each(|key| act(&mut key.token));
        }
        self.storage.iter_mut().for_each(&mut *act);
        for tab in &mut self.tabs {
            if let Tab::Waiting(token, _) | Tab::Stuck(token, _) = tab {
                act(token);
            }
        }
        self.requests.iter_mut().for_each(|request| act(&mut request.token));
        for answer in &mut self.answers {
            act(&mut answer.asked);
            if let Reply::Token(token) = &mut answer.reply {
                act(token);
            }
        }
        self.loot.iter_mut().for_each(|loot| act(&mut loot.token));
        for past in &mut self.past {
            act(&mut past.token);
            past.successor.iter_mut().for_each(&mut *act);
        }
    }

    fn sort(&mut self) {
        self.requests.sort_unstable();
        self.requests.dedup();
        self.answers.sort_unstable();
        self.answers.dedup();
        self.loot.sort_unstable();
        self.loot.dedup();
        self.past.sort_unstable();
    }

    fn swap_tabs(&mut self) {
        self.tabs.swap(0, 1);
        self.requests.iter_mut().for_each(|request| request.tab = 1 - request.tab);
        self.answers.iter_mut().for_each(|answer: &mut Answer| answer.tab = 1 - answer.tab);
        if self.storage.len() < 2 {
            return;
        }
        self.storage.swap(0, 1);
        for store in std::iter::once(&mut self.store).chain(&mut self.backup) {
            store.recent.iter_mut().filter_map(|entry| entry.key.as_mut()).for_each(|key| swap_owner(&mut key.owner));
        }
        self.loot.iter_mut().filter_map(|loot| loot.key.as_mut()).for_each(swap_owner);
        for spending in self.past.iter_mut().filter_map(|past| past.spent.as_mut()) {
            swap_owner(&mut spending.by);
            spending.key.iter_mut().for_each(swap_owner);
            let (first, second) = (spending.users & 1, spending.users >> 1 & 1);
            spending.users = spending.users & !3 | first << 1 | second;
        }
    }
}

fn swap_owner(owner: &mut Owner) {
    if let Owner::Storage(slot) = owner {
        *slot = 1 - *slot;
    }
}

/// An entry about a generation that nobody holds a token of only takes up room, and none at all where it is the next to
/// give way. A retry key for a token that nobody holds is like none: no key never equals no key.
fn forget_entries(store: &mut Store, live: &[Token]) {
    for entry in &mut store.recent {
        if !live.iter().any(|token| token.generation() == entry.generation) {
            *entry = Entry { generation: Entry::NOBODYS, age: 0, key: None };
        }
        entry.key = entry.key.filter(|KeyId { token, .. }| live.binary_search(token).is_ok());
    }
    let idle = store.recent.iter().take_while(|entry| entry.generation == Entry::NOBODYS).count();
    store.recent.drain(..idle);
}
