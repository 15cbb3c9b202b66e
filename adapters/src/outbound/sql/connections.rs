//! How busy a pool is, for those who watch.

use sqlx::{Database, Pool};

/// A pool's connections at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Connections {
    /// At work.
    pub in_use: usize,
    /// Open, and waiting for work.
    pub idle: usize,
}

impl Connections {
    /// The two are not read at the same instant: each is right, and their sum may be off by some.
    pub fn of<D: Database>(pool: &Pool<D>) -> Self {
        let (open, idle) = (usize::try_from(pool.size()).unwrap_or(usize::MAX), pool.num_idle());
        Self { in_use: open.saturating_sub(idle), idle }
    }
}

impl std::ops::Add for Connections {
    type Output = Self;

    /// Of two pools.
    fn add(self, other: Self) -> Self {
        Self { in_use: self.in_use + other.in_use, idle: self.idle + other.idle }
    }
}
