//! SQLite: its migrations, and what is told at start.

use std::path::{Path, PathBuf};

use regrant_adapters::outbound::sqlite::{SqliteStore, StartError, schema};
use regrant_domain::ports::{
    AddUserOutcome, OpenOutcome, PortError, RotateOutcome, SessionKey, SessionRepository, UserRepository,
};
use regrant_domain::refresh_token::{RetryKey, Spent};
use regrant_domain::secret::Secret;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tempfile::TempDir;

use crate::contract::bench::{a_session, a_user, as_opened, minutes, random, rotation};

fn a_path() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("regrant.db");
    (folder, path)
}

async fn by_hand(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap()
}

async fn run(path: &Path, sql: &str) {
    let mut connection = by_hand(path).await;
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

async fn tables(path: &Path) -> Vec<String> {
    let mut connection = by_hand(path).await;
    let sql = "SELECT name FROM sqlite_schema WHERE type <> 'index' ORDER BY name";
    let names = sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    names
}

/// Whether all are applied, or none is.
fn applied(statuses: &[regrant_adapters::outbound::sql::MigrationStatus]) -> Option<bool> {
    let first = statuses.first()?.applied;
    statuses.iter().all(|status| status.applied == first).then_some(first)
}

/// A user with a session that has been refreshed once.
async fn fill(store: &SqliteStore) -> (regrant_domain::user::User, regrant_domain::session::Snapshot) {
    let user = a_user();
    assert_eq!(store.add(user.clone()).await.unwrap(), AddUserOutcome::Added);
    let new = a_session(user.id);
    assert_eq!(store.open(new.clone()).await.unwrap(), OpenOutcome::Opened);
    store.rotate(rotation(&as_opened(&new), minutes(1))).await.unwrap();
    let now = SessionRepository::find(store, &SessionKey::Id(new.session.id)).await.unwrap().unwrap();
    (user, now)
}

#[tokio::test]
async fn an_empty_database_goes_up_and_down_and_up() {
    let (_folder, path) = a_path();
    assert_eq!(applied(&schema::status(&path).await.unwrap()), Some(false));
    assert!(!path.exists(), "asking makes no file");
    assert_eq!(applied(&schema::down(&path, 99).await.unwrap()), Some(false));
    assert!(!path.exists());

    for _ in 0..3 {
        assert_eq!(applied(&schema::up(&path, None).await.unwrap()), Some(true));
        assert_eq!(applied(&schema::up(&path, None).await.unwrap()), Some(true), "twice is once");
        assert_eq!(applied(&schema::status(&path).await.unwrap()), Some(true));
        assert_eq!(tables(&path).await, ["_sqlx_migrations", "history", "refresh_tokens", "sessions", "users"]);

        assert_eq!(applied(&schema::down(&path, 99).await.unwrap()), Some(false));
        assert_eq!(tables(&path).await, [""; 0]);
        assert_eq!(applied(&schema::down(&path, 100).await.unwrap()), Some(false));
        assert_eq!(applied(&schema::status(&path).await.unwrap()), Some(false));
    }
}

#[tokio::test]
async fn a_database_with_rows_goes_down_and_comes_up_empty_and_in_order() {
    let (_folder, path) = a_path();
    let store = SqliteStore::open(&path).await.unwrap();
    assert!(store.is_empty().await.unwrap());
    fill(&store).await;
    assert!(!store.is_empty().await.unwrap());
    store.close().await;

    schema::down(&path, u32::MAX).await.unwrap();
    assert_eq!(tables(&path).await, [""; 0]);
    schema::up(&path, None).await.unwrap();
    let store = SqliteStore::open(&path).await.unwrap();
    assert!(store.is_empty().await.unwrap());
    fill(&store).await;
}

#[tokio::test]
async fn each_migration_goes_down_by_itself_and_up_again_and_leaves_the_others_rows_alone() {
    let (_folder, path) = a_path();
    let store = SqliteStore::open(&path).await.unwrap();
    let (user, session) = fill(&store).await;
    store.close().await;
    let all = schema::status(&path).await.unwrap();
    for left in (1..all.len()).rev() {
        let now = schema::down(&path, 1).await.unwrap();
        assert_eq!(now.iter().filter(|one| one.applied).count(), left);
        assert!(now[..left].iter().all(|one| one.applied), "the last one goes");
    }
    assert_eq!(applied(&schema::up(&path, None).await.unwrap()), Some(true));
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(UserRepository::find(&store, user.id).await.unwrap(), Some(user));
    let key = SessionKey::Id(session.session.id);
    assert_eq!(SessionRepository::find(&store, &key).await.unwrap(), Some(session));
}

#[tokio::test]
async fn going_up_to_nothing_or_down_by_nothing_changes_nothing() {
    let (_folder, path) = a_path();
    assert_eq!(applied(&schema::up(&path, Some(0)).await.unwrap()), Some(false));
    schema::up(&path, None).await.unwrap();
    assert_eq!(applied(&schema::down(&path, 0).await.unwrap()), Some(true));
    assert_eq!(tables(&path).await.len(), 5);
}

#[tokio::test]
async fn what_was_kept_is_there_after_it_was_closed_and_opened_again() {
    let (_folder, path) = a_path();
    let store = SqliteStore::open(&path).await.unwrap();
    let (user, session) = fill(&store).await;
    store.close().await;
    assert!(!path.with_extension("db-wal").exists(), "the log is folded in");
    let closed = UserRepository::find(&store, user.id).await;
    assert!(matches!(closed, Err(PortError::Unavailable { .. })), "{closed:?}");
    let closed = store.advance_epoch(user.id, minutes(1)).await;
    assert!(matches!(closed, Err(PortError::Unavailable { .. })), "{closed:?}");

    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(UserRepository::find(&store, user.id).await.unwrap(), Some(user));
    let key = SessionKey::Lookup(session.lookup.clone());
    assert_eq!(SessionRepository::find(&store, &key).await.unwrap(), Some(session));
}

#[tokio::test]
async fn a_schema_that_is_behind_or_ahead_is_told_and_left_alone() {
    let (_folder, path) = a_path();
    SqliteStore::open(&path).await.unwrap().close().await;

    run(&path, "INSERT INTO _sqlx_migrations VALUES (9999, 'later', 0, TRUE, x'00', 0)").await;
    for told in [
        SqliteStore::open(&path).await.map(drop),
        schema::up(&path, None).await.map(drop),
        schema::down(&path, 1).await.map(drop),
    ] {
        assert!(matches!(told, Err(StartError::SchemaAhead { have: 9999, .. })), "{told:?}");
    }
    assert_eq!(applied(&schema::status(&path).await.unwrap()), Some(true), "its own status can be asked");

    run(&path, "DELETE FROM _sqlx_migrations").await;
    let told = SqliteStore::open(&path).await.unwrap_err();
    assert!(matches!(told, StartError::SchemaBehind { have: 0, .. }), "{told:?}");
    assert!(told.to_string().contains("regrant migrate up"), "{told}");
}

#[tokio::test]
async fn a_migration_that_was_changed_or_whose_names_are_taken_is_told_and_nothing_changes() {
    let (_folder, path) = a_path();
    run(&path, "CREATE TABLE users (mine)").await;
    let told = SqliteStore::open(&path).await.unwrap_err();
    assert!(matches!(told, StartError::SchemaBehind { have: 0, .. }), "{told:?}");
    let told = schema::up(&path, None).await.unwrap_err();
    assert!(matches!(told, StartError::Migration { .. }), "{told:?}");
    assert_eq!(tables(&path).await, ["users"]);

    let (_folder, path) = a_path();
    schema::up(&path, None).await.unwrap();
    run(&path, "UPDATE _sqlx_migrations SET checksum = x'00'").await;
    let told = schema::up(&path, None).await.unwrap_err();
    assert!(matches!(told, StartError::Migration { .. }), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn processes_that_start_at_once_on_a_new_file_all_start() {
    for _ in 0..5 {
        let (_folder, path) = a_path();
        let starting: Vec<_> = (0..6)
            .map(|_| {
                let path = path.clone();
                tokio::spawn(async move { SqliteStore::open(&path).await })
            })
            .collect();
        for store in starting {
            let store = store.await.unwrap().unwrap();
            fill(&store).await;
        }
    }
}

#[tokio::test]
async fn what_is_not_a_database_is_told_and_left_alone() {
    let (folder, path) = a_path();
    std::fs::write(&path, "Dear diary, today I signed in.").unwrap();
    for told in [SqliteStore::open(&path).await.map(drop), schema::status(&path).await.map(drop)] {
        assert!(matches!(told, Err(StartError::NotADatabase { .. })), "{told:?}");
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "Dear diary, today I signed in.");

    for path in [folder.path().to_owned(), folder.path().join("not/there/regrant.db")] {
        let told = SqliteStore::open(&path).await.unwrap_err();
        assert!(matches!(told, StartError::Unreachable { .. }), "{told:?}");
        assert!(told.to_string().contains(path.to_str().unwrap()), "{told}");
    }
}

#[tokio::test]
async fn a_damaged_database_is_told() {
    let (_folder, path) = a_path();
    SqliteStore::open(&path).await.unwrap().close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100..4096].fill(0xee);
    std::fs::write(&path, bytes).unwrap();
    let told = SqliteStore::open(&path).await.unwrap_err();
    assert!(matches!(told, StartError::Damaged { .. }), "{told:?}");
}

#[tokio::test]
async fn a_file_that_another_process_holds_is_unavailable_and_then_works_again() {
    let (_folder, path) = a_path();
    let store = SqliteStore::open(&path).await.unwrap();
    let (user, session) = fill(&store).await;
    let mut other = by_hand(&path).await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let step = rotation(&session, minutes(2));
    let told = store.rotate(step.clone()).await;
    assert!(matches!(told, Err(PortError::Unavailable { .. })), "{told:?}");
    assert_eq!(UserRepository::find(&store, user.id).await.unwrap(), Some(user), "reads go on");
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    assert!(matches!(store.rotate(step).await.unwrap(), RotateOutcome::Rotated(_)));
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_and_its_log_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let (folder, path) = a_path();
    let store = SqliteStore::open(&path).await.unwrap();
    fill(&store).await;
    let modes: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name(), entry.metadata().unwrap().permissions().mode() & 0o777))
        .collect();
    assert_eq!(modes.len(), 3, "database, log and its index: {modes:?}");
    assert!(modes.iter().all(|(_, mode)| *mode == 0o600), "{modes:?}");
}

#[tokio::test]
async fn rows_that_cannot_be_are_corrupt() {
    for damage in [
        "UPDATE sessions SET ended_at = 5",
        "UPDATE sessions SET end_reason = 'signed_out'",
        "UPDATE sessions SET ended_at = 5, end_reason = 'signed_out'",
        "UPDATE sessions SET ended_at = 5, end_reason = 'bored'; UPDATE refresh_tokens SET revoked_at = 5",
        "UPDATE refresh_tokens SET revoked_at = 5",
        "UPDATE refresh_tokens SET generation = 4294967296",
        "UPDATE refresh_tokens SET secret_hash = x'00'",
        "UPDATE refresh_tokens SET recent = x'00'",
        "UPDATE refresh_tokens SET session_ends_at = session_ends_at - 1",
        "UPDATE sessions SET created_at = -1",
    ] {
        let (_folder, path) = a_path();
        let store = SqliteStore::open(&path).await.unwrap();
        let (user, session) = fill(&store).await;
        run(&path, &format!("PRAGMA ignore_check_constraints = ON; {damage}")).await;
        for key in [SessionKey::Id(session.session.id), SessionKey::Lookup(session.lookup.clone())] {
            let told = SessionRepository::find(&store, &key).await;
            assert!(matches!(told, Err(PortError::Corrupt { .. })), "{damage}: {told:?}");
        }
        let told = store.list(user.id).await;
        assert!(matches!(told, Err(PortError::Corrupt { .. })), "{damage}: {told:?}");
    }
}

#[tokio::test]
async fn neither_the_file_nor_its_log_holds_a_secret() {
    let (folder, path) = a_path();
    let store = SqliteStore::open(&path).await.unwrap();
    let user = a_user();
    store.add(user.clone()).await.unwrap();
    let mut secrets: Vec<Vec<u8>> = Vec::new();
    let mut secret = || {
        let bytes = random::<32>().to_vec();
        secrets.push(bytes.clone());
        Secret::new(bytes).hash()
    };
    let mut new = a_session(user.id);
    new.token.held.hash = secret();
    store.open(new.clone()).await.unwrap();
    let mut now = as_opened(&new);
    for minute in 1..6 {
        let mut step = rotation(&now, minutes(minute));
        step.to.hash = secret();
        let retry_key = RetryKey::parse("the-retry-key-in-clear").unwrap().hash_for(new.session.id);
        let spent = Spent { generation: now.token.held.generation, at: minutes(minute), retry_key: Some(retry_key) };
        step.spends = regrant_domain::ports::Spends::Append(spent);
        store.rotate(step).await.unwrap();
        now = SessionRepository::find(&store, &SessionKey::Id(new.session.id)).await.unwrap().unwrap();
    }

    let read = || -> Vec<u8> {
        let files = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        files.flat_map(|file| std::fs::read(file).unwrap()).collect()
    };
    let while_open = read();
    store.close().await;
    for kept in [while_open, read()] {
        let holds = |needle: &[u8]| kept.windows(needle.len()).any(|window| window == needle);
        assert!(holds(now.token.held.hash.as_bytes()), "the hash is what is kept");
        assert!(!holds(b"the-retry-key-in-clear"));
        for secret in &secrets {
            use base64::Engine as _;
            use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
            let (hex, base64) = (hex::encode(secret), STANDARD.encode(secret));
            let upper = hex.to_uppercase();
            for text in [hex, upper, base64.trim_end_matches('=').to_owned(), URL_SAFE_NO_PAD.encode(secret)] {
                assert!(!holds(text.as_bytes()));
            }
            assert!(!holds(secret));
        }
    }
}
