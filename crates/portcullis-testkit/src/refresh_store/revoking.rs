//! Families go once, at once, and no other goes with them.

use portcullis_core::UserId;
use portcullis_core::store::RefreshStore;

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
    // In the middle: some have read the family by then, and others read it while it goes.
    let revoker = RIVALS / 2;
    for everywhere in [false, true] {
        let name = format!("everywhere: {everywhere}");
        insert(&*subject.handle(), &name, &alice(), "0").await?;
        let answers = race(subject, |handle, number| {
            let name = name.clone();
            async move {
                if number != revoker {
                    // Each goes on from what the one before may have put there.
                    let step = number - usize::from(number > revoker);
                    let [old, new] = [step, step + 1].map(|step| step.to_string());
                    return replace(&*handle, &name, &old, &new).await.map(|_| true);
                }
                if everywhere {
                    return handle.revoke_all(&alice()).await.map(|count| count == 1);
                }
                revoke(&*handle, &name).await
            }
        })
        .await?;
        for answer in answers {
            equal("revoke", &answer?, &true)?;
        }
        is_stored(subject, &name, None).await?;
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

/// `revoke_all` takes however many families a user has: a store that goes through them in pages
/// goes on to the last.
///
/// # Errors
/// How the property was violated.
pub async fn revoke_all_takes_hundreds(subject: &Subject<dyn RefreshStore>) -> Outcome {
    let store = subject.handle();
    insert(&*store, "of bob", &UserId::new("bob"), "record").await?;
    for number in 0..HUNDREDS {
        insert(&*store, &number.to_string(), &alice(), "record").await?;
    }
    let revoked = store.revoke_all(&alice()).await?;
    equal("revoke_all", &revoked, &HUNDREDS)?;
    for number in 0..HUNDREDS {
        is_stored(subject, &number.to_string(), None).await?;
    }
    is_stored(subject, "of bob", Some("record")).await
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

/// More than the backends here go through at a time.
const HUNDREDS: u64 = 300;
