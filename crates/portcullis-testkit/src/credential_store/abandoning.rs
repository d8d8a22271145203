//! A call whose caller goes away has happened or has not; in neither case is anything stuck.
//!
//! Each property abandons a call at its first wait, then at its second, and so on until it runs
//! through. A backend may still be at work on a call that was abandoned, so what is seen right
//! after it may be either state, and making the same call again must lead to the second.

use portcullis_core::password::PasswordHash;
use portcullis_core::{Credential, CredentialStore, ErrorKind};

use super::{alice, is_absent, is_stored, user};
use crate::property::{Call, MOST_POLLS, abandon, at, is_one_of};
use crate::suite::{Outcome, Subject};

/// An abandoned `create` leaves the whole user or none.
///
/// # Errors
/// How the property was violated.
pub async fn an_abandoned_create_is_whole_or_nothing(
    subject: &Subject<dyn CredentialStore>,
) -> Outcome {
    let store = subject.handle();
    for polls in 1..MOST_POLLS {
        let user = like_alice(polls);
        let call = abandon(polls, store.create(&user)).await;
        let found = store.find(&user.username).await?;
        is_one_of(found.as_ref(), [None, Some(&user)])?;

        match store.create(&user).await {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
            _ => is_stored(subject, &user).await?,
        }
        if call == Call::Finished {
            break;
        }
    }
    Ok(())
}

/// An abandoned `replace_hash` leaves the old hash or the new one.
///
/// # Errors
/// How the property was violated.
pub async fn an_abandoned_replace_hash_is_whole_or_nothing(
    subject: &Subject<dyn CredentialStore>,
) -> Outcome {
    let store = subject.handle();
    let (old, new) = (PasswordHash::new("$old$"), PasswordHash::new("$new$"));
    for polls in 1..MOST_POLLS {
        let before = like_alice(polls);
        let after = before.clone().with_password_hash(new.clone());
        store.create(&before).await?;
        let call = abandon(polls, store.replace_hash(&before.user_id, &old, &new)).await;
        let found = store.find(&before.username).await?;
        is_one_of(found.as_ref(), [Some(&before), Some(&after)])?;

        store.replace_hash(&before.user_id, &old, &new).await?;
        is_stored(subject, &after).await?;
        if call == Call::Finished {
            break;
        }
    }
    Ok(())
}

/// An abandoned `change_password` leaves the old hash and time or the new ones, never a mixture.
///
/// # Errors
/// How the property was violated.
pub async fn an_abandoned_change_password_is_whole_or_nothing(
    subject: &Subject<dyn CredentialStore>,
) -> Outcome {
    let store = subject.handle();
    let (old, new) = (PasswordHash::new("$old$"), PasswordHash::new("$new$"));
    let now = at(1_700_000_000, 0);
    for polls in 1..MOST_POLLS {
        let before = like_alice(polls);
        let mut after = before.clone().with_password_hash(new.clone());
        after.tokens_valid_from = now;
        store.create(&before).await?;
        let change = || store.change_password(&before.user_id, &old, &new, now);
        let call = abandon(polls, change()).await;
        let found = store.find(&before.username).await?;
        is_one_of(found.as_ref(), [Some(&before), Some(&after)])?;

        is_one_of(change().await?.as_ref(), [None, Some(&now)])?;
        is_stored(subject, &after).await?;
        if call == Call::Finished {
            break;
        }
    }
    Ok(())
}

/// An abandoned `set_password` leaves the old hash and time or the new ones, never a mixture.
///
/// # Errors
/// How the property was violated.
pub async fn an_abandoned_set_password_is_whole_or_nothing(
    subject: &Subject<dyn CredentialStore>,
) -> Outcome {
    let store = subject.handle();
    let (new, now) = (PasswordHash::new("$new$"), at(1_700_000_000, 0));
    for polls in 1..MOST_POLLS {
        let before = like_alice(polls);
        let mut once = before.clone().with_password_hash(new.clone());
        once.tokens_valid_from = now;
        let mut twice = once.clone();
        twice.tokens_valid_from = at(1_700_000_000, 1);
        store.create(&before).await?;
        let call = abandon(polls, store.set_password(&before.user_id, &new, now)).await;
        let found = store.find(&before.username).await?;
        is_one_of(found.as_ref(), [Some(&before), Some(&once)])?;

        let set = store.set_password(&before.user_id, &new, now).await?;
        let cut_offs = [&once, &twice].map(|user| Some(&user.tokens_valid_from));
        is_one_of(set.as_ref(), cut_offs)?;
        let found = store.find(&before.username).await?;
        is_one_of(found.as_ref(), [Some(&once), Some(&twice)])?;
        if call == Call::Finished {
            break;
        }
    }
    Ok(())
}

/// An abandoned `delete` leaves the whole user or none.
///
/// # Errors
/// How the property was violated.
pub async fn an_abandoned_delete_is_whole_or_nothing(
    subject: &Subject<dyn CredentialStore>,
) -> Outcome {
    let store = subject.handle();
    for polls in 1..MOST_POLLS {
        let user = like_alice(polls);
        store.create(&user).await?;
        let call = abandon(polls, store.delete(&user.user_id)).await;
        let found = store.find(&user.username).await?;
        is_one_of(found.as_ref(), [None, Some(&user)])?;

        store.delete(&user.user_id).await?;
        is_absent(subject, &user).await?;
        store.create(&user).await?;
        if call == Call::Finished {
            break;
        }
    }
    Ok(())
}

fn like_alice(number: usize) -> Credential {
    let mut user = user(&number.to_string());
    let alice = alice();
    user.password_hash = alice.password_hash;
    user.scopes = alice.scopes;
    user.tokens_valid_from = alice.tokens_valid_from;
    user
}
