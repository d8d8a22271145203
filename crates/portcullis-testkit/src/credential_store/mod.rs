//! The conformance suite of [`CredentialStore`]: what its documentation promises, as properties.
//!
//! [`credential_store_suite!`](crate::credential_store_suite) makes a test of each. All of them
//! reach the store as `Arc<dyn CredentialStore>`.

use portcullis_core::password::PasswordHash;
use portcullis_core::store::UserStatus;
use portcullis_core::{Credential, CredentialStore, UserId, Username};

use crate::property::{at, equal};
use crate::suite::{Outcome, Subject};

mod abandoning;
pub use abandoning::{
    an_abandoned_change_password_is_whole_or_nothing, an_abandoned_create_is_whole_or_nothing,
    an_abandoned_delete_is_whole_or_nothing, an_abandoned_replace_hash_is_whole_or_nothing,
    an_abandoned_set_password_is_whole_or_nothing,
};

mod changing;
pub use changing::{
    a_password_change_beats_a_rehash, change_password_needs_a_hash,
    change_password_swaps_only_the_expected_hash, of_concurrent_password_changes_one_wins,
    of_concurrent_replace_hashes_one_wins, replace_hash_needs_a_hash,
    replace_hash_swaps_only_the_expected_hash, set_password_gives_a_first_password,
    set_password_sets_hash_and_tokens_valid_from, set_status_changes_only_the_status,
};

mod creating;
pub use creating::{
    absent_is_none, create_refuses_a_taken_user_id, create_refuses_a_taken_username,
    create_then_find_returns_it_whole, of_concurrent_creates_of_a_user_id_one_wins,
    of_concurrent_creates_of_a_username_one_wins,
};

mod cutting_off;
pub use cutting_off::{
    change_password_moves_the_cut_off_forward, concurrent_cut_offs_all_differ,
    end_sessions_moves_the_cut_off_forward_and_nothing_else,
    set_password_moves_the_cut_off_forward,
};

mod deleting;
pub use deleting::{
    a_change_never_revives_a_deleted_user, delete_frees_name_and_id, delete_is_idempotent,
    of_concurrent_deletes_one_wins,
};

mod failing;
pub use failing::{an_unreachable_store_is_unavailable, an_unreadable_user_is_corrupt};

mod keeping;
pub use keeping::{
    hashes_are_kept_exactly, scopes_are_kept_exactly, tokens_valid_from_is_kept_to_the_microsecond,
    user_ids_are_kept_exactly, usernames_are_kept_exactly,
};

mod listing;
pub use listing::{list_pages_in_byte_order, list_starts_after_any_name};

/// Makes one `#[test]` per property of a `CredentialStore`.
///
/// The argument is a future of a new, empty store, or of a [`Subject`](crate::Subject); the
/// expression is evaluated for each test. Put each of several suites into a module of its own.
///
/// ```
/// mod memory_store {
///     use portcullis_core::memory::MemoryCredentialStore;
///
///     portcullis_testkit::credential_store_suite!(async { MemoryCredentialStore::new() });
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! credential_store_suite {
    ($store:expr $(,)?) => {
        $crate::for_each_credential_store_property!($store => $crate::credential_store_tests);
    };
}

/// Hands `$with` and the names of all properties to the macro `$then`.
#[doc(hidden)]
#[macro_export]
macro_rules! for_each_credential_store_property {
    ($with:expr => $($then:tt)+) => {
        $($then)+! {
            $with,
            a_change_never_revives_a_deleted_user,
            a_password_change_beats_a_rehash,
            absent_is_none,
            an_abandoned_change_password_is_whole_or_nothing,
            an_abandoned_create_is_whole_or_nothing,
            an_abandoned_delete_is_whole_or_nothing,
            an_abandoned_replace_hash_is_whole_or_nothing,
            an_abandoned_set_password_is_whole_or_nothing,
            change_password_moves_the_cut_off_forward,
            change_password_needs_a_hash,
            change_password_swaps_only_the_expected_hash,
            concurrent_cut_offs_all_differ,
            create_refuses_a_taken_user_id,
            create_refuses_a_taken_username,
            create_then_find_returns_it_whole,
            delete_frees_name_and_id,
            delete_is_idempotent,
            end_sessions_moves_the_cut_off_forward_and_nothing_else,
            hashes_are_kept_exactly,
            list_pages_in_byte_order,
            list_starts_after_any_name,
            of_concurrent_creates_of_a_user_id_one_wins,
            of_concurrent_creates_of_a_username_one_wins,
            of_concurrent_deletes_one_wins,
            of_concurrent_password_changes_one_wins,
            of_concurrent_replace_hashes_one_wins,
            replace_hash_needs_a_hash,
            replace_hash_swaps_only_the_expected_hash,
            scopes_are_kept_exactly,
            set_password_gives_a_first_password,
            set_password_moves_the_cut_off_forward,
            set_password_sets_hash_and_tokens_valid_from,
            set_status_changes_only_the_status,
            tokens_valid_from_is_kept_to_the_microsecond,
            user_ids_are_kept_exactly,
            usernames_are_kept_exactly,
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! credential_store_tests {
    ($store:expr, $($property:ident,)*) => {
        $(
            #[test]
            fn $property() -> $crate::Outcome {
                $crate::check($store, $crate::credential_store::$property)
            }
        )*
    };
}

/// Alice has set all there is to set.
fn alice() -> Credential {
    let mut alice = user("alice").with_password_hash(PasswordHash::new("$old$"));
    alice.status = UserStatus::Disabled;
    alice.scopes = vec!["users:read".to_owned(), "users:write".to_owned()];
    alice.tokens_valid_from = at(1_234_567_890, 123_456);
    alice
}

/// Any other user has nothing but a name and an id.
pub(crate) fn user(name: &str) -> Credential {
    Credential::new(UserId::new(format!("id of {name}")), Username::new(name))
}

/// Checks that a user is what both ways to find one return.
async fn is_stored(subject: &Subject<dyn CredentialStore>, expected: &Credential) -> Outcome {
    let found = subject.handle().find(&expected.username).await?;
    equal("find", &found.as_ref(), &Some(expected))?;
    let found = subject.handle().find_by_id(&expected.user_id).await?;
    equal("find_by_id", &found.as_ref(), &Some(expected))
}

/// Checks that neither way to find a user finds this one.
async fn is_absent(subject: &Subject<dyn CredentialStore>, absent: &Credential) -> Outcome {
    let found = subject.handle().find(&absent.username).await?;
    equal("find", &found, &None)?;
    let found = subject.handle().find_by_id(&absent.user_id).await?;
    equal("find_by_id", &found, &None)
}
