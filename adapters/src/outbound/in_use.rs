//! What is in use now, and can be exchanged while requests are under way: token formats, when keys change, and certificates.
//!
//! A request takes what is in use when it asks, and goes on with that: an exchange never makes it wait, and never changes
//! what it holds.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use regrant_domain::access_token::{AccessClaims, AccessGrant, AccessRefusal, AccessToken};
use regrant_domain::ports::{AccessTokens, NotAuthentic, PortError, TokenCodec, TokenFacts};
use regrant_domain::refresh_token::{LookupKey, Presented, RefreshToken};
use regrant_domain::secret::TokenText;
use regrant_domain::time::Timestamp;
use regrant_domain::token_key::TokenKeyRing;

/// See the module.
pub struct InUse<T: ?Sized>(RwLock<Arc<T>>);

impl<T: ?Sized> InUse<T> {
    /// With this to begin with.
    pub const fn new(first: Arc<T>) -> Self {
        Self(RwLock::new(first))
    }

    /// What is in use. (The lock is held for as long as it takes to count one holder more.)
    pub fn get(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on, this.
    pub fn set(&self, next: Arc<T>) {
        let before = std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), next);
        // Nobody waits for the lock while keys are wiped.
        drop(before);
    }
}

impl<T: ?Sized> fmt::Debug for InUse<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InUse").finish_non_exhaustive()
    }
}

impl AccessTokens for InUse<dyn AccessTokens> {
    fn issue(&self, grant: &AccessGrant) -> Result<AccessToken, PortError> {
        self.get().issue(grant)
    }

    fn verify(&self, text: &str, now: Timestamp) -> Result<AccessClaims, AccessRefusal> {
        self.get().verify(text, now)
    }
}

impl TokenCodec for InUse<dyn TokenCodec> {
    fn secret_len(&self) -> usize {
        self.get().secret_len()
    }

    fn encode(&self, token: &RefreshToken, facts: &TokenFacts) -> Result<TokenText, PortError> {
        self.get().encode(token, facts)
    }

    fn decode(&self, text: &str) -> Result<Presented, NotAuthentic> {
        self.get().decode(text)
    }

    fn lookup(&self, token: &RefreshToken) -> LookupKey {
        self.get().lookup(token)
    }

    fn ring(&self) -> Arc<TokenKeyRing> {
        self.get().ring()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_something_keeps_it_and_who_asks_later_gets_the_next() {
        let in_use = InUse::new(Arc::new(1));
        let held = in_use.get();
        in_use.set(Arc::new(2));
        assert_eq!((*held, *in_use.get()), (1, 2));
    }

    #[test]
    fn an_exchange_under_load_is_seen_by_all_and_nobody_sees_anything_else() {
        let in_use = InUse::<[u64; 8]>::new(Arc::new([0; 8]));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut last = 0;
                    while last < 100 {
                        let seen = in_use.get();
                        assert!(seen.iter().all(|one| *one == seen[0]), "all of one, or all of another");
                        assert!(seen[0] >= last, "never back");
                        last = seen[0];
                    }
                });
            }
            (1..=100).for_each(|next| in_use.set(Arc::new([next; 8])));
        });
    }
}
