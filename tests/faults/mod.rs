//! Clients that keep the contract, and a service and stores that are killed, stopped, cut off and filled up meanwhile.
//!
//! A run writes down what each client asked and heard, and when, and then looks whether that can be: the invariants
//! directly ([`checks`]), and each session as a whole with a known checker ([`session`]). The faults and the choices of
//! the clients follow from a seed, which is printed; `REGRANT_FAULT_SEED` repeats them (the machine's own timing is
//! nobody's to repeat). `REGRANT_TEST_SCALE=full` runs ten times as much. The history of the last run of each set-up is
//! kept under `target/tmp`.

mod chance;
mod checks;
mod client;
mod history;
mod leaks;
mod losses;
mod nemesis;
mod outages;
mod process;
mod proxy;
mod restored;
mod run;
mod samples;
mod session;
mod site;
mod wire;

use run::Amount;
use site::Setup;

use crate::contract::bench::random;

/// Of each of the five set-ups: together 5,000 sessions and 100,000 operations.
const QUICK: Amount = Amount { sessions: 1_000, operations: 20_000, faults: 24 };
/// Ten times that.
const FULL: Amount = Amount { sessions: 10_000, operations: 200_000, faults: 240 };

/// Whether everything is run at its full size.
fn is_full() -> bool {
    std::env::var("REGRANT_TEST_SCALE").is_ok_and(|scale| scale == "full")
}

/// The seed that the environment names, or another one each time.
fn seed() -> u64 {
    let named = std::env::var("REGRANT_FAULT_SEED").ok().filter(|seed| !seed.is_empty());
    named.map_or_else(
        || u64::from_be_bytes(random()) >> 32,
        |seed| seed.parse().expect("REGRANT_FAULT_SEED is a number"),
    )
}

async fn nothing_is_violated(setup: Setup) {
    if !setup.is_wanted() {
        return;
    }
    let amount = if is_full() { FULL } else { QUICK };
    run::run(setup, amount, seed()).await.is_clean(amount);
}

macro_rules! each_setup {
    ($module:ident: $promise:path) => {
        each_setup! { @ $module, $promise,
            sqlite Sqlite, postgres Postgres, redis Redis, redis_cluster RedisCluster, redis_sentinel RedisSentinel
        }
    };
    (@ $module:ident, $promise:path, $($name:ident $setup:ident),+) => {
        mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                $promise(crate::faults::site::Setup::$setup).await;
            })+
        }
    };
}

each_setup!(under_faults_nothing_is_violated: crate::faults::nothing_is_violated);
each_setup!(outages_sign_nobody_out: crate::faults::outages::outages_sign_nobody_out);

/// What is lost with a backup.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_postgres_that_is_restored_from_a_backup_signs_nobody_out() {
    restored::a_restored_postgres_signs_nobody_out().await;
}

/// What is lost with a master.
mod failovers {
    use super::Setup;
    use super::losses::a_master_that_dies_signs_nobody_out;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn of_sentinel_sign_nobody_out() {
        a_master_that_dies_signs_nobody_out(Setup::RedisSentinel, "none").await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn of_sentinel_with_wait_sign_nobody_out() {
        a_master_that_dies_signs_nobody_out(Setup::RedisSentinel, "replicas:1").await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn of_a_cluster_sign_nobody_out() {
        a_master_that_dies_signs_nobody_out(Setup::RedisCluster, "none").await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn of_a_cluster_with_wait_sign_nobody_out() {
        a_master_that_dies_signs_nobody_out(Setup::RedisCluster, "replicas:1").await;
    }
}
