use std::sync::Arc;
use std::time::Duration;

use regrant_domain::ports::PortError;
use sqlx::SqliteConnection;
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::*;

/// A writer on a database with one table of numbers, and a gate that holds the first work, so that what is handed over
/// meanwhile goes into one commit.
struct Scene {
    writer: Writer,
    path: PathBuf,
    gate: Arc<Semaphore>,
    _folder: TempDir,
}

impl Scene {
    async fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("numbers.db");
        file::create(&path).expect("created");
        let mut connection = file::connect(&path).await.expect("connected");
        sqlx::query("CREATE TABLE numbers (n INTEGER PRIMARY KEY)").execute(&mut connection).await.expect("a table");
        let scene = Self {
            writer: Writer::start(path.clone(), connection),
            path,
            gate: Arc::new(Semaphore::new(0)),
            _folder: folder,
        };
        let (writer, gate) = (scene.writer.clone(), scene.gate.clone());
        tokio::spawn(async move {
            let held = writer.run(move |_| {
                Box::pin(async move {
                    gate.acquire().await.expect("open").forget();
                    Ok(())
                })
            });
            held.await
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        scene
    }

    /// Two inserts: of `n`, and of `then`.
    async fn hands_over(&self, n: i64, then: i64) -> JoinHandle<Result<(), PortError>> {
        let writer = self.writer.clone();
        let handed = tokio::spawn(async move {
            writer.run(move |connection| Box::pin(async move { insert(connection, &[n, then]).await })).await
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        handed
    }

    async fn numbers(&self) -> Vec<i64> {
        numbers(&self.path).await
    }
}

async fn insert(connection: &mut SqliteConnection, numbers: &[i64]) -> Result<(), Fault> {
    for n in numbers {
        sqlx::query("INSERT INTO numbers VALUES (?1)").bind(n).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn numbers(path: &std::path::Path) -> Vec<i64> {
    let mut reader = file::reading(path).connect().await.expect("connected");
    sqlx::query_scalar("SELECT n FROM numbers ORDER BY n").fetch_all(&mut reader).await.expect("read")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_at_the_same_time_is_one_commit() {
    let scene = Scene::new().await;
    let first = scene.hands_over(1, 2).await;
    let path = scene.path.clone();
    let writer = scene.writer.clone();
    // In the same transaction, nobody else sees the first work yet.
    let seen = tokio::spawn(async move { writer.run(|_| Box::pin(async move { Ok(numbers(&path).await) })).await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    scene.gate.add_permits(1);
    assert_eq!(seen.await.expect("no panic").expect("done"), Vec::<i64>::new());
    first.await.expect("no panic").expect("committed");
    assert_eq!(scene.numbers().await, [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_fails_is_undone_alone() {
    let scene = Scene::new().await;
    let handed = [scene.hands_over(1, 2).await, scene.hands_over(3, 1).await, scene.hands_over(4, 5).await];
    scene.gate.add_permits(1);
    let mut outcomes = Vec::new();
    for handed in handed {
        outcomes.push(handed.await.expect("no panic").is_ok());
    }
    assert_eq!(outcomes, [true, false, true]);
    assert_eq!(scene.numbers().await, [1, 2, 4, 5], "of the one that failed, the first half is undone too");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_the_transaction_is_everybodys_failure_and_the_next_commit_is_sound() {
    let scene = Scene::new().await;
    let first = scene.hands_over(1, 2).await;
    let writer = scene.writer.clone();
    let ruin = tokio::spawn(async move {
        writer
            .run(|connection| {
                Box::pin(async move {
                    insert(connection, &[3]).await?;
                    Err::<(), _>(Fault::Sql(sqlx::Error::Io(std::io::Error::other("the disk is gone"))))
                })
            })
            .await
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    let last = scene.hands_over(4, 5).await;
    scene.gate.add_permits(1);
    for handed in [first, ruin, last] {
        let failed = handed.await.expect("no panic").expect_err("nothing was committed");
        assert!(matches!(failed, PortError::Unavailable { .. }), "{failed:?}");
    }
    assert_eq!(scene.numbers().await, Vec::<i64>::new());
    let scene_writer = scene.writer.clone();
    scene_writer.run(|connection| Box::pin(async move { insert(connection, &[9]).await })).await.expect("sound");
    assert_eq!(scene.numbers().await, [9]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_disturbs_nobody_and_the_work_is_done() {
    let scene = Scene::new().await;
    let gone = scene.hands_over(1, 2).await;
    let stays = scene.hands_over(3, 4).await;
    gone.abort();
    scene.gate.add_permits(1);
    stays.await.expect("no panic").expect("committed");
    assert_eq!(scene.numbers().await, [1, 2, 3, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_bound_the_store_is_overloaded_and_says_so_at_once() {
    let scene = Scene::new().await;
    let mut handed = tokio::task::JoinSet::new();
    for n in 0..i64::try_from(WAITING).expect("small") + 10 {
        let writer = scene.writer.clone();
        handed.spawn(async move {
            writer.run(move |connection| Box::pin(async move { insert(connection, &[n]).await })).await.is_ok()
        });
    }
    let mut refused = 0;
    while refused < 10 {
        assert!(!handed.join_next().await.expect("ten are refused while the others wait").expect("no panic"));
        refused += 1;
    }
    scene.gate.add_permits(1);
    let done = handed.join_all().await;
    assert!(done.len() == WAITING && done.into_iter().all(|done| done));
    assert_eq!(scene.numbers().await.len(), WAITING);
}
