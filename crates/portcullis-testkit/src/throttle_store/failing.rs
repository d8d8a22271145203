//! Not knowing never looks like knowing. This needs a store that was broken on purpose.

use portcullis_core::ErrorKind::Unavailable;
use portcullis_core::store::{ThrottleRecord, ThrottleStore};

use super::{in_2100, key};
use crate::property::{at, fails};
use crate::suite::{Outcome, Subject};

/// Every method of a store that cannot be reached fails with `Unavailable`, if it has to reach it.
///
/// `subject` is one whose connection is closed or whose server is down.
///
/// # Errors
/// How the property was violated.
pub async fn an_unreachable_store_is_unavailable(subject: &Subject<dyn ThrottleStore>) -> Outcome {
    let (store, key) = (subject.handle(), key("ada"));
    let record = ThrottleRecord::new("record");
    fails("find", &store.find(&key).await, Unavailable)?;
    let replaced = store.replace(&key, None, &record, in_2100()).await;
    fails("replace", &replaced, Unavailable)?;
    match store.delete_expired(at(1, 0), 1).await {
        // A store that drops records by itself does nothing here, and need not notice.
        Ok(0) => Ok(()),
        answer => fails("delete_expired", &answer, Unavailable),
    }
}
