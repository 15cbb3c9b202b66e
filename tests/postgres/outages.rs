//! A server that is away: told as unavailable within bounded time, and used again as soon as it is back.

use std::time::{Duration, Instant};

use regrant_adapters::outbound::postgres::{PostgresOptions, PostgresStore};
use regrant_domain::ids::SessionId;
use regrant_domain::ports::{EndAll, PortError, SessionKey, SessionRepository as _, UserRepository as _};
use regrant_domain::session::Snapshot;

use super::{an_end, find, options, rotate};
use crate::contract::bench::{a_session, a_user, as_opened, minutes, rotation};
use crate::support::servers::{self, postgres::Postgres};

const STATEMENT: Duration = Duration::from_millis(1_500);

struct Scene {
    server: Postgres,
    store: PostgresStore,
    id: SessionId,
    session: Snapshot,
    minute: u64,
}

impl Scene {
    async fn set() -> Option<Self> {
        if !servers::is_wanted("postgres") {
            return None;
        }
        let server = Postgres::start();
        let options = PostgresOptions { statement_timeout: STATEMENT, ..options(&server.url("postgres"), 4) };
        let store = PostgresStore::connect(&options).await.unwrap();
        let user = a_user();
        store.add(user.clone()).await.unwrap();
        let new = a_session(user.id);
        store.open(new.clone()).await.unwrap();
        let mut scene = Self { server, store, id: new.session.id, session: as_opened(&new), minute: 0 };
        scene.warm_up().await;
        Some(scene)
    }

    /// So that every place in the pool has a connection.
    async fn warm_up(&mut self) {
        for _ in 0..3 {
            let all = (0..8).map(|_| {
                let (store, id) = (self.store.clone(), self.id);
                tokio::spawn(async move { find(&store, id).await.unwrap() })
            });
            for one in all.collect::<Vec<_>>() {
                assert!(one.await.unwrap().is_some());
            }
        }
        self.minute += 1;
        self.session = rotate(&self.store, &self.session, minutes(self.minute)).await;
    }

    /// Every operation says that it could not find out, and none takes long to say so.
    async fn everything_is_unavailable(&self) {
        let (store, user, at) = (&self.store, self.session.session.user, minutes(99));
        let begun = Instant::now();
        let end = an_end(SessionKey::Id(self.id), at);
        let all = EndAll { user, but: None, reason: end.reason, at };
        let answers: [(&str, Option<PortError>); 8] = tokio::join!(
            async { ("find", find(store, self.id).await.err()) },
            async { ("rotate", store.rotate(rotation(&self.session, at)).await.err()) },
            async { ("end", store.end(end).await.err()) },
            async { ("end_all", store.end_all(all).await.err()) },
            async { ("open", store.open(a_session(user)).await.err()) },
            async { ("sweep", store.sweep(minutes(0), 5).await.err()) },
            async { ("advance_epoch", store.advance_epoch(user, at).await.err()) },
            async { ("store_now", store.store_now().await.err()) },
        )
        .into();
        for (operation, error) in answers {
            assert!(matches!(error, Some(PortError::Unavailable { .. })), "{operation}: {error:?}");
        }
        assert!(begun.elapsed() < Duration::from_secs(7), "it took {:?}", begun.elapsed());
    }

    /// Works again, with the same pool, within five seconds.
    async fn recovers(&mut self) {
        let begun = Instant::now();
        loop {
            match find(&self.store, self.id).await {
                Ok(Some(_)) => break,
                Err(PortError::Unavailable { .. }) => assert!(begun.elapsed() < Duration::from_secs(5), "still away"),
                other => panic!("{other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // What nobody answered may have been done all the same, so the old session may have ended. (And what was sent
        // just before the silence may still be on its way.)
        tokio::time::sleep(Duration::from_millis(500)).await;
        let new = a_session(self.session.session.user);
        self.store.open(new.clone()).await.unwrap();
        (self.id, self.session, self.minute) = (new.session.id, as_opened(&new), 0);
        self.warm_up().await;
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_is_unavailable_and_recovers_when_it_starts() {
    let Some(mut scene) = Scene::set().await else { return };
    for _ in 0..2 {
        scene.server.stop();
        scene.everything_is_unavailable().await;
        scene.server.resume_from_stop();
        scene.recovers().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_falls_silent_is_unavailable_and_recovers_when_it_goes_on() {
    let Some(mut scene) = Scene::set().await else { return };
    scene.server.pause();
    scene.everything_is_unavailable().await;
    // Idle for a while, then asked again: connections that do not answer are replaced, and their places not lost.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    scene.everything_is_unavailable().await;
    scene.server.unpause();
    scene.recovers().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_between_two_requests_is_not_noticed() {
    let Some(mut scene) = Scene::set().await else { return };
    scene.server.stop();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    scene.server.resume_from_stop();
    // The first request finds only connections that died meanwhile.
    scene.warm_up().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_somebody_holds_makes_one_request_wait_and_give_up() {
    let Some(scene) = Scene::set().await else { return };
    let mut operator = super::look(&scene.server.url("postgres")).await;
    let mut transaction = sqlx::Connection::begin(&mut operator).await.unwrap();
    sqlx::query("SELECT FROM refresh_tokens FOR UPDATE").execute(&mut *transaction).await.unwrap();
    let begun = Instant::now();
    let error = scene.store.rotate(rotation(&scene.session, minutes(50))).await.unwrap_err();
    assert!(matches!(error, PortError::Unavailable { .. }), "{error:?}");
    assert!(begun.elapsed() < STATEMENT * 2);
    transaction.rollback().await.unwrap();
    rotate(&scene.store, &scene.session, minutes(51)).await;
}
