//! Families go once, at once, and no other goes with them.

use portcullis_core::{RefreshStore, UserId};

use super::{alice, insert, is_stored, replace, revoke};
use crate::property::{RIVALS, equal, race, texts};
use crate::suite::{Outcome, Subject};

/// A revoked family is found by nobody any more, and is not replaced; revoking it again finds none,
/// and is no error.
///
/// # Errors
/// How the property was violated.
pub async fn revoke_is_at_once_and_idempotent(subject: &Subject<dyn RefreshStore>) -> Outcome {
    let store = subject.handle();
    insert(&*store, "one", &alice(), "record").await?;
    insert(&*store, "other", &alice(), "record").await?;
    // Through all handles in turn: none of them may remember it.
    for _ in 0..3 {
        is_stored(subject, "one", Some("record")).await?;
    }
    equal("the first revoke", &revoke(&*store, "one").await?, &true)?;
    for _ in 0..3 {
        is_stored(subject, "one", None).await?;
        let replaced = replace(&*subject.handle(), "one", "record", "new").await?;
        equal("replace of what is revoked", &replaced, &false)?;
    }
    equal("the second revoke", &revoke(&*store, "one").await?, &false)?;
    is_stored(subject, "one", None).await?;
    is_stored(subject, "other", Some("record")).await
}

/// Of many who revoke one family at the same time, one does.
///
/// # Errors
/// How the property was violated.
pub async fn of_concurrent_revokes_one_wins(subject: &Subject<dyn RefreshStore>) -> Outcome {
    insert(&*subject.handle(), "one", &alice(), "record").await?;
    let answers = race(
        subject,
        |handle, _| async move { revoke(&*handle, "one").await },
    )
    .await?;
    let mut winners = 0;
    for revoked in answers {
        winners += usize::from(revoked?);
    }
    equal("the number of winners", &winners, &1)?;
    is_stored(subject, "one", None).await
}

/// Where some replace a family while another revokes it, it is gone in the end.
///
/// # Errors
/// How the property was violated.
pub async fn what_is_revoked_meanwhile_is_not_replaced(
    subject: &Subject<dyn RefreshStore>,
) -> Outcome {
    for everywhere in [false, true] {
        insert(&*subject.handle(), "one", &alice(), "0").await?;
        let answers = race(subject, |handle, number| async move {
            match number {
                0 if everywhere => handle.revoke_all(&alice()).await.map(|count| count == 1),
                0 => revoke(&*handle, "one").await,
                // Each goes on from what the one before may have put there.
                _ => {
                    let [old, new] = [number - 1, number].map(|number| number.to_string());
                    replace(&*handle, "one", &old, &new).await.map(|_| true)
                }
            }
        })
        .await?;
        for answer in answers {
            equal("revoke", &answer?, &true)?;
        }
        is_stored(subject, "one", None).await?;
    }
    Ok(())
}

/// `revoke_all` takes all families of one user, whatever was put in their place, who can be given
/// new ones afterwards.
///
/// # Errors
/// How the property was violated.
pub async fn revoke_all_takes_all_of_one_user(subject: &Subject<dyn RefreshStore>) -> Outcome {
    let store = subject.handle();
    insert(&*store, "of bob", &UserId::new("bob"), "record").await?;
    for _ in 0..2 {
        let names: Vec<_> = (0..10).map(|number| format!("of alice {number}")).collect();
        for name in &names {
            insert(&*store, name, &alice(), "record").await?;
        }
        replace(&*store, &names[1], "record", "new").await?;
        // One that is gone already is not counted.
        revoke(&*store, &names[0]).await?;

        equal("revoke_all", &store.revoke_all(&alice()).await?, &9)?;
        for name in &names {
            is_stored(subject, name, None).await?;
        }
        let revoked = store.revoke_all(&alice()).await?;
        equal("revoke_all, made again", &revoked, &0)?;
        is_stored(subject, "of bob", Some("record")).await?;
    }
    Ok(())
}

/// Users whose ids look alike are different users to `revoke_all`.
///
/// # Errors
/// How the property was violated.
pub async fn revoke_all_takes_the_exact_user(subject: &Subject<dyn RefreshStore>) -> Outcome {
    let store = subject.handle();
    let mut users = texts(subject);
    for (number, user) in users.iter().enumerate() {
        insert(
            &*store,
            &number.to_string(),
            &UserId::new(&**user),
            "record",
        )
        .await?;
    }
    while let Some(user) = users.pop() {
        let revoked = store.revoke_all(&UserId::new(user)).await?;
        equal("revoke_all", &revoked, &1)?;
        is_stored(subject, &users.len().to_string(), None).await?;
        for number in 0..users.len() {
            is_stored(subject, &number.to_string(), Some("record")).await?;
        }
    }
    Ok(())
}

/// Families that one user is given at the same time are all there, and all go.
///
/// # Errors
/// How the property was violated.
pub async fn revoke_all_misses_no_concurrent_insert(
    subject: &Subject<dyn RefreshStore>,
) -> Outcome {
    let answers = race(subject, |handle, number| async move {
        insert(&*handle, &number.to_string(), &alice(), "record").await
    })
    .await?;
    for answer in answers {
        answer?;
    }
    let revoked = subject.handle().revoke_all(&alice()).await?;
    equal("revoke_all", &revoked, &(RIVALS as u64))?;
    for number in 0..RIVALS {
        is_stored(subject, &number.to_string(), None).await?;
    }
    Ok(())
}
