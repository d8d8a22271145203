//! Users change in one step each, and only as asked.

use std::sync::Arc;

use portcullis_core::password::PasswordHash;
use portcullis_core::store::UserStatus;
use portcullis_core::{Credential, CredentialStore, Error};

use super::{alice, is_stored, user};
use crate::property::{RIVALS, at, equal, race, race_of};
use crate::suite::{Outcome, Subject};

/// `replace_hash` swaps the hash it expects, byte for byte, and touches nothing else.
///
/// # Errors
/// How the property was violated.
pub async fn replace_hash_swaps_only_the_expected_hash(
    subject: &Subject<dyn CredentialStore>,
) -> Outcome {
    let store = subject.handle();
    let (alice, bob) = (alice(), user("bob").with_password_hash(hash("$old$")));
    store.create(&alice).await?;
    store.create(&bob).await?;

    for other in ["", "$OLD$", "$old$ ", "$old", "$old$\0", "%", "$new$"] {
        let swapped = store
            .replace_hash(&alice.user_id, &hash(other), &hash("$new$"))
            .await?;
        equal("replace_hash of another hash", &swapped, &false)?;
        is_stored(subject, &alice).await?;
    }

    let swapped = store
        .replace_hash(&alice.user_id, &hash("$old$"), &hash("$new$"))
        .await?;
    equal("replace_hash of the stored hash", &swapped, &true)?;
    is_stored(subject, &with_hash(&alice, "$new$")).await?;
    is_stored(subject, &bob).await
}

/// `replace_hash` does nothing to a user without a password.
///
/// # Errors
/// How the property was violated.
pub async fn replace_hash_needs_a_hash(subject: &Subject<dyn CredentialStore>) -> Outcome {
    let store = subject.handle();
    let bob = user("bob");
    store.create(&bob).await?;
    for old in ["", "NULL", "$old$"] {
        let swapped = store
            .replace_hash(&bob.user_id, &hash(old), &hash("$new$"))
            .await?;
        equal("replace_hash of no hash", &swapped, &false)?;
    }
    is_stored(subject, &bob).await
}

/// Of many who replace one hash at the same time, one does, and its hash is the one stored.
///
/// # Errors
/// How the property was violated.
pub async fn of_concurrent_replace_hashes_one_wins(
    subject: &Subject<dyn CredentialStore>,
) -> Outcome {
    let store = subject.handle();
    let alice = alice();
    store.create(&alice).await?;
    let answers = race(subject, |handle, rival| {
        let user_id = alice.user_id.clone();
        async move {
            handle
                .replace_hash(&user_id, &hash("$old$"), &hash(&rival.to_string()))
                .await
        }
    })
    .await?;

    let mut winners = Vec::new();
    for (rival, swapped) in answers.into_iter().enumerate() {
        if swapped? {
            winners.push(rival);
        }
    }
    equal("the number of winners", &winners.len(), &1)?;
    is_stored(subject, &with_hash(&alice, &winners[0].to_string())).await
}

/// A rehash that meets a password change never undoes it, whichever comes first.
///
/// # Errors
/// How the property was violated.
pub async fn a_password_change_beats_a_rehash(subject: &Subject<dyn CredentialStore>) -> Outcome {
    let store = subject.handle();
    let alice = alice();
    store.create(&alice).await?;
    let changed = Arc::new(changed(&alice));
    let answers = race(subject, |handle, rival| {
        let changed = Arc::clone(&changed);
        async move {
            if rival == RIVALS / 2 {
                let stamp = changed.tokens_valid_from;
                let set = handle
                    .set_password(&changed.user_id, &hash("$new$"), stamp)
                    .await?;
                return equal("set_password", &set, &Some(stamp));
            }
            handle
                .replace_hash(&changed.user_id, &hash("$old$"), &hash("$rehashed$"))
                .await?;
            Ok(())
        }
    })
    .await?;
    answers.into_iter().collect::<Outcome>()?;
    // Perhaps none came after the change.
    let late = store
        .replace_hash(&changed.user_id, &hash("$old$"), &hash("$rehashed$"))
        .await?;
    equal("replace_hash", &late, &false)?;
    is_stored(subject, &changed).await
}

/// `change_password` swaps the hash it expects, byte for byte, ends the older tokens, and touches
/// nothing else.
///
/// # Errors
/// How the property was violated.
pub async fn change_password_swaps_only_the_expected_hash(
    subject: &Subject<dyn CredentialStore>,
) -> Outcome {
    let store = subject.handle();
    let (alice, bob) = (alice(), user("bob").with_password_hash(hash("$old$")));
    store.create(&alice).await?;
    store.create(&bob).await?;
    let after = changed(&alice);
    let now = after.tokens_valid_from;

    for other in ["", "$OLD$", "$old$ ", "$old", "$old$\0", "%", "$new$"] {
        let cut_off = store
            .change_password(&alice.user_id, &hash(other), &hash("$new$"), now)
            .await?;
        equal("change_password of another hash", &cut_off, &None)?;
        is_stored(subject, &alice).await?;
    }

    let cut_off = store
        .change_password(&alice.user_id, &hash("$old$"), &hash("$new$"), now)
        .await?;
    equal("change_password of the stored hash", &cut_off, &Some(now))?;
    is_stored(subject, &after).await?;
    is_stored(subject, &bob).await
}

/// `change_password` does nothing to a user without a password.
///
/// # Errors
/// How the property was violated.
pub async fn change_password_needs_a_hash(subject: &Subject<dyn CredentialStore>) -> Outcome {
    let store = subject.handle();
    let bob = user("bob");
    store.create(&bob).await?;
    for old in ["", "NULL", "$old$"] {
        let cut_off = store
            .change_password(&bob.user_id, &hash(old), &hash("$new$"), at(1, 0))
            .await?;
        equal("change_password of no hash", &cut_off, &None)?;
    }
    is_stored(subject, &bob).await
}

/// Of two, or many, who change or rehash one password at the same time, one does: its hash is the one
/// stored, and the cut-off is where it was told.
///
/// # Errors
/// How the property was violated.
pub async fn of_concurrent_password_changes_one_wins(
    subject: &Subject<dyn CredentialStore>,
) -> Outcome {
    let store = subject.handle();
    for (rivals, rehash_every) in [(2, 3), (2, 2), (64, 65), (64, 2)] {
        let mut user = user(&format!("{rivals} {rehash_every}"));
        user.password_hash = Some(hash("$old$"));
        user.tokens_valid_from = at(1_700_000_000, 0);
        store.create(&user).await?;
        let answers = race_of(rivals, subject, |handle, rival| {
            let (user_id, stands) = (user.user_id.clone(), user.tokens_valid_from);
            async move {
                let (old, new) = (hash("$old$"), hash(&rival.to_string()));
                if rival % rehash_every == rehash_every - 1 {
                    let swapped = handle.replace_hash(&user_id, &old, &new).await?;
                    return Ok(swapped.then_some(stands));
                }
                handle.change_password(&user_id, &old, &new, stands).await
            }
        })
        .await?;

        let mut winners = Vec::new();
        for (rival, answer) in answers.into_iter().enumerate() {
            let cut_off: Result<_, Error> = answer;
            winners.extend(cut_off?.map(|cut_off| (rival, cut_off)));
        }
        equal("the number of winners", &winners.len(), &1)?;
        let (winner, cut_off) = winners[0];
        if winner % rehash_every != rehash_every - 1 {
            equal("the winner's cut-off", &cut_off, &at(1_700_000_000, 1))?;
        }
        user.tokens_valid_from = cut_off;
        is_stored(subject, &with_hash(&user, &winner.to_string())).await?;
    }
    Ok(())
}

/// `set_password` sets the hash and ends the older tokens, and touches nothing else.
///
/// # Errors
/// How the property was violated.
pub async fn set_password_sets_hash_and_tokens_valid_from(
    subject: &Subject<dyn CredentialStore>,
) -> Outcome {
    let store = subject.handle();
    let (alice, bob) = (alice(), user("bob").with_password_hash(hash("$old$")));
    store.create(&alice).await?;
    store.create(&bob).await?;
    let changed = changed(&alice);
    let set = store
        .set_password(&alice.user_id, &hash("$new$"), changed.tokens_valid_from)
        .await?;
    equal("set_password", &set, &Some(changed.tokens_valid_from))?;
    is_stored(subject, &changed).await?;
    is_stored(subject, &bob).await
}

/// `set_password` gives a password to a user who had none.
///
/// # Errors
/// How the property was violated.
pub async fn set_password_gives_a_first_password(
    subject: &Subject<dyn CredentialStore>,
) -> Outcome {
    let store = subject.handle();
    let bob = user("bob");
    store.create(&bob).await?;
    let changed = changed(&bob);
    let set = store
        .set_password(&bob.user_id, &hash("$new$"), changed.tokens_valid_from)
        .await?;
    equal("set_password", &set, &Some(changed.tokens_valid_from))?;
    is_stored(subject, &changed).await
}

/// `set_status` disables and enables, says whether there was a user even if the status was the
/// same already, and touches nothing else.
///
/// # Errors
/// How the property was violated.
pub async fn set_status_changes_only_the_status(subject: &Subject<dyn CredentialStore>) -> Outcome {
    let store = subject.handle();
    let (mut alice, bob) = (alice(), user("bob"));
    store.create(&alice).await?;
    store.create(&bob).await?;
    let (disabled, enabled) = (UserStatus::Disabled, UserStatus::Enabled);
    for status in [disabled, enabled, enabled, disabled] {
        let set = store.set_status(&alice.user_id, status).await?;
        equal("set_status", &set, &true)?;
        alice.status = status;
        is_stored(subject, &alice).await?;
        is_stored(subject, &bob).await?;
    }
    Ok(())
}

fn changed(user: &Credential) -> Credential {
    let mut changed = with_hash(user, "$new$");
    changed.tokens_valid_from = at(1_700_000_000, 654_321);
    changed
}

fn with_hash(user: &Credential, new: &str) -> Credential {
    user.clone().with_password_hash(hash(new))
}

fn hash(hash: &str) -> PasswordHash {
    PasswordHash::new(hash)
}
