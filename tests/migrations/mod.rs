//! Migrations go up, down, and up again, on empty databases and on ones with rows; and a database that does not fit is
//! told, never changed by itself.

#![expect(clippy::unwrap_used, reason = "tests panic to fail; the lint does not see tests that are async")]

mod sqlite;
