//! Not knowing never looks like knowing. This needs a store that was broken on purpose.

use portcullis_core::ErrorKind::Unavailable;
use portcullis_core::store::RefreshStore;

use super::{alice, insert, key, replace};
use crate::property::{at, fails};
use crate::suite::{Outcome, Subject};

/// Every method of a store that cannot be reached fails with `Unavailable`, if it has to reach it.
///
/// `subject` is one whose connection is closed or whose server is down.
///
/// # Errors
/// How the property was violated.
pub async fn an_unreachable_store_is_unavailable(subject: &Subject<dyn RefreshStore>) -> Outcome {
    let store = subject.handle();
    let inserted = insert(&*store, "one", &alice(), "record").await;
    fails("insert", &inserted, Unavailable)?;
    fails("find", &store.find(&key("one")).await, Unavailable)?;
    fails("list", &store.list(&alice(), 1).await, Unavailable)?;
    let replaced = replace(&*store, "one", "old", "new").await;
    fails("replace", &replaced, Unavailable)?;
    fails("revoke", &store.revoke(&key("one")).await, Unavailable)?;
    fails("revoke_all", &store.revoke_all(&alice()).await, Unavailable)?;
    match store.delete_expired(at(1, 0), 1).await {
        // A store that drops families by itself does nothing here, and need not notice.
        Ok(0) => Ok(()),
        answer => fails("delete_expired", &answer, Unavailable),
    }
}
