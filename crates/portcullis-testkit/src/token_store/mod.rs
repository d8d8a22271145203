//! The conformance suite of [`TokenStore`]: what its documentation promises, as properties.
//!
//! [`token_store_suite!`](crate::token_store_suite) makes a test of each. All of them reach the
//! store as `Arc<dyn TokenStore>`.
//!
//! Tokens that are to be found are good until 2100 or later, and those that have expired did so in
//! 1970: so a store may go by a clock of its own.

use portcullis_core::store::{TokenHash, TokenStore};
use portcullis_core::{Claims, UserId};

use crate::property::{at, equal};
use crate::suite::{Outcome, Subject};

mod abandoning;
pub use abandoning::{
    an_abandoned_insert_is_whole_or_nothing, an_abandoned_revoke_all_can_be_made_again,
    an_abandoned_revoke_is_whole_or_nothing,
};

mod expiring;
pub use expiring::delete_expired_takes_only_what_has_expired;

mod failing;
pub use failing::{an_unreachable_store_is_unavailable, an_unreadable_token_is_corrupt};

mod inserting;
pub use inserting::{
    absent_is_none, insert_refuses_a_taken_hash, insert_then_find_returns_it_whole,
    of_concurrent_inserts_of_a_hash_one_wins,
};

mod keeping;
pub use keeping::{
    cut_offs_are_kept_to_the_microsecond, extra_claims_are_kept_exactly, hashes_are_kept_exactly,
    lists_are_kept_exactly, names_of_logins_are_kept_exactly, texts_are_kept_exactly,
    times_are_kept_to_the_second,
};

mod revoking;
pub use revoking::{
    of_concurrent_revokes_one_wins, revoke_all_misses_no_concurrent_insert,
    revoke_all_takes_all_of_one_user, revoke_all_takes_the_exact_user,
    revoke_is_at_once_and_idempotent,
};

/// Makes one `#[test]` per property of a `TokenStore`.
///
/// The argument is a future of a new, empty store, or of a [`Subject`](crate::Subject); the
/// expression is evaluated for each test. Put each of several suites into a module of its own.
///
/// ```
/// mod memory_token_store {
///     use portcullis_core::memory::MemoryTokenStore;
///
///     portcullis_testkit::token_store_suite!(async { MemoryTokenStore::new() });
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! token_store_suite {
    ($store:expr $(,)?) => {
        $crate::for_each_token_store_property!($store => $crate::token_store_tests);
    };
}

/// Hands `$with` and the names of all properties to the macro `$then`.
#[doc(hidden)]
#[macro_export]
macro_rules! for_each_token_store_property {
    ($with:expr => $($then:tt)+) => {
        $($then)+! {
            $with,
            absent_is_none,
            an_abandoned_insert_is_whole_or_nothing,
            an_abandoned_revoke_all_can_be_made_again,
            an_abandoned_revoke_is_whole_or_nothing,
            cut_offs_are_kept_to_the_microsecond,
            delete_expired_takes_only_what_has_expired,
            extra_claims_are_kept_exactly,
            hashes_are_kept_exactly,
            insert_refuses_a_taken_hash,
            insert_then_find_returns_it_whole,
            lists_are_kept_exactly,
            names_of_logins_are_kept_exactly,
            of_concurrent_inserts_of_a_hash_one_wins,
            of_concurrent_revokes_one_wins,
            revoke_all_misses_no_concurrent_insert,
            revoke_all_takes_all_of_one_user,
            revoke_all_takes_the_exact_user,
            revoke_is_at_once_and_idempotent,
            texts_are_kept_exactly,
            times_are_kept_to_the_second,
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! token_store_tests {
    ($store:expr, $($property:ident,)*) => {
        $(
            #[test]
            fn $property() -> $crate::Outcome {
                $crate::check($store, $crate::token_store::$property)
            }
        )*
    };
}

/// Claims with all there is to have, no two of them the same.
fn alice() -> Claims {
    let mut alice = claims("alice", "first");
    alice.aud.push("https://other.example".to_owned());
    alice.client_id = Some("spa".to_owned());
    alice.scopes = vec!["users:read".to_owned(), "users:write".to_owned()];
    alice.sid = Some("a login".to_owned());
    alice.cut_off = Some(at(1_234_567_889, 654_321));
    alice.extra.insert("role".to_owned(), "admin".into());
    alice
}

/// Other claims have nothing but what they must, and are told apart by their `jti`.
pub(crate) fn claims(sub: &str, jti: &str) -> Claims {
    Claims::new(
        "https://login.example".to_owned(),
        UserId::new(sub),
        vec!["https://api.example".to_owned()],
        at(1_234_567_890, 0),
        at(IN_2100, 0),
        jti.to_owned(),
    )
}

async fn is_stored(
    subject: &Subject<dyn TokenStore>,
    hash: &TokenHash,
    expected: &Claims,
) -> Outcome {
    let found = subject.handle().find(hash).await?;
    equal("find", &found.as_ref(), &Some(expected))
}

async fn is_absent(subject: &Subject<dyn TokenStore>, hash: &TokenHash) -> Outcome {
    equal("find", &subject.handle().find(hash).await?, &None)
}

/// 2100-01-01T00:00:00Z.
const IN_2100: u64 = 4_102_444_800;
