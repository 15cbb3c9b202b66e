//! What is SQLite's own: one of many rotations that the file refuses.

use std::sync::Arc;

use regrant_adapters::outbound::sqlite::{SqliteStore, options};
use regrant_domain::ports::{OpenOutcome, RotateOutcome, SessionRepository as _, UserRepository as _};
use sqlx::ConnectOptions as _;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::contract::bench::{a_session, a_user, as_opened, minutes, rotation};

const MANY: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_the_file_refuses_fails_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("regrant.db");
    let store = Arc::new(SqliteStore::open(&path).await.unwrap());
    let user = a_user();
    store.add(user.clone()).await.unwrap();
    let mut opened = Vec::new();
    for _ in 0..MANY {
        let new = a_session(user.id);
        assert_eq!(store.open(new.clone()).await.unwrap(), OpenOutcome::Opened);
        opened.push(new);
    }
    // As a full page of a damaged index would: some rows cannot be written.
    let mut file = options(&path).connect().await.unwrap();
    for refused in opened.iter().step_by(10) {
        let (token, id) = (refused.lookup.as_str(), refused.session.id.uuid().simple());
        let trigger = format!(
            "CREATE TRIGGER refused_{id} BEFORE UPDATE ON refresh_tokens WHEN NEW.token = '{token}' \
             BEGIN SELECT RAISE(ABORT, 'refused'); END"
        );
        sqlx::query(sqlx::AssertSqlSafe(trigger)).execute(&mut file).await.unwrap();
    }
    let mut asked = JoinSet::new();
    for (place, new) in opened.iter().enumerate() {
        let (store, step) = (store.clone(), rotation(&as_opened(new), minutes(1)));
        asked.spawn(async move { (place, store.rotate(step).await) });
    }
    for (place, outcome) in asked.join_all().await {
        let applied = outcome.is_ok_and(|outcome| matches!(outcome, RotateOutcome::Rotated(_)));
        assert_eq!(applied, place % 10 != 0, "{place}");
    }
    store.close().await;
}
