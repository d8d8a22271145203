//! The conformance suite of [`RefreshStore`]: what its documentation promises, as properties.
//!
//! [`refresh_store_suite!`](crate::refresh_store_suite) makes a test of each. All of them reach the
//! store as `Arc<dyn RefreshStore>`.
//!
//! Families that are to be found are kept until 2100 or later, and those that have expired did so
//! in 1970: so a store may go by a clock of its own.

use std::time::SystemTime;

use portcullis_core::store::{FamilyKey, FamilyRecord, RefreshStore};
use portcullis_core::{Error, UserId};

use crate::property::{END_OF_9999, at, equal};
use crate::suite::{Outcome, Subject};

mod abandoning;
pub use abandoning::{
    an_abandoned_insert_is_whole_or_nothing, an_abandoned_replace_is_whole_or_nothing,
    an_abandoned_revoke_all_can_be_made_again, an_abandoned_revoke_is_whole_or_nothing,
};

mod expiring;
pub use expiring::delete_expired_takes_only_what_has_expired;

mod failing;
pub use failing::an_unreachable_store_is_unavailable;

mod inserting;
pub use inserting::{
    absent_is_none, insert_refuses_a_taken_key, of_concurrent_inserts_of_a_key_one_wins,
    records_are_kept_exactly, times_are_kept_to_the_second,
};

mod listing;
pub use listing::{list_finds_no_more_than_the_limit, list_finds_what_one_user_has};

mod replacing;
pub use replacing::{of_concurrent_replaces_one_wins, replace_takes_only_what_is_there};

mod revoking;
pub use revoking::{
    of_concurrent_revokes_one_wins, revoke_all_misses_no_concurrent_insert,
    revoke_all_takes_all_of_one_user, revoke_all_takes_hundreds, revoke_all_takes_the_exact_user,
    revoke_is_at_once_and_idempotent, what_is_revoked_meanwhile_is_not_replaced,
};

/// Makes one `#[test]` per property of a `RefreshStore`.
///
/// The argument is a future of a new, empty store, or of a [`Subject`](crate::Subject); the
/// expression is evaluated for each test. Put each of several suites into a module of its own.
///
/// ```
/// mod memory_refresh_store {
///     use portcullis_core::memory::MemoryRefreshStore;
///
///     portcullis_testkit::refresh_store_suite!(async { MemoryRefreshStore::new() });
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! refresh_store_suite {
    ($store:expr $(,)?) => {
        $crate::for_each_refresh_store_property!($store => $crate::refresh_store_tests);
    };
}

/// Hands `$with` and the names of all properties to the macro `$then`.
#[doc(hidden)]
#[macro_export]
macro_rules! for_each_refresh_store_property {
    ($with:expr => $($then:tt)+) => {
        $($then)+! {
            $with,
            absent_is_none,
            an_abandoned_insert_is_whole_or_nothing,
            an_abandoned_replace_is_whole_or_nothing,
            an_abandoned_revoke_all_can_be_made_again,
            an_abandoned_revoke_is_whole_or_nothing,
            delete_expired_takes_only_what_has_expired,
            insert_refuses_a_taken_key,
            list_finds_no_more_than_the_limit,
            list_finds_what_one_user_has,
            of_concurrent_inserts_of_a_key_one_wins,
            of_concurrent_replaces_one_wins,
            of_concurrent_revokes_one_wins,
            records_are_kept_exactly,
            replace_takes_only_what_is_there,
            revoke_all_misses_no_concurrent_insert,
            revoke_all_takes_all_of_one_user,
            revoke_all_takes_hundreds,
            revoke_all_takes_the_exact_user,
            revoke_is_at_once_and_idempotent,
            times_are_kept_to_the_second,
            what_is_revoked_meanwhile_is_not_replaced,
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! refresh_store_tests {
    ($store:expr, $($property:ident,)*) => {
        $(
            #[test]
            fn $property() -> $crate::Outcome {
                $crate::check($store, $crate::refresh_store::$property)
            }
        )*
    };
}

fn key(name: &str) -> FamilyKey {
    FamilyKey::of(name.as_bytes())
}

fn alice() -> UserId {
    UserId::new("alice")
}

/// Adds a family that is good until 2100.
pub(crate) async fn insert(
    store: &dyn RefreshStore,
    name: &str,
    subject: &UserId,
    record: &str,
) -> Result<(), Error> {
    let record = FamilyRecord::new(record);
    store
        .insert(&key(name), subject, &record, in_2100(), ends_at())
        .await
}

/// Replaces the record of a family, and keeps it a second longer.
pub(crate) async fn replace(
    store: &dyn RefreshStore,
    name: &str,
    old: &str,
    new: &str,
) -> Result<bool, Error> {
    let [old, new] = [old, new].map(FamilyRecord::new);
    store
        .replace(&key(name), &old, &new, at(IN_2100 + 1, 0))
        .await
}

pub(crate) async fn revoke(store: &dyn RefreshStore, name: &str) -> Result<bool, Error> {
    store.revoke(&key(name)).await
}

async fn is_stored(
    subject: &Subject<dyn RefreshStore>,
    name: &str,
    expected: Option<&str>,
) -> Outcome {
    let found = subject.handle().find(&key(name)).await?;
    equal("find", &found.as_ref().map(FamilyRecord::as_str), &expected)
}

fn in_2100() -> SystemTime {
    at(IN_2100, 0)
}

/// Beyond any time until which a family is kept.
fn ends_at() -> SystemTime {
    at(END_OF_9999, 999_999)
}

/// 2100-01-01T00:00:00Z.
const IN_2100: u64 = 4_102_444_800;
