//! Keys that are the same in every run, and that nobody could take for real ones.

use std::sync::Arc;

use regrant_domain::token_key::{TokenKey, TokenKeyId, TokenKeyRing};

/// Our keys: the one that signs, and an earlier one.
pub(crate) fn ours() -> Arc<TokenKeyRing> {
    ring(&[(1, 7), (2, 9)])
}

/// Keys with the same ids, with which nothing in the corpus was ever made: whatever they find authentic is a forgery.
pub(crate) fn nobodys() -> Arc<TokenKeyRing> {
    ring(&[(1, 70), (2, 90)])
}

fn ring(keys: &[(u8, u8)]) -> Arc<TokenKeyRing> {
    let mut keys = keys.iter().map(|(id, fill)| TokenKey::new(TokenKeyId(*id), &[*fill; TokenKey::LEN]));
    let current = keys.next().expect("there is one");
    Arc::new(TokenKeyRing::new(current, keys.collect()).expect("their ids differ"))
}
