//! What the operator is told after a copy.

use regrant_adapters::outbound::memory::MemoryStore;
use regrant_domain::ports::{Counted, UserRepository as _};
use regrant_domain::usecases::copy::{Copied, Place, copy};
use regrant_domain::user::User;

use crate::contract::bench::{a_session, a_user};

const fn place(store: &MemoryStore) -> Place<'_> {
    Place { users: store, sessions: store }
}

#[tokio::test]
async fn what_is_left_out_is_counted_users_and_their_sessions_alike() {
    let (from, to) = (MemoryStore::default(), MemoryStore::default());
    let mut users: Vec<User> = (0..5).map(|_| a_user()).collect();
    users.sort_by_key(|user| user.id);
    for user in &users {
        from.add(user.clone()).await.unwrap();
        for _ in 0..3 {
            regrant_domain::ports::SessionRepository::open(&from, a_session(user.id)).await.unwrap();
        }
    }
    // Two addresses belong to other people at the new place.
    for taken in &users[1..3] {
        to.add(User { email: taken.email.clone(), ..a_user() }).await.unwrap();
    }
    let mut told = Vec::new();
    let copied = copy(place(&from), place(&to), |so_far| told.push(*so_far)).await.unwrap();
    let expected = Copied { read: Counted { users: 5, sessions: 15 }, left_out: Counted { users: 2, sessions: 6 } };
    assert_eq!(copied, expected);
    assert_eq!(told.last(), Some(&expected));
}
