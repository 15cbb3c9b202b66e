//! Histories in Redis: how much, and for how long.

use std::time::Duration;

use regrant_domain::history::{Entry, Origin, What};
use regrant_domain::ports::HistoryRepository as _;

use super::keys::{about, keys};
use super::store;
use crate::contract::bench::{a_session_id, a_user_id, minutes};
use crate::support::servers::redis::Servers;

const HISTORY_RETENTION: Duration = Duration::from_hours(24 * 90);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_is_small_and_goes_by_itself_or_with_its_user() {
    let servers = Servers::single(&[]);
    let Some(store) = store(|| servers.url().to_owned()).await else { return };
    let mut connection = servers.first().connect().unwrap();
    let (user, browser) =
        (a_user_id(), "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/141.0.0.0 Safari/537.36");
    let from = Origin { user_agent: Some(browser.into()), ip: Some("203.0.113.195".into()) };
    let entry =
        |session, minute| Entry { user, session, at: minutes(minute), what: What::Replayed, from: from.clone() };
    let (one, other) = (a_session_id(), a_session_id());
    store.append(vec![entry(Some(one), 0), entry(None, 0)]).await.unwrap();
    store.append((0..40).map(|minute| entry(Some(other), minute)).collect()).await.unwrap();
    let all = keys(&mut connection);
    assert_eq!(all.len(), 4, "one for each session, one for the account, and the set of sessions: {all:?}");
    let mut bytes = 0;
    for key in &all {
        let usage: u64 = ::redis::cmd("MEMORY").arg("USAGE").arg(key).query(&mut connection).unwrap();
        bytes += usage;
        let left: u64 = ::redis::cmd("PTTL").arg(key).query(&mut connection).unwrap();
        assert!(about(Duration::from_millis(left), HISTORY_RETENTION + Duration::from_mins(5)), "{key}: {left}");
    }
    println!("bytes of history for each entry: {}", bytes / 42);
    assert!(bytes / 42 <= 400, "{bytes} bytes for 42 entries");

    // What is older than the retention goes when something is added.
    let late = Entry { at: minutes(0).plus(HISTORY_RETENTION), ..entry(Some(other), 0) };
    store.append(vec![late]).await.unwrap();
    assert_eq!(store.of_session(other).await.unwrap().len(), 40);
    store.forget_all(user).await.unwrap();
    assert_eq!(keys(&mut connection), [""; 0]);
}
