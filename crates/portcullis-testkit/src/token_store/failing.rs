//! Not knowing never looks like knowing. These need a store that was broken on purpose.

use portcullis_core::ErrorKind::{Corrupt, Unavailable};
use portcullis_core::store::{TokenHash, TokenStore};

use super::alice;
use crate::property::{at, fails};
use crate::suite::{Outcome, Subject};

/// Every method of a store that cannot be reached fails with `Unavailable`, if it has to reach it.
///
/// `subject` is one whose connection is closed or whose server is down.
///
/// # Errors
/// How the property was violated.
pub async fn an_unreachable_store_is_unavailable(subject: &Subject<dyn TokenStore>) -> Outcome {
    let (hash, alice) = (TokenHash::of("one"), alice());
    let store = subject.handle();
    fails("find", &store.find(&hash).await, Unavailable)?;
    fails("insert", &store.insert(&hash, &alice).await, Unavailable)?;
    fails("revoke", &store.revoke(&hash).await, Unavailable)?;
    let revoked = store.revoke_all(&alice.sub).await;
    fails("revoke_all", &revoked, Unavailable)?;
    match store.delete_expired(at(1, 0), 1).await {
        // A store that drops tokens by itself does nothing here, and need not notice.
        Ok(0) => Ok(()),
        answer => fails("delete_expired", &answer, Unavailable),
    }
}

/// A token whose claims make no sense is `Corrupt`, not absent.
///
/// The token with this `hash` was inserted into `subject` and then spoiled, by means that only the
/// backend's test knows.
///
/// ```
/// # use portcullis_core::memory::MemoryTokenStore;
/// # use portcullis_core::store::TokenHash;
/// # use portcullis_testkit::{check, token_store};
/// # let hash = TokenHash::of("token");
/// # let a_store_with_a_spoiled_token = async { MemoryTokenStore::new() };
/// let outcome = check(a_store_with_a_spoiled_token, async |subject| {
///     token_store::an_unreadable_token_is_corrupt(subject, &hash).await
/// });
/// # assert!(outcome.is_err());
/// ```
///
/// # Errors
/// How the property was violated.
pub async fn an_unreadable_token_is_corrupt(
    subject: &Subject<dyn TokenStore>,
    hash: &TokenHash,
) -> Outcome {
    fails("find", &subject.handle().find(hash).await, Corrupt)
}
