//! The conformance suite of [`ThrottleStore`]: what its documentation promises, as properties.
//!
//! [`throttle_store_suite!`](crate::throttle_store_suite) makes a test of each. All of them reach
//! the store as `Arc<dyn ThrottleStore>`.
//!
//! Records that are to be found are kept until 2100 or later, and those that have expired did so in
//! 1970: so a store may go by a clock of its own.

use std::time::SystemTime;

use portcullis_core::Username;
use portcullis_core::store::{ThrottleKey, ThrottleRecord, ThrottleStore};

use crate::property::{at, equal};
use crate::suite::{Outcome, Subject};

mod expiring;
pub use expiring::delete_expired_takes_only_records_that_have_expired;

mod failing;
pub use failing::an_unreachable_store_is_unavailable;

mod replacing;
pub use replacing::{
    absent_is_none, an_abandoned_replace_is_whole_or_nothing, no_concurrent_change_is_lost,
    of_concurrent_first_records_one_stays, records_are_kept_exactly,
    replace_takes_only_what_is_there, times_are_kept_to_the_second,
};

/// Makes one `#[test]` per property of a `ThrottleStore`.
///
/// The argument is a future of a new, empty store, or of a [`Subject`](crate::Subject); the
/// expression is evaluated for each test. Put each of several suites into a module of its own.
///
/// ```
/// mod memory_throttle_store {
///     use portcullis_core::memory::MemoryThrottleStore;
///
///     portcullis_testkit::throttle_store_suite!(async { MemoryThrottleStore::new() });
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! throttle_store_suite {
    ($store:expr $(,)?) => {
        $crate::for_each_throttle_store_property!($store => $crate::throttle_store_tests);
    };
}

/// Hands `$with` and the names of all properties to the macro `$then`.
#[doc(hidden)]
#[macro_export]
macro_rules! for_each_throttle_store_property {
    ($with:expr => $($then:tt)+) => {
        $($then)+! {
            $with,
            absent_is_none,
            an_abandoned_replace_is_whole_or_nothing,
            delete_expired_takes_only_records_that_have_expired,
            no_concurrent_change_is_lost,
            of_concurrent_first_records_one_stays,
            records_are_kept_exactly,
            replace_takes_only_what_is_there,
            times_are_kept_to_the_second,
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! throttle_store_tests {
    ($store:expr, $($property:ident,)*) => {
        $(
            #[test]
            fn $property() -> $crate::Outcome {
                $crate::check($store, $crate::throttle_store::$property)
            }
        )*
    };
}

fn key(name: &str) -> ThrottleKey {
    ThrottleKey::of(&Username::new(name))
}

async fn is_stored(
    subject: &Subject<dyn ThrottleStore>,
    key: &ThrottleKey,
    expected: Option<&ThrottleRecord>,
) -> Outcome {
    let found = subject.handle().find(key).await?;
    equal("find", &found.as_ref(), &expected)
}

pub(crate) fn in_2100() -> SystemTime {
    at(IN_2100, 0)
}

/// 2100-01-01T00:00:00Z.
const IN_2100: u64 = 4_102_444_800;
