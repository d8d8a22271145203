//! Text and time come back as they went in.

use std::time::Duration;

use portcullis_core::password::PasswordHash;
use portcullis_core::store::UserStatus;
use portcullis_core::{Credential, CredentialStore, UserId, Username};

use super::{is_absent, is_stored, user};
use crate::property::{END_OF_9999, all_texts, at, equal, texts};
use crate::suite::{Outcome, Subject};

/// Usernames that look alike are different users, whatever they are made of.
///
/// # Errors
/// How the property was violated.
pub async fn usernames_are_kept_exactly(subject: &Subject<dyn CredentialStore>) -> Outcome {
    are_distinct(subject, |number, text| {
        Credential::new(UserId::new(number.to_string()), Username::new(text))
    })
    .await
}

/// Ids that look alike are different users, whatever they are made of.
///
/// # Errors
/// How the property was violated.
pub async fn user_ids_are_kept_exactly(subject: &Subject<dyn CredentialStore>) -> Outcome {
    are_distinct(subject, |number, text| {
        Credential::new(UserId::new(text), Username::new(number.to_string()))
    })
    .await
}

/// A hash is any text; an empty one is not the same as none.
///
/// # Errors
/// How the property was violated.
pub async fn hashes_are_kept_exactly(subject: &Subject<dyn CredentialStore>) -> Outcome {
    let store = subject.handle();
    let mut alice = user("alice");
    store.create(&alice).await?;
    for text in texts(subject) {
        let hash = PasswordHash::new(text);
        let swapped = store.change_password(&alice.user_id, &hash, &hash, at(1, 0));
        equal("change_password of another hash", &swapped.await?, &None)?;
        let set = store.set_password(&alice.user_id, &hash, at(1, 0)).await?;
        alice.password_hash = Some(hash);
        alice.tokens_valid_from = set.unwrap_or(alice.tokens_valid_from);
        is_stored(subject, &alice).await?;
    }
    Ok(())
}

/// Scopes are any list of any texts, in their order.
///
/// # Errors
/// How the property was violated.
pub async fn scopes_are_kept_exactly(subject: &Subject<dyn CredentialStore>) -> Outcome {
    let store = subject.handle();
    let lists = [
        vec![],
        vec![String::new()],
        vec![String::new(), String::new()],
        vec!["b".to_owned(), "a".to_owned(), "b".to_owned()],
        vec!["a b".to_owned(), "a,b".to_owned(), "[\"a\"]".to_owned()],
        texts(subject),
    ];
    for (number, scopes) in lists.into_iter().enumerate() {
        let mut user = user(&number.to_string());
        user.scopes = scopes;
        store.create(&user).await?;
        is_stored(subject, &user).await?;
    }
    Ok(())
}

/// `tokens_valid_from` is kept to the microsecond, from 1970 to 9999.
///
/// # Errors
/// How the property was violated.
pub async fn tokens_valid_from_is_kept_to_the_microsecond(
    subject: &Subject<dyn CredentialStore>,
) -> Outcome {
    let store = subject.handle();
    for (number, time) in [
        at(0, 1),
        at(1_700_000_000, 999_999),
        at(u64::from(u32::MAX) + 1, 0),
        at(END_OF_9999, 999_999),
    ]
    .into_iter()
    .enumerate()
    {
        let mut moved = user(&format!("moved {number}"));
        store.create(&moved).await?;
        is_stored(subject, &moved).await?;
        let mut created = user(&format!("created {number}"));
        created.tokens_valid_from = time;
        moved.tokens_valid_from = time;
        // Less than a microsecond is dropped.
        let time = time + Duration::from_nanos(900);
        let mut given = created.clone();
        given.tokens_valid_from = time;
        store.create(&given).await?;
        is_stored(subject, &created).await?;

        let hash = PasswordHash::new("$new$");
        store.set_password(&moved.user_id, &hash, time).await?;
        is_stored(subject, &moved.with_password_hash(hash)).await?;
    }
    Ok(())
}

async fn are_distinct(
    subject: &Subject<dyn CredentialStore>,
    user: impl Fn(usize, String) -> Credential,
) -> Outcome {
    let store = subject.handle();
    let mut users = Vec::new();
    for (number, text) in all_texts().into_iter().enumerate() {
        let can_be = subject.holds(&text);
        let user = user(number, text);
        is_absent(subject, &user).await?;
        if !can_be {
            continue;
        }
        store.create(&user).await?;
        is_stored(subject, &user).await?;
        users.push(user);
    }
    while let Some(mut user) = users.pop() {
        let disabled = UserStatus::Disabled;
        store.set_status(&user.user_id, disabled).await?;
        user.status = disabled;
        is_stored(subject, &user).await?;
        let deleted = store.delete(&user.user_id).await?;
        equal("delete", &deleted, &true)?;
        is_absent(subject, &user).await?;
        for other in &users {
            is_stored(subject, other).await?;
        }
    }
    Ok(())
}
