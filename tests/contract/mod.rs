//! The contract: one list of promises, kept by every store. Each promise is one test for each store, so that a failure
//! hides no other.
//!
//! A new store is two lines here: a `contract!` that names it, and a function that makes a [`Bench`] of it. A store
//! that is not available fails the run; it is never skipped.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "cases panic to fail; the lint knows only `#[test]` itself"
)]

pub(crate) mod bench;
mod carrying;
pub(crate) mod ending;
mod history;
mod limits;
mod opening;
mod pairs;
mod racing;
mod rotating;
mod sweeping;
mod together;
mod users;

use regrant_adapters::outbound::memory::MemoryStore;
use regrant_adapters::outbound::postgres::{PostgresOptions, PostgresStore};
use regrant_adapters::outbound::redis::{RedisOptions, RedisStore};
use regrant_adapters::outbound::sqlite::SqliteStore;

use bench::Bench;

use crate::support::servers;

macro_rules! contract {
    ($store:ident, $bench:path) => {
        mod $store {
            contract! { @list $bench;
                opening:
                    an_opened_session_is_found_by_both_keys_with_every_field_equal,
                    a_session_of_a_bare_token_is_found_by_both_keys,
                    a_device_of_which_nothing_is_known_comes_back_so,
                    instants_come_back_equal_to_the_millisecond,
                    a_session_that_is_not_there_is_not_found,
                    an_expired_session_is_still_found,
                    opening_never_overwrites_a_session,
                    the_same_opening_twice_changes_nothing,
                    a_session_of_a_user_who_does_not_exist_is_not_opened_where_that_can_be_told,
                    a_list_has_all_of_a_users_sessions_and_nobody_elses,
                    an_acknowledged_write_is_seen_through_another_handle;
                rotating:
                    rotations_come_to_the_state_that_the_domain_computes,
                    what_replaces_recent_is_stored_as_it_is,
                    the_largest_generation_is_kept,
                    a_session_of_a_bare_token_can_be_rotated_under_its_key,
                    idle_expiry_is_cut_at_the_sessions_end,
                    a_rotation_of_another_token_does_not_apply,
                    the_same_rotation_twice_applies_once,
                    an_unknown_session_is_not_rotated,
                    idle_expiry_is_the_first_millisecond_at_which_nothing_rotates,
                    the_sessions_end_is_the_first_millisecond_at_which_nothing_rotates,
                    nothing_but_the_token_changes_when_it_rotates;
                pairs:
                    a_kept_access_token_comes_back_equal,
                    a_rotation_replaces_both_tokens_whichever_way_it_spends,
                    an_access_tokens_expiry_is_cut_at_the_sessions_end,
                    a_rotation_that_does_not_apply_leaves_the_access_token_alone,
                    a_session_without_one_gets_one_with_a_rotation_and_one_without_leaves_it,
                    of_many_rotations_at_once_the_pair_is_that_of_the_one_that_applied,
                    a_kept_access_token_is_carried_along;
                ending:
                    every_reason_comes_back_and_only_the_status_changes,
                    a_session_ends_by_either_key_of_either_kind_of_token,
                    the_first_end_keeps_its_reason_and_instant,
                    an_ended_session_does_not_rotate,
                    an_end_that_was_decided_upon_a_token_applies_only_while_it_is_current,
                    what_is_not_there_is_not_ended,
                    an_expired_session_can_still_end,
                    ending_all_but_one_ends_and_names_exactly_the_others,
                    ending_all_spares_nobody_without_an_exception,
                    ended_sessions_stay_in_the_list,
                    forgetting_a_users_sessions_leaves_no_trace_of_them_and_others_alone;
                sweeping:
                    what_is_over_at_the_cutoff_is_swept_and_stays_gone,
                    what_is_live_or_over_later_is_kept,
                    a_session_that_a_rotation_prolonged_is_kept,
                    small_batches_come_to_an_end_and_sweep_everything,
                    two_sweepers_at_once_do_not_disturb_each_other;
                racing:
                    of_many_rotations_of_one_generation_exactly_one_applies,
                    of_many_equal_rotations_exactly_one_applies,
                    a_session_that_ends_while_it_rotates_has_ended,
                    of_a_rotation_and_an_end_decided_upon_one_token_one_applies,
                    of_many_ends_one_is_the_first,
                    ending_all_beside_rotations_leaves_no_session_alive,
                    a_caller_that_goes_away_leaves_the_old_state_or_the_new_one,
                    a_sign_in_that_goes_away_leaves_a_whole_session_or_none,
                    readers_that_go_away_do_not_make_later_reads_stale,
                    a_user_who_is_deleted_while_signing_in_leaves_no_session;
                together:
                    each_of_many_rotations_gets_its_own_answer_and_its_own_state,
                    of_two_that_spend_one_token_the_one_that_is_told_so_has_applied,
                    each_guard_holds_for_each_of_many;
                carrying:
                    what_is_carried_out_is_what_is_there_in_the_order_of_ids,
                    what_is_carried_in_comes_back_equal_and_again_changes_nothing,
                    carrying_in_never_takes_a_generation_back_or_brings_a_session_to_life,
                    a_session_without_its_user_is_left_out_where_the_store_keeps_both,
                    users_are_carried_in_and_an_address_stays_its_owners,
                    users_are_added_where_id_and_address_are_free_and_nobody_is_changed,
                    of_two_additions_of_the_same_users_at_once_each_user_is_added_by_one;
                history:
                    an_entry_comes_back_equal_and_appended_again_is_one,
                    a_session_and_an_account_have_histories_of_their_own,
                    of_each_kind_the_latest_are_kept_and_none_pushes_another_out,
                    entries_that_are_appended_at_once_are_all_kept,
                    a_history_outlives_its_session,
                    forgetting_a_users_history_leaves_no_trace_of_it_and_others_alone,
                    a_deleted_user_takes_the_history_along_where_the_store_keeps_both,
                    old_history_is_swept_in_batches_and_the_rest_is_kept;
                limits:
                    one_take_after_the_other_comes_to_what_the_domain_computes,
                    a_refusal_takes_nothing_and_tells_exactly_how_long_to_wait,
                    of_many_takes_at_once_as_many_as_there_are_are_allowed,
                    what_is_given_back_can_be_taken_again_and_no_bucket_is_fuller_than_full,
                    one_bucket_has_nothing_to_do_with_another,
                    what_one_process_takes_all_miss;
                users:
                    an_added_user_is_found_by_id_and_by_address_with_every_field_equal,
                    a_user_who_is_not_there_is_not_found,
                    an_address_that_is_taken_stays_with_its_user,
                    an_id_that_is_taken_stays_with_its_user,
                    of_many_additions_of_one_address_exactly_one_is_added,
                    a_password_is_replaced_only_while_it_is_the_one_that_was_checked,
                    of_many_changes_of_one_password_exactly_one_applies,
                    an_epoch_only_grows,
                    epochs_that_are_advanced_at_once_all_count,
                    a_deleted_user_is_gone_and_the_address_is_free,
                    a_deleted_user_takes_every_session_along_where_the_store_keeps_both;
            }
        }
    };
    (@list $bench:path; $($group:ident: $($promise:ident),+;)+) => {
        $(mod $group {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $promise() {
                let Some(bench) = Option::<crate::contract::Bench>::from($bench().await) else { return };
                crate::contract::$group::$promise(&bench).await;
            })+
        })+
    };
}

contract!(memory, crate::contract::memory_store);
contract!(memory_for_sessions_only, crate::contract::memory_store_for_sessions_only);
contract!(redis, crate::contract::redis_store);
contract!(redis_cluster, crate::contract::redis_cluster_store);
contract!(redis_sentinel, crate::contract::redis_sentinel_store);
contract!(sqlite, crate::contract::sqlite_store);
contract!(postgres, crate::contract::postgres_store);

async fn memory_store() -> Bench {
    Bench::of(std::sync::Arc::new(MemoryStore::default()))
}

async fn memory_store_for_sessions_only() -> Bench {
    Bench::of_two(std::sync::Arc::new(MemoryStore::sessions_only()), std::sync::Arc::new(MemoryStore::default()))
}

async fn redis_store() -> Option<Bench> {
    redis("redis", servers::redis::single).await
}

async fn redis_cluster_store() -> Option<Bench> {
    redis("redis_cluster", servers::redis::cluster).await
}

async fn redis_sentinel_store() -> Option<Bench> {
    redis("redis_sentinel", servers::redis::sentinel).await
}

/// Sessions in Redis, through two connections; users in memory.
async fn redis(name: &str, url: fn() -> String) -> Option<Bench> {
    if !servers::is_wanted(name) {
        return None;
    }
    let options = RedisOptions::new(url());
    let sessions = std::sync::Arc::new(RedisStore::connect(&options).await.unwrap());
    let other = std::sync::Arc::new(RedisStore::connect(&options).await.unwrap());
    Some(
        Bench::of_two(sessions.clone(), std::sync::Arc::new(MemoryStore::default()))
            .limiting(sessions, other.clone())
            .with_other(other)
            .forgetting_history_by_itself(),
    )
}

async fn sqlite_store() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("regrant.db");
    let store = std::sync::Arc::new(SqliteStore::open(&path).await.unwrap());
    let other = std::sync::Arc::new(SqliteStore::open(&path).await.unwrap());
    Bench::of(store).with_other(other).keeping(folder)
}

/// Through two pools, as two processes would have it.
async fn postgres_store() -> Option<Bench> {
    if !servers::is_wanted("postgres") {
        return None;
    }
    let mut options = PostgresOptions::new(servers::postgres::shared_database().await);
    options.max_connections = 8;
    let store = std::sync::Arc::new(PostgresStore::connect(&options).await.unwrap());
    let other = std::sync::Arc::new(PostgresStore::connect(&options).await.unwrap());
    Some(Bench::of(store.clone()).limiting(store, other.clone()).with_other(other))
}
