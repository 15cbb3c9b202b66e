//! Who does the harm: faults one after another, by a plan that a seed repeats, with a time of peace after each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection as _, PgConnection};

use super::chance::Chance;
use super::proxy::Wire;
use super::site::{Own, Setup, Site};

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// SIGKILL of a process of the service, which is started again.
    ServiceKilled(usize),
    /// SIGTERM of a process of the service, which is started again.
    ServiceRestarted(usize),
    /// SIGSTOP of a process of the service, and SIGCONT.
    ServiceStopped(usize, Duration),
    /// SIGKILL of a server of the store, which is started again.
    StoreKilled(usize, Duration),
    /// SIGSTOP of a server of the store, and SIGCONT.
    StoreStopped(usize, Duration),
    /// The wire between service and store, for so many of eight connections.
    Wire(Wire, u64, Duration),
    /// The disk is full (Redis: the memory).
    Full(Duration),
}

impl Fault {
    /// Its kind, for a summary.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::ServiceKilled(_) => "service killed",
            Self::ServiceRestarted(_) => "service restarted",
            Self::ServiceStopped(..) => "service stopped",
            Self::StoreKilled(..) => "store killed",
            Self::StoreStopped(..) => "store stopped",
            Self::Wire(Wire::Whole, ..) => "wire whole",
            Self::Wire(Wire::Slow(_), ..) => "wire slow",
            Self::Wire(Wire::Gone, ..) => "wire gone",
            Self::Wire(Wire::CutBefore, ..) => "cut before",
            Self::Wire(Wire::CutAfter, ..) => "cut after",
            Self::Wire(Wire::RepliesLost, ..) => "replies lost",
            Self::Wire(Wire::Held, ..) => "wire held",
            Self::Full(_) => "disk full",
        }
    }
}

/// So many faults for a set-up, each kind at least once.
pub(super) fn plan(setup: Setup, count: usize, chance: &mut Chance) -> Vec<Fault> {
    let mut plan = Vec::new();
    while plan.len() < count {
        let mut round = one_of_each(setup, chance);
        chance.shuffle(&mut round);
        plan.extend(round);
    }
    plan.truncate(count.max(one_of_each(setup, chance).len()));
    plan
}

fn one_of_each(setup: Setup, chance: &mut Chance) -> Vec<Fault> {
    let millis = |chance: &mut Chance, least, most| Duration::from_millis(chance.between(least, most));
    let services = if setup == Setup::Sqlite { 1 } else { 2 };
    let mut some = |at: u64| usize::try_from(chance.below(at)).unwrap();
    let (killed, restarted, stopped) = (some(services), some(services), some(services));
    let (dead, mute) = (some(8), some(8));
    let mut faults = vec![
        Fault::ServiceKilled(killed),
        Fault::ServiceRestarted(restarted),
        Fault::ServiceStopped(stopped, millis(chance, 300, 1_500)),
        Fault::Full(millis(chance, 300, 1_000)),
    ];
    if setup != Setup::Sqlite {
        faults.push(Fault::StoreKilled(dead, millis(chance, 100, 800)));
        faults.push(Fault::StoreStopped(mute, millis(chance, 300, 1_500)));
        let slow = Wire::Slow(millis(chance, 5, 150));
        for wire in [slow, Wire::Gone, Wire::CutBefore, Wire::CutAfter, Wire::RepliesLost, Wire::Held] {
            faults.push(Fault::Wire(wire, chance.between(3, 8), millis(chance, 300, 1_200)));
        }
    }
    faults
}

/// Does all of the plan, spread over all that is asked in a run: `done_of` tells how many of so many parts of it were.
/// Answers how often each kind was done.
pub(super) async fn carry_out(
    site: &Arc<Site>,
    plan: Vec<Fault>,
    mut chance: Chance,
    done_of: impl Fn(usize) -> usize,
    tell: impl Fn(String),
) -> BTreeMap<&'static str, usize> {
    let mut done = BTreeMap::new();
    let count = plan.len();
    for (at, fault) in plan.into_iter().enumerate() {
        tokio::time::sleep(Duration::from_millis(chance.between(200, 700))).await;
        while done_of(count) < at {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tell(format!("begins: {fault:?}"));
        let there = site.clone();
        tokio::task::spawn_blocking(move || there.suffers(fault)).await.expect("the fault could be done");
        tell(format!("is over: {fault:?}"));
        *done.entry(fault.kind()).or_default() += 1;
    }
    done
}

impl Site {
    /// Suffers a fault, and is well again afterwards.
    fn suffers(&self, fault: Fault) {
        match fault {
            Fault::ServiceKilled(at) => {
                self.services[at].dies();
                self.services[at].starts();
            }
            Fault::ServiceRestarted(at) => {
                self.services[at].ends();
                self.services[at].starts();
            }
            Fault::ServiceStopped(at, span) => {
                self.services[at].signal("-STOP");
                std::thread::sleep(span);
                self.services[at].signal("-CONT");
            }
            Fault::StoreKilled(which, span) => self.store_dies(which, span),
            Fault::StoreStopped(which, span) => self.store_stops(which, span),
            Fault::Wire(wire, eighths, span) => {
                self.wires_become(wire, eighths);
                std::thread::sleep(span);
                self.wires_become(Wire::Whole, 8);
            }
            Fault::Full(span) => {
                self.is_full(true);
                std::thread::sleep(span);
                self.is_full(false);
            }
        }
    }

    /// How many connections of the service are in a transaction in which nothing happens, where there are any.
    pub(super) async fn left_in_transactions(&self) -> i64 {
        let Own::Postgres(server) = &self.own else { return 0 };
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' \
                   AND datname = current_database() AND backend_type = 'client backend'";
        let mut connection = PgConnection::connect(&server.url("postgres")).await.unwrap();
        sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_has_each_kind_and_is_repeated_by_its_seed() {
        for setup in [Setup::Sqlite, Setup::Postgres, Setup::RedisCluster] {
            let plan_of = |seed| plan(setup, 24, &mut Chance::new(seed));
            assert_eq!(plan_of(5), plan_of(5));
            assert_ne!(plan_of(5), plan_of(6));
            let mut kinds: Vec<_> = plan_of(5).into_iter().map(Fault::kind).collect();
            assert_eq!(kinds.len(), 24);
            kinds.sort_unstable();
            kinds.dedup();
            assert_eq!(kinds.len(), if setup == Setup::Sqlite { 4 } else { 12 });
        }
    }
}
