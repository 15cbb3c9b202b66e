//! Several instances of the service over one store, each with connections, ports and a socket of its own, as two
//! processes have them; memory and SQLite, which one process keeps to itself, have one instance.
//!
//! `REGRANT_TEST_SCALE=full` runs each promise with as many sessions as it was made for; otherwise a part of them is
//! enough to see that nothing broke. (A number says which part: 5 is a fifth.)

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "cases panic to fail, and figures are told; the lints know only `#[test]` itself"
)]

mod clocks;
mod ending;
mod hanging_up;
mod instances;
mod outages;
mod processes;
mod refreshing;
mod setups;
mod signing_in;
mod sweeping;
mod thieves;
mod witness;

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::contract::bench::random;
use instances::Fleet;
use setups::Store;

macro_rules! fleet {
    ($store:ident, $name:ident) => {
        fleet! { @list $store, $name:
            refreshing::simultaneous_refreshes_of_one_token_have_one_successor,
            ending::no_refresh_that_starts_after_a_revoke_was_acknowledged_succeeds,
            ending::an_end_acknowledged_by_one_instance_is_seen_by_the_other_at_once,
            signing_in::ending_all_covers_sign_ins_that_are_under_way,
            hanging_up::clients_that_hang_up_disturb_nobody,
            sweeping::a_sweep_beside_refreshes_disturbs_none,
            thieves::parties_that_meet_late_are_seen_at_the_second_presentation,
            thieves::parties_that_met_in_time_are_seen_when_they_meet_late,
            thieves::parties_that_meet_in_every_generation_are_reported_as_replays,
            thieves::strict_mode_sees_the_first_meeting,
        }
    };
    (@server $store:ident, $name:ident) => {
        fleet! { @list $store, $name:
            clocks::instances_whose_clocks_differ_decide_alike,
            outages::a_store_that_falls_silent_signs_nobody_out,
            outages::a_store_that_is_restarted_signs_nobody_out,
            processes::two_processes_are_one_service,
        }
    };
    (@list $store:ident, $name:ident: $($group:ident::$promise:ident),+ $(,)?) => {
        mod $name {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $promise() {
                let store = crate::fleet::setups::Store::$store;
                if store.is_wanted() {
                    crate::fleet::$group::$promise(store).await;
                }
            })+
        }
    };
}

fleet!(Memory, memory);
fleet!(Sqlite, sqlite);
fleet!(Postgres, postgres);
fleet!(Redis, redis);
fleet!(RedisCluster, redis_cluster);
fleet!(RedisSentinel, redis_sentinel);

/// Only a server has a clock of its own, and goes away by itself.
mod of_its_own {
    fleet!(@server Postgres, postgres);
    fleet!(@server Redis, redis);
    fleet!(@server RedisCluster, redis_cluster);
    fleet!(@server RedisSentinel, redis_sentinel);
}

/// How many of `full` are run.
fn scaled(full: usize) -> usize {
    const USUAL: usize = 10;
    let part = match std::env::var("REGRANT_TEST_SCALE").as_deref() {
        Err(_) | Ok("") => USUAL,
        Ok("full") => 1,
        Ok(part) => part.parse().expect("REGRANT_TEST_SCALE is `full` or a number"),
    };
    (full / part).max(1)
}

/// Does all this, `at_once` at a time.
async fn crowd<T, F>(count: usize, at_once: usize, job: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let (mut running, mut done) = (JoinSet::new(), Vec::new());
    for at in 0..count {
        if running.len() >= at_once {
            done.push(running.join_next().await.unwrap().unwrap());
        }
        running.spawn(job(at));
    }
    while let Some(one) = running.join_next().await {
        done.push(one.unwrap());
    }
    done
}

/// Some number below this.
fn below(limit: u64) -> u64 {
    u64::from_be_bytes(random()) % limit
}

/// Waits for some time below this.
async fn a_while(at_most: Duration) {
    let micros = u64::try_from(at_most.as_micros()).unwrap();
    tokio::time::sleep(Duration::from_micros(below(micros))).await;
}

/// Tells a figure of a test.
fn tell(store: Store, begun: Instant, figures: &str) {
    println!("{store:?}: {figures} in {:.1} s", begun.elapsed().as_secs_f32());
}
