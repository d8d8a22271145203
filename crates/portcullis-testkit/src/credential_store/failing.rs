//! Not knowing never looks like knowing. These need a store that was broken on purpose.

use portcullis_core::ErrorKind::{Corrupt, Unavailable};
use portcullis_core::password::PasswordHash;
use portcullis_core::store::UserStatus;
use portcullis_core::{Credential, CredentialStore};

use super::alice;
use crate::property::{at, fails};
use crate::suite::{Outcome, Subject};

/// Every method of a store that cannot be reached fails with `Unavailable`.
///
/// `subject` is one whose connection is closed or whose server is down.
///
/// # Errors
/// How the property was violated.
pub async fn an_unreachable_store_is_unavailable(
    subject: &Subject<dyn CredentialStore>,
) -> Outcome {
    let (alice, hash) = (alice(), PasswordHash::new("$old$"));
    let store = subject.handle();
    let id = &alice.user_id;
    fails("find", &store.find(&alice.username).await, Unavailable)?;
    fails("find_by_id", &store.find_by_id(id).await, Unavailable)?;
    fails("list", &store.list(None, 10).await, Unavailable)?;
    fails("create", &store.create(&alice).await, Unavailable)?;
    let swapped = store.replace_hash(id, &hash, &hash).await;
    fails("replace_hash", &swapped, Unavailable)?;
    let changed = store.change_password(id, &hash, &hash, at(1, 0)).await;
    fails("change_password", &changed, Unavailable)?;
    let set = store.set_password(id, &hash, at(1, 0)).await;
    fails("set_password", &set, Unavailable)?;
    let ended = store.end_sessions(id, at(1, 0)).await;
    fails("end_sessions", &ended, Unavailable)?;
    let set = store.set_status(id, UserStatus::Enabled).await;
    fails("set_status", &set, Unavailable)?;
    fails("delete", &store.delete(id).await, Unavailable)
}

/// A user whose row makes no sense is `Corrupt`, not absent.
///
/// `user` was created in `subject` and then spoiled, by means that only the backend's test knows.
///
/// ```
/// # use portcullis_core::memory::MemoryCredentialStore;
/// # use portcullis_core::{Credential, UserId, Username};
/// # use portcullis_testkit::{check, credential_store};
/// # let user = Credential::new(UserId::new("1"), Username::new("alice"));
/// # let a_store_with_a_spoiled_user = async { MemoryCredentialStore::new() };
/// let outcome = check(a_store_with_a_spoiled_user, async |subject| {
///     credential_store::an_unreadable_user_is_corrupt(subject, &user).await
/// });
/// # assert!(outcome.is_err());
/// ```
///
/// # Errors
/// How the property was violated.
pub async fn an_unreadable_user_is_corrupt(
    subject: &Subject<dyn CredentialStore>,
    user: &Credential,
) -> Outcome {
    let store = subject.handle();
    fails("find", &store.find(&user.username).await, Corrupt)?;
    fails(
        "find_by_id",
        &store.find_by_id(&user.user_id).await,
        Corrupt,
    )?;
    fails("list", &store.list(None, 10).await, Corrupt)
}
