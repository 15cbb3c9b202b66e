//! What only Postgres promises.
