//! Many rows in a statement, many statements in a transaction.

use std::path::Path;
use std::sync::Arc;

use indicatif::ProgressBar;
use regrant_adapters::outbound::sqlite::options;
use sqlx::sqlite::{SqliteConnection, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tokio::task::spawn_blocking;

use super::{Loading, Rows, TABLES};
use crate::Failure;

/// Sessions in a transaction, and in a statement.
const TOGETHER: u64 = 20_000;
const IN_A_STATEMENT: u64 = 250;
/// In KiB: the inner pages of all trees.
const CACHE: &str = "-262144";

pub(super) async fn load(loading: Loading, file: &Path, bar: &ProgressBar) -> Result<bool, Failure> {
    // What a power cut would take is loaded again; and that each row's user is there is known.
    let options = options(file).foreign_keys(false).synchronous(SqliteSynchronous::Off).pragma("cache_size", CACHE);
    let mut connection = options.disable_statement_logging().connect().await?;
    let mut tables = Vec::new();
    for table in TABLES {
        tables.push(rows_of(&mut connection, table).await?);
    }
    let (from, all) = (loading.written, loading.seed.sessions);
    let Some(rows) = Rows::learnt(loading, &tables) else { return Ok(false) };
    let rows = Arc::new(rows);
    let make = |from: u64| {
        let (rows, to) = (rows.clone(), all.min(from + TOGETHER));
        spawn_blocking(move || statements(&rows, from, to))
    };
    // The next ones are made while these are carried out.
    let mut next = make(from);
    for from in (from..all).step_by(TOGETHER as usize) {
        let statements = std::mem::replace(&mut next, make(all.min(from + TOGETHER))).await?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        for statement in statements {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        bar.inc(all.min(from + TOGETHER) - from);
    }
    connection.close().await?;
    Ok(true)
}

/// Each row as it stands after `VALUES`.
async fn rows_of(connection: &mut SqliteConnection, table: &str) -> Result<Vec<String>, sqlx::Error> {
    let names = sqlx::query_scalar("SELECT name FROM pragma_table_info(?1) ORDER BY cid").bind(table);
    let names: Vec<String> = names.fetch_all(&mut *connection).await?;
    let spelt: Vec<_> = names.iter().map(|name| format!("quote({name})")).collect();
    let all = format!("SELECT '(' || {} || ')' FROM {table}", spelt.join(" || ',' || "));
    sqlx::query_scalar(AssertSqlSafe(all)).fetch_all(connection).await
}

/// All rows of a table.
#[cfg(test)]
pub(super) async fn sorted(file: &Path, table: &str) -> Result<Vec<String>, sqlx::Error> {
    let mut rows = rows_of(&mut options(file).connect().await?, table).await?;
    rows.sort_unstable();
    Ok(rows)
}

fn statements(rows: &Rows, from: u64, to: u64) -> Vec<String> {
    let parts = (from..to).step_by(IN_A_STATEMENT as usize).map(|from| from..to.min(from + IN_A_STATEMENT));
    let into = |(table, rows): (&str, String)| format!("INSERT INTO {table} VALUES {rows}");
    parts.flat_map(|part| TABLES.into_iter().zip(rows.of(part, ',')).map(into)).collect()
}
