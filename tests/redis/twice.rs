//! Answers that are lost on the way: what was sent is sent again, and happens once.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use regrant_adapters::outbound::redis::RedisOptions;
use regrant_domain::ports::{EndAll, EndOutcome, OpenOutcome, RotateOutcome, SessionRepository};
use regrant_domain::reason::EndReason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{connect, opened, refresh};
use crate::contract::bench::{a_bare_session, a_session, a_user_id, by_id, by_lookup, minutes, rotated, rotation};
use crate::contract::ending::{an_end, ended};
use crate::support::servers::{is_wanted, redis};

/// Between a store and its server. Loses an answer when it is told to, and the connection with it.
struct Proxy {
    url: String,
    lose: Arc<AtomicI64>,
    count: Arc<AtomicU64>,
}

impl Proxy {
    async fn before(server: &str) -> Self {
        let server = server.trim_start_matches("redis://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let (lose, count) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicU64::new(0)));
        let losing = (lose.clone(), count.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                tokio::spawn(pass_on(client, server, losing.clone()));
            }
        });
        Self { url, lose, count }
    }

    /// The answer after so many others is lost.
    fn lose_after(&self, others: i64) {
        self.lose.store(others + 1, Ordering::SeqCst);
    }

    fn lost(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }
}

async fn pass_on(client: TcpStream, server: TcpStream, (lose, count): (Arc<AtomicI64>, Arc<AtomicU64>)) {
    let (mut questions, mut answers) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let task = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut questions, &mut to_server).await;
    });
    let mut bytes = vec![0; 65_536];
    while let Ok(len @ 1..) = from_server.read(&mut bytes).await {
        if lose.fetch_sub(1, Ordering::SeqCst) == 1 {
            count.fetch_add(1, Ordering::SeqCst);
            break;
        }
        if answers.write_all(&bytes[..len]).await.is_err() {
            break;
        }
    }
    task.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_whose_answer_is_lost_is_sent_again_and_happens_once() {
    if !is_wanted("redis") {
        return;
    }
    let proxy = Proxy::before(&redis::single()).await;
    let store = connect(&RedisOptions::new(&proxy.url)).await;
    for lose_after in 0..4 {
        for new in [a_session(a_user_id()), a_bare_session(a_user_id())] {
            proxy.lose_after(lose_after);
            assert_eq!(store.open(new.clone()).await.unwrap(), OpenOutcome::Opened);
            assert_eq!(store.find(&by_id(&new)).await.unwrap(), Some(opened(&new)));
            assert_eq!(store.list(new.session.user).await.unwrap(), [opened(&new)]);

            let step = rotation(&opened(&new), minutes(1));
            let current = rotated(&opened(&new), &step);
            proxy.lose_after(0);
            assert!(matches!(store.rotate(step.clone()).await.unwrap(), RotateOutcome::Rotated(_)));
            assert_eq!(store.find(&by_lookup(&new)).await.unwrap(), Some(current.clone()));
            assert_eq!(store.rotate(step).await.unwrap(), RotateOutcome::NotCurrent, "an equal call is another one");

            let reason = EndReason::SignedOut;
            proxy.lose_after(lose_after.min(1));
            assert_eq!(store.end(an_end(by_id(&new), reason, minutes(2))).await.unwrap(), EndOutcome::Ended);
            assert_eq!(store.end(an_end(by_id(&new), reason, minutes(3))).await.unwrap(), EndOutcome::AlreadyEnded);
            assert_eq!(store.find(&by_id(&new)).await.unwrap(), Some(ended(current, reason, minutes(2))));
        }
    }
    assert!(proxy.lost() >= 20, "{} answers were lost", proxy.lost());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ending_all_with_lost_answers_ends_and_names_each_once() {
    if !is_wanted("redis") {
        return;
    }
    let proxy = Proxy::before(&redis::single()).await;
    let store = connect(&RedisOptions::new(&proxy.url)).await;
    for lose_after in 0..6 {
        let user = a_user_id();
        let mut all = Vec::new();
        for _ in 0..5 {
            let new = a_session(user);
            store.open(new.clone()).await.unwrap();
            all.push(new.session.id);
        }
        proxy.lose_after(lose_after);
        let end = EndAll { user, but: None, reason: EndReason::PasswordChanged, at: minutes(1) };
        let mut named = store.end_all(end).await.unwrap();
        named.sort();
        all.sort();
        assert_eq!(named, all);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_that_the_server_has_forgotten_are_told_again() {
    if !is_wanted("redis") {
        return;
    }
    let servers = redis::Servers::single(&[]);
    let store = connect(&RedisOptions::new(servers.url())).await;
    let new = super::open(&store).await;
    for _ in 0..3 {
        servers.first().ask("SCRIPT", &["FLUSH"]).unwrap();
        assert!(refresh(&store, &new).await.unwrap().is_some());
    }
    servers.first().ask("SCRIPT", &["FLUSH"]).unwrap();
    assert_eq!(store.end(an_end(by_id(&new), EndReason::SignedOut, minutes(2))).await.unwrap(), EndOutcome::Ended);
}
