//! Writes that wait at the same time go to the server in one round trip. The contract holds for them as for any; here is
//! what only a batch can get wrong.

use std::sync::Arc;

use regrant_adapters::outbound::redis::RedisOptions;
use regrant_domain::ports::{RotateOutcome, SessionRepository as _};
use regrant_domain::refresh_token::LookupKey;
use tokio::task::JoinSet;

use crate::contract::bench::{a_session, a_user_id, as_opened, minutes, rotated, rotation};
use crate::support::servers::{self, is_wanted};

const MANY: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn each_gets_its_own_answer_and_a_poisoned_one_fails_alone() {
    if !is_wanted("redis") {
        return;
    }
    let url = servers::redis::single();
    let options = RedisOptions { prefix: "together:".into(), ..RedisOptions::new(url.clone()) };
    let store = Arc::new(super::connect(&options).await);
    let user = a_user_id();
    let mut sessions = Vec::new();
    for _ in 0..MANY {
        let new = a_session(user);
        store.open(new.clone()).await.unwrap();
        sessions.push(as_opened(&new));
    }
    // Every tenth is a key of another type, on which the script fails.
    let client = redis::Client::open(url).unwrap();
    let mut poisoner = client.get_multiplexed_async_connection().await.unwrap();
    let no_session = |n: usize| LookupKey::stored(format!("poisoned-{n}"));
    for n in (0..MANY).step_by(10) {
        let key = format!("together:s:{{{}}}", no_session(n).as_str());
        redis::cmd("SET").arg(key).arg("no hash").exec_async(&mut poisoner).await.unwrap();
    }
    for step in 1..4 {
        let mut asked = JoinSet::new();
        for (n, session) in sessions.iter().enumerate() {
            let (store, mut rotation) = (store.clone(), rotation(session, minutes(step)));
            if n % 10 == 0 {
                rotation.lookup = no_session(n);
            }
            asked.spawn(async move { (n, store.rotate(rotation.clone()).await, rotation) });
        }
        for (n, outcome, rotation) in asked.join_all().await {
            if n % 10 == 0 {
                assert!(outcome.is_err(), "{n}: {outcome:?}");
                continue;
            }
            let after = rotated(&sessions[n], &rotation);
            let RotateOutcome::Rotated(facts) = outcome.unwrap() else { panic!("it was current") };
            assert_eq!((facts.user, facts.expires_at), (user, after.token.expires_at));
            let key = regrant_domain::ports::SessionKey::Id(after.session.id);
            assert_eq!(store.find(&key).await.unwrap().unwrap(), after);
            sessions[n] = after;
        }
    }
}
