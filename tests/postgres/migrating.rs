//! The schema goes up and down, and says where it stands.

use regrant_adapters::outbound::postgres::schema::{self, SchemaError};
use regrant_adapters::outbound::postgres::{PostgresStore, StartError};
use regrant_adapters::outbound::sql::MigrationStatus;
use regrant_domain::ports::{EndOutcome, PortError, Portable, SessionKey, SessionRepository, UserRepository as _};
use sqlx::{Connection as _, Executor as _};

use super::{an_end, connect, database, find, look, options, rotate};
use crate::contract::bench::{a_bare_session, a_session, a_user, as_opened, minutes};

async fn refused(url: &str) -> SchemaError {
    match PostgresStore::connect(&options(url, 2)).await {
        Err(StartError::Schema(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// Whether all are applied, or none is.
fn applied(all: &[MigrationStatus]) -> Option<bool> {
    let first = all.first()?.applied;
    all.iter().all(|migration| migration.applied == first).then_some(first)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_schema_goes_up_and_down_and_up_with_rows_in_it() {
    let Some(url) = database().await else { return };
    let options = options(&url, 2);
    assert_eq!(applied(&schema::status(&options).await.unwrap()), Some(false));
    assert_eq!(applied(&schema::up(&options, None).await.unwrap()), Some(true));
    assert_eq!(applied(&schema::up(&options, None).await.unwrap()), Some(true));
    for round in 0..2 {
        assert_eq!(applied(&schema::status(&options).await.unwrap()), Some(round == 0));
        let store = connect(&url, 2).await;
        assert!(store.is_empty().await.unwrap(), "round {round}");
        let user = a_user();
        store.add(user.clone()).await.unwrap();
        let new = a_session(user.id);
        store.open(new.clone()).await.unwrap();
        let now = rotate(&store, &as_opened(&new), minutes(1)).await;
        assert_eq!(applied(&schema::down(&options, 0).await.unwrap()), Some(true));
        assert_eq!(find(&store, new.session.id).await.unwrap(), Some(now));
        assert_eq!(applied(&schema::down(&options, 99).await.unwrap()), Some(false));
        assert!(matches!(find(&store, new.session.id).await, Err(PortError::Corrupt { .. })), "and not: unknown");
        store.close().await;
    }
    let mut connection = look(&url).await;
    let left: Vec<String> = sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert_eq!(left, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_migration_goes_down_by_itself_and_up_again_and_leaves_the_others_rows_alone() {
    let Some(url) = database().await else { return };
    let options = options(&url, 2);
    let store = connect(&url, 2).await;
    let user = a_user();
    store.add(user.clone()).await.unwrap();
    let new = a_session(user.id);
    store.open(new.clone()).await.unwrap();
    store.close().await;
    let all = schema::status(&options).await.unwrap();
    for left in (1..all.len()).rev() {
        let now = schema::down(&options, 1).await.unwrap();
        assert_eq!(now.iter().filter(|one| one.applied).count(), left);
        assert!(now[..left].iter().all(|one| one.applied), "the last one goes");
    }
    assert_eq!(applied(&schema::up(&options, None).await.unwrap()), Some(true));
    let store = connect(&url, 2).await;
    assert_eq!(find(&store, new.session.id).await.unwrap(), Some(as_opened(&new)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_of_another_version_is_told_not_guessed() {
    let Some(url) = database().await else { return };
    connect(&url, 2).await.close().await;
    let mut connection = look(&url).await;
    let later = "INSERT INTO _sqlx_migrations VALUES (9999, 'later', now(), true, '\\x00', 0)";
    connection.execute(later).await.unwrap();
    let why = refused(&url).await;
    assert!(matches!(why, SchemaError::Ahead { have: 9999, .. }) && why.to_string().contains("newer"), "{why}");
    assert!(schema::up(&options(&url, 2), None).await.is_err());
    assert!(schema::down(&options(&url, 2), 1).await.is_err());

    // As an earlier version would have left it: something, but not what is needed.
    connection.execute("UPDATE _sqlx_migrations SET version = 0 WHERE version = 9999").await.unwrap();
    connection.execute("DELETE FROM _sqlx_migrations WHERE version = 1").await.unwrap();
    assert!(matches!(refused(&url).await, SchemaError::Ahead { .. } | SchemaError::Behind { .. }));
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_somebody_else_are_left_alone() {
    let Some(url) = database().await else { return };
    let mut connection = look(&url).await;
    connection.execute("CREATE TABLE users (name text)").await.unwrap();
    let why = refused(&url).await;
    assert!(matches!(&why, SchemaError::Taken(table) if table == "users"), "{why}");
    connection.execute("CREATE SCHEMA regrant").await.unwrap();
    let joint = if url.contains('?') { '&' } else { '?' };
    let own = format!("{url}{joint}options[search_path]=regrant");
    let store = connect(&own, 2).await;
    assert!(store.is_empty().await.unwrap());
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn servers_that_start_side_by_side_make_one_schema() {
    for _ in 0..4 {
        let Some(url) = database().await else { return };
        let starts: Vec<_> = (0..6)
            .map(|_| {
                let options = options(&url, 2);
                tokio::spawn(async move { PostgresStore::connect(&options).await.map(drop) })
            })
            .collect();
        for start in starts {
            start.await.unwrap().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tables_have_the_columns_that_operators_were_promised() {
    let Some(url) = database().await else { return };
    connect(&url, 2).await.close().await;
    let mut connection = look(&url).await;
    let columns = "SELECT column_name::text FROM information_schema.columns WHERE table_name = 'refresh_tokens' \
                   AND column_name IN ('token', 'created_at', 'updated_at', 'user_id', 'expires_at', 'revoked_at')";
    let found: Vec<String> = sqlx::query_scalar(columns).fetch_all(&mut connection).await.unwrap();
    assert_eq!(found.len(), 6, "{found:?}");
    let cascades = "SELECT conrelid::regclass::text FROM pg_constraint WHERE contype = 'f' AND confdeltype = 'c' \
                    AND confrelid = 'users'::regclass ORDER BY 1";
    let cascade: Vec<String> = sqlx::query_scalar(cascades).fetch_all(&mut connection).await.unwrap();
    assert_eq!(cascade, ["history", "refresh_tokens"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_or_a_token_that_is_deleted_by_hand_takes_its_sessions_along_and_no_others() {
    let Some(url) = database().await else { return };
    let store = connect(&url, 2).await;
    let (ada, bob) = (a_user(), a_user());
    let mut all = Vec::new();
    for user in [&ada, &bob] {
        store.add(user.clone()).await.unwrap();
        for new in [a_session(user.id), a_bare_session(user.id), a_session(user.id)] {
            store.open(new.clone()).await.unwrap();
            all.push(new);
        }
    }
    let mut connection = look(&url).await;
    // From wherever somebody looks.
    connection.execute("SET search_path = pg_catalog").await.unwrap();
    sqlx::query("DELETE FROM public.users WHERE id = $1").bind(ada.id.uuid()).execute(&mut connection).await.unwrap();
    let token = "DELETE FROM public.refresh_tokens WHERE token = $1";
    sqlx::query(token).bind(all[3].lookup.as_str()).execute(&mut connection).await.unwrap();
    let left = "SELECT id FROM public.sessions ORDER BY id";
    let left: Vec<sqlx::types::Uuid> = sqlx::query_scalar(left).fetch_all(&mut connection).await.unwrap();
    let mut expected: Vec<_> = all[4..].iter().map(|new| new.session.id.uuid()).collect();
    expected.sort();
    assert_eq!(left, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_were_opened_before_the_key_was_left_out_are_found_after_and_the_way_back_writes_it_again() {
    let Some(url) = database().await else { return };
    let options = options(&url, 2);
    let store = connect(&url, 2).await;
    let user = a_user();
    store.add(user.clone()).await.unwrap();
    let all = [a_session(user.id), a_bare_session(user.id)];
    for new in &all {
        store.open(new.clone()).await.unwrap();
    }
    store.close().await;
    let mut connection = look(&url).await;
    let named =
        "SELECT count(s.token) FROM sessions s JOIN refresh_tokens t ON t.session_id = s.id AND t.token = s.token";
    assert_eq!(sqlx::query_scalar::<_, i64>(named).fetch_one(&mut connection).await.unwrap(), 1, "the bare one");
    schema::down(&options, 1).await.unwrap();
    assert_eq!(sqlx::query_scalar::<_, i64>(named).fetch_one(&mut connection).await.unwrap(), 2);
    let cascade = "SELECT count(*) FROM pg_constraint WHERE conrelid = 'sessions'::regclass AND confdeltype = 'c'";
    assert_eq!(sqlx::query_scalar::<_, i64>(cascade).fetch_one(&mut connection).await.unwrap(), 1);
    schema::up(&options, None).await.unwrap();
    assert_eq!(sqlx::query_scalar::<_, i64>(named).fetch_one(&mut connection).await.unwrap(), 2, "as it was");
    let store = connect(&url, 2).await;
    for new in &all {
        for key in [SessionKey::Id(new.session.id), SessionKey::Lookup(new.lookup.clone())] {
            assert_eq!(SessionRepository::find(&store, &key).await.unwrap(), Some(as_opened(new)));
        }
        let end = an_end(SessionKey::Id(new.session.id), minutes(1));
        assert_eq!(store.end(end).await.unwrap(), EndOutcome::Ended);
    }
    assert_eq!(Portable::sessions_after(&store, None, 9).await.unwrap().len(), 2);
}
