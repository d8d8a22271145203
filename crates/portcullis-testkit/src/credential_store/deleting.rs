//! Users go once, and leave nothing behind.

use portcullis_core::CredentialStore;
use portcullis_core::password::PasswordHash;
use portcullis_core::store::UserStatus;

use super::{alice, is_absent, is_stored, user};
use crate::property::{RIVALS, at, equal, race};
use crate::suite::{Outcome, Subject};

/// The second `delete` of a user finds nobody, and is no error.
///
/// # Errors
/// How the property was violated.
pub async fn delete_is_idempotent(subject: &Subject<dyn CredentialStore>) -> Outcome {
    let store = subject.handle();
    let (alice, bob) = (alice(), user("bob"));
    store.create(&alice).await?;
    store.create(&bob).await?;
    let deleted = store.delete(&alice.user_id).await?;
    equal("the first delete", &deleted, &true)?;
    let deleted = store.delete(&alice.user_id).await?;
    equal("the second delete", &deleted, &false)?;
    is_absent(subject, &alice).await?;
    is_stored(subject, &bob).await
}

/// After `delete` another user may have the name, and another the id.
///
/// # Errors
/// How the property was violated.
pub async fn delete_frees_name_and_id(subject: &Subject<dyn CredentialStore>) -> Outcome {
    let store = subject.handle();
    let (alice, mut same_name, mut same_id) = (alice(), user("bob"), user("carol"));
    same_name.username = alice.username.clone();
    same_id.user_id = alice.user_id.clone();
    store.create(&alice).await?;
    store.delete(&alice.user_id).await?;
    store.create(&same_name).await?;
    store.create(&same_id).await?;
    is_stored(subject, &same_name).await?;
    is_stored(subject, &same_id).await
}

/// Of many who delete one user at the same time, one does.
///
/// # Errors
/// How the property was violated.
pub async fn of_concurrent_deletes_one_wins(subject: &Subject<dyn CredentialStore>) -> Outcome {
    let store = subject.handle();
    let alice = alice();
    store.create(&alice).await?;
    let answers = race(subject, |handle, _| {
        let user_id = alice.user_id.clone();
        async move { handle.delete(&user_id).await }
    })
    .await?;

    let mut winners = 0;
    for deleted in answers {
        winners += usize::from(deleted?);
    }
    equal("the number of winners", &winners, &1)?;
    is_absent(subject, &alice).await
}

/// A change that meets a `delete` never brings the user back, nor a part of it.
///
/// # Errors
/// How the property was violated.
pub async fn a_change_never_revives_a_deleted_user(
    subject: &Subject<dyn CredentialStore>,
) -> Outcome {
    let store = subject.handle();
    let alice = alice();
    store.create(&alice).await?;
    let answers = race(subject, |handle, rival| {
        let id = alice.user_id.clone();
        let (old, new) = (PasswordHash::new("$old$"), PasswordHash::new("$new$"));
        async move {
            if rival == RIVALS / 2 {
                return handle.delete(&id).await.map(drop);
            }
            let now = at(1, 0);
            match rival % 5 {
                0 => handle.replace_hash(&id, &old, &new).await.map(drop),
                1 => {
                    let changed = handle.change_password(&id, &old, &new, now).await;
                    changed.map(drop)
                }
                2 => handle.set_password(&id, &new, now).await.map(drop),
                3 => handle.end_sessions(&id, now).await.map(drop),
                _ => {
                    let set = handle.set_status(&id, UserStatus::Enabled).await;
                    set.map(drop)
                }
            }
        }
    })
    .await?;
    for answer in answers {
        answer?;
    }
    is_absent(subject, &alice).await?;
    equal("list", &store.list(None, 10).await?, &vec![])
}
