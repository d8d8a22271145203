//! The store keeps the promises of its traits.

use std::sync::Arc;

use portcullis_redis::RedisStore;
use portcullis_testkit::{
    Outcome, race_of_processes_over_attempts, race_of_processes_over_families,
    race_of_processes_over_tokens, race_of_processes_over_users,
};
use portcullis_testservers::redis;

use crate::common::{open, with_own_prefix};

mod users_on_a_server {
    use portcullis_testservers::redis;

    use crate::common::users;

    portcullis_testkit::credential_store_suite!(users(&redis::url()));
}

mod users_on_a_cluster {
    use portcullis_testservers::redis;

    use crate::common::users;

    portcullis_testkit::credential_store_suite!(users(&redis::cluster_url()));
}

mod tokens_on_a_server {
    use portcullis_testservers::redis;

    use crate::common::tokens;

    portcullis_testkit::token_store_suite!(tokens(&redis::url()));
}

mod tokens_on_a_cluster {
    use portcullis_testservers::redis;

    use crate::common::tokens;

    portcullis_testkit::token_store_suite!(tokens(&redis::cluster_url()));
}

mod throttle_on_a_server {
    use portcullis_testservers::redis;

    use crate::common::throttle;

    portcullis_testkit::throttle_store_suite!(throttle(&redis::url()));
}

mod throttle_on_a_cluster {
    use portcullis_testservers::redis;

    use crate::common::throttle;

    portcullis_testkit::throttle_store_suite!(throttle(&redis::cluster_url()));
}

mod refresh_on_a_server {
    use portcullis_testservers::redis;

    use crate::common::refresh;

    portcullis_testkit::refresh_store_suite!(refresh(&redis::url()));
}

mod refresh_on_a_cluster {
    use portcullis_testservers::redis;

    use crate::common::refresh;

    portcullis_testkit::refresh_store_suite!(refresh(&redis::cluster_url()));
}

#[test]
fn of_processes_that_race_over_families_on_a_server_one_wins() -> Outcome {
    race_of_processes_over_families(
        "conformance::of_processes_that_race_over_families_on_a_server_one_wins",
        &with_own_prefix(&redis::url()),
        shared,
    )
}

#[test]
fn of_processes_that_race_over_families_on_a_cluster_one_wins() -> Outcome {
    race_of_processes_over_families(
        "conformance::of_processes_that_race_over_families_on_a_cluster_one_wins",
        &with_own_prefix(&redis::cluster_url()),
        shared,
    )
}

#[test]
fn of_processes_that_race_over_users_on_a_server_one_wins() -> Outcome {
    race_of_processes_over_users(
        "conformance::of_processes_that_race_over_users_on_a_server_one_wins",
        &with_own_prefix(&redis::url()),
        shared,
    )
}

#[test]
fn of_processes_that_race_over_tokens_on_a_server_one_wins() -> Outcome {
    race_of_processes_over_tokens(
        "conformance::of_processes_that_race_over_tokens_on_a_server_one_wins",
        &with_own_prefix(&redis::url()),
        shared,
    )
}

#[test]
fn of_processes_that_race_over_users_on_a_cluster_one_wins() -> Outcome {
    race_of_processes_over_users(
        "conformance::of_processes_that_race_over_users_on_a_cluster_one_wins",
        &with_own_prefix(&redis::cluster_url()),
        shared,
    )
}

#[test]
fn of_processes_that_race_over_tokens_on_a_cluster_one_wins() -> Outcome {
    race_of_processes_over_tokens(
        "conformance::of_processes_that_race_over_tokens_on_a_cluster_one_wins",
        &with_own_prefix(&redis::cluster_url()),
        shared,
    )
}

#[test]
fn of_processes_that_race_over_attempts_on_a_server_one_wins() -> Outcome {
    race_of_processes_over_attempts(
        "conformance::of_processes_that_race_over_attempts_on_a_server_one_wins",
        &with_own_prefix(&redis::url()),
        shared,
    )
}

#[test]
fn of_processes_that_race_over_attempts_on_a_cluster_one_wins() -> Outcome {
    race_of_processes_over_attempts(
        "conformance::of_processes_that_race_over_attempts_on_a_cluster_one_wins",
        &with_own_prefix(&redis::cluster_url()),
        shared,
    )
}

async fn shared(url: &str) -> Arc<RedisStore> {
    Arc::new(open(url).await)
}
