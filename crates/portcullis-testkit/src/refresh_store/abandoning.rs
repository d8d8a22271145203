//! A call whose caller goes away has happened or has not; in neither case is anything stuck.
//!
//! Each property abandons a call at its first wait, then at its second, and so on until it runs
//! through. A backend may still be at work on a call that was abandoned, so what is seen right
//! after it may be either state, and making the same call again must lead to the second.

use portcullis_core::store::{FamilyRecord, RefreshStore};
use portcullis_core::{ErrorKind, UserId};

use super::{alice, insert, is_stored, key, replace, revoke};
use crate::property::{Call, MOST_POLLS, abandon, is_one_of};
use crate::suite::{Outcome, Subject};

/// An abandoned `insert` leaves the whole family or none.
///
/// # Errors
/// How the property was violated.
pub async fn an_abandoned_insert_is_whole_or_nothing(
    subject: &Subject<dyn RefreshStore>,
) -> Outcome {
    let store = subject.handle();
    for polls in 1..MOST_POLLS {
        let name = polls.to_string();
        let user = alice();
        let call = abandon(polls, insert(&*store, &name, &user, "record")).await;
        is_either(subject, &name, [None, Some("record")]).await?;

        match insert(&*store, &name, &user, "record").await {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
            _ => is_stored(subject, &name, Some("record")).await?,
        }
        if call == Call::Finished {
            break;
        }
    }
    Ok(())
}

/// An abandoned `replace` leaves the old record or the new one.
///
/// # Errors
/// How the property was violated.
pub async fn an_abandoned_replace_is_whole_or_nothing(
    subject: &Subject<dyn RefreshStore>,
) -> Outcome {
    let store = subject.handle();
    for polls in 1..MOST_POLLS {
        let name = polls.to_string();
        insert(&*store, &name, &alice(), "old").await?;
        let call = abandon(polls, replace(&*store, &name, "old", "new")).await;
        is_either(subject, &name, [Some("old"), Some("new")]).await?;

        // Done already, or done now.
        replace(&*store, &name, "old", "new").await?;
        is_stored(subject, &name, Some("new")).await?;
        if call == Call::Finished {
            break;
        }
    }
    Ok(())
}

/// An abandoned `revoke` leaves the whole family or none.
///
/// # Errors
/// How the property was violated.
pub async fn an_abandoned_revoke_is_whole_or_nothing(
    subject: &Subject<dyn RefreshStore>,
) -> Outcome {
    let store = subject.handle();
    for polls in 1..MOST_POLLS {
        let name = polls.to_string();
        insert(&*store, &name, &alice(), "record").await?;
        let call = abandon(polls, revoke(&*store, &name)).await;
        is_either(subject, &name, [None, Some("record")]).await?;

        revoke(&*store, &name).await?;
        is_stored(subject, &name, None).await?;
        if call == Call::Finished {
            break;
        }
    }
    Ok(())
}

/// An abandoned `revoke_all` leaves each family whole or not at all; the next takes the rest.
///
/// # Errors
/// How the property was violated.
pub async fn an_abandoned_revoke_all_can_be_made_again(
    subject: &Subject<dyn RefreshStore>,
) -> Outcome {
    let store = subject.handle();
    insert(&*store, "of bob", &UserId::new("bob"), "record").await?;
    for polls in 1..MOST_POLLS {
        let names = [1, 2, 3].map(|number| format!("{polls} {number}"));
        for name in &names {
            insert(&*store, name, &alice(), "record").await?;
        }
        let user = alice();
        let call = abandon(polls, store.revoke_all(&user)).await;
        for name in &names {
            is_either(subject, name, [None, Some("record")]).await?;
        }

        store.revoke_all(&user).await?;
        for name in &names {
            is_stored(subject, name, None).await?;
        }
        is_stored(subject, "of bob", Some("record")).await?;
        if call == Call::Finished {
            break;
        }
    }
    Ok(())
}

async fn is_either(
    subject: &Subject<dyn RefreshStore>,
    name: &str,
    allowed: [Option<&str>; 2],
) -> Outcome {
    let found = subject.handle().find(&key(name)).await?;
    is_one_of(found.as_ref().map(FamilyRecord::as_str), allowed)
}
