//! Not knowing never looks like knowing. These need a store that was broken on purpose.

use std::fmt::Debug;

use portcullis_core::{Credential, CredentialStore, Error, ErrorKind, PasswordHash, UserStatus};

use super::{alice, at};
use crate::suite::{Outcome, Subject, Violation};

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
    fails("find", &store.find(&alice.username).await, UNAVAILABLE)?;
    fails("find_by_id", &store.find_by_id(id).await, UNAVAILABLE)?;
    fails("list", &store.list(None, 10).await, UNAVAILABLE)?;
    fails("create", &store.create(&alice).await, UNAVAILABLE)?;
    let swapped = store.replace_hash(id, &hash, &hash).await;
    fails("replace_hash", &swapped, UNAVAILABLE)?;
    let set = store.set_password(id, &hash, at(1, 0)).await;
    fails("set_password", &set, UNAVAILABLE)?;
    let set = store.set_status(id, UserStatus::Enabled).await;
    fails("set_status", &set, UNAVAILABLE)?;
    fails("delete", &store.delete(id).await, UNAVAILABLE)
}

/// A user whose row makes no sense is `Corrupt`, not absent.
///
/// `user` was created in `subject` and then spoiled, by means that only the backend's test knows.
///
/// ```
/// # use portcullis_core::{Credential, MemoryStore, UserId, Username};
/// # use portcullis_testkit::{check, credential_store};
/// # let user = Credential::new(UserId::new("1"), Username::new("alice"));
/// # let a_store_with_a_spoiled_user = async { MemoryStore::new() };
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
    fails("find", &store.find(&user.username).await, CORRUPT)?;
    fails(
        "find_by_id",
        &store.find_by_id(&user.user_id).await,
        CORRUPT,
    )?;
    fails("list", &store.list(None, 10).await, CORRUPT)
}

fn fails<T: Debug>(method: &str, answer: &Result<T, Error>, kind: ErrorKind) -> Outcome {
    match answer {
        Err(error) if error.kind() == kind => Ok(()),
        answer => Err(Violation::new(format!(
            "{method} gives {answer:?}, not {kind:?}"
        ))),
    }
}

const CORRUPT: ErrorKind = ErrorKind::Corrupt;
const UNAVAILABLE: ErrorKind = ErrorKind::Unavailable;
