//! A refresh changes one row in place, and a session takes the same room however often it is refreshed.

use std::time::Duration;

use regrant_adapters::outbound::postgres::PostgresStore;
use regrant_domain::ports::{SessionRepository as _, UserRepository as _};
use regrant_domain::session::{Device, Snapshot};
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};

use super::{connect, database, look, rotate};
use crate::contract::bench::{a_session, a_user, as_opened, minutes};
use crate::support::servers::is_wanted;
use crate::support::servers::postgres::Postgres;

/// Sessions of `users` users, `each` per user.
async fn sessions(store: &PostgresStore, users: usize, each: usize) -> Vec<Snapshot> {
    let mut all = Vec::new();
    for _ in 0..users {
        let user = a_user();
        store.add(user.clone()).await.unwrap();
        for _ in 0..each {
            let mut new = a_session(user.id);
            new.session.device =
                Device { label: None, user_agent: Some("curl/8.5.0".into()), ip: Some("203.0.113.7".into()) };
            store.open(new.clone()).await.unwrap();
            all.push(as_opened(&new));
        }
    }
    all
}

async fn bytes(connection: &mut PgConnection) -> i64 {
    let sql = "SELECT (pg_total_relation_size('sessions') + pg_total_relation_size('refresh_tokens'))::bigint";
    sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refreshes_are_updates_in_place_and_touch_no_other_table() {
    if !is_wanted("postgres") {
        return;
    }
    // A server of its own, that does nothing by itself: whoever else looks at a database, be it to count a small table, keeps
    // old versions alive that a page has no room for, and that is not the statement's affair.
    let server = Postgres::start_with(&["autovacuum=off"]);
    let url = server.url("postgres");
    let store = connect(&url, 4).await;
    let mut connection = look(&url).await;
    let mut all = sessions(&store, 100, 3).await;
    for round in 1..=10 {
        for snapshot in &mut all {
            *snapshot = rotate(&store, snapshot, minutes(round)).await;
        }
    }
    store.close().await;
    // Statistics are reported when a connection closes.
    let mut counts = (0, 0, 0);
    for _ in 0..600 {
        let sql = "SELECT n_tup_upd, n_tup_hot_upd, (SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'sessions') \
                   FROM pg_stat_user_tables WHERE relname = 'refresh_tokens'";
        let row = sqlx::query(sql).fetch_one(&mut connection).await.unwrap();
        counts = (row.get::<i64, _>(0), row.get::<i64, _>(1), row.get::<i64, _>(2));
        if counts.0 >= 3_000 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (updates, in_place, of_sessions) = counts;
    assert_eq!((updates, of_sessions), (3_000, 0));
    assert!(in_place * 100 >= updates * 95, "{in_place} of {updates} updates were in place");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn room_does_not_grow_with_the_number_of_refreshes() {
    let Some(url) = database().await else { return };
    let store = connect(&url, 4).await;
    let mut connection = look(&url).await;
    let mut all = sessions(&store, 100, 5).await;
    let mut sizes = Vec::new();
    for round in 1..=40 {
        for snapshot in &mut all {
            *snapshot = rotate(&store, snapshot, minutes(round)).await;
        }
        if round % 10 == 0 {
            connection.execute("VACUUM refresh_tokens").await.unwrap();
            sizes.push(bytes(&mut connection).await);
        }
    }
    // A row for each refresh would make it four times as much. (Some growth is left to chance: while the server itself
    // looks at the table, to count it, it keeps the old versions.)
    assert!(sizes[3] < sizes[0] * 2, "{sizes:?}");
}

/// Makes 9,000 sessions (with ids that begin with the time, RFC 9562 §5.7) of 3,000 users as the store does, and then
/// refreshes each ten times in random order, with a commit after every four: by the server itself, which is quicker.
const MANY: &str = r"
SET synchronous_commit = off;
INSERT INTO users (id, email, password_hash, created_at, updated_at)
SELECT gen_random_uuid(), n || '@example.org', repeat('x', 96), now(), now() FROM generate_series(1, 3000) n;
CREATE TEMP TABLE made AS
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(random()::text), 1, 3)
        || '8' || substr(md5(random()::text), 1, 15))::uuid AS id, user_id, at, at AS place
FROM (SELECT u.id AS user_id, now() + random() * interval '30 days' AS at FROM users u, generate_series(1, 3)) s;
INSERT INTO refresh_tokens (token, user_id, session_id, created_at, updated_at, expires_at, session_ends_at, check_at,
                            generation, secret_hash, recent)
SELECT translate(rtrim(encode(uuid_send(id), 'base64'), '='), '+/', '-_'), user_id, id, at, at, at + interval '60 days',
       at + interval '365 days', at + interval '60 days', 0, sha256(uuid_send(id)), ''
FROM made ORDER BY place;
INSERT INTO sessions (id, user_id, created_at, updated_at, ends_at, user_agent, ip)
SELECT id, user_id, at, at, at + interval '365 days', 'curl/8.5.0', '203.0.113.7'
FROM made ORDER BY place;
CREATE PROCEDURE refresh_all(round bigint) LANGUAGE plpgsql AS $$
DECLARE tokens text[]; t text; n int := 0;
BEGIN
    tokens := ARRAY(SELECT token FROM refresh_tokens ORDER BY random());
    FOREACH t IN ARRAY tokens LOOP
        UPDATE refresh_tokens SET generation = round, secret_hash = sha256(secret_hash),
               recent = substring(recent || substring(sha256(secret_hash) FROM 1 FOR 28)
                                  FROM greatest(octet_length(recent) + 28 - 111, 1)),
               updated_at = updated_at + interval '1 hour',
               expires_at = LEAST(expires_at + interval '1 hour', session_ends_at),
               check_at = LEAST(check_at, expires_at + interval '1 hour')
        WHERE token = t AND generation = round - 1 AND revoked_at IS NULL;
        n := n + 1;
        IF n % 4 = 0 THEN COMMIT; END IF;
    END LOOP;
END $$";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_takes_less_than_750_bytes_after_ten_refreshes_indexes_included() {
    let Some(url) = database().await else { return };
    connect(&url, 2).await.close().await;
    let mut connection = look(&url).await;
    connection.execute(MANY).await.unwrap();
    for round in 1..=10 {
        connection.execute(sqlx::AssertSqlSafe(format!("CALL refresh_all({round})"))).await.unwrap();
    }
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM sessions").fetch_one(&mut connection).await.unwrap();
    let each = bytes(&mut connection).await / count;
    let sql = "SELECT relname::text, pg_relation_size(oid)::bigint FROM pg_class \
               WHERE relname ~ '^(sessions|refresh_tokens)' ORDER BY 1";
    let parts: Vec<(String, i64)> = sqlx::query_as(sql).fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let mut connection = look(&url).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let sql = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'refresh_tokens'";
    let in_place: (i64, i64) = sqlx::query_as(sql).fetch_one(&mut connection).await.unwrap();
    let parts: Vec<_> = parts.into_iter().map(|(name, size)| format!("{name} {}", size / count)).collect();
    let told = format!("{count} sessions, {each} bytes each: {}; updates, in place: {in_place:?}", parts.join(", "));
    // Of the tables and indexes of before migration 4 it was 701 here, and 648 at 99,000 sessions.
    assert!(each < 750, "{told}");
}
