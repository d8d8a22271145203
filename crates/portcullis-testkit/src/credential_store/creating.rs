//! Users come into being once, and whole.

use portcullis_core::password::PasswordHash;
use portcullis_core::store::UserStatus;
use portcullis_core::{Credential, CredentialStore, Error, ErrorKind, UserId, Username};

use super::{alice, is_absent, is_stored, user};
use crate::property::{at, equal, race};
use crate::suite::{Outcome, Subject, Violation};

/// A user who does not exist is found by nothing, and changed by nothing.
///
/// # Errors
/// How the property was violated.
pub async fn absent_is_none(subject: &Subject<dyn CredentialStore>) -> Outcome {
    let store = subject.handle();
    let (alice, bob) = (alice(), user("bob"));
    store.create(&alice).await?;
    let hash = PasswordHash::new("$new$");

    is_absent(subject, &bob).await?;
    let set = store.set_password(&bob.user_id, &hash, at(1, 0)).await?;
    equal("set_password", &set, &None)?;
    let changed = store
        .change_password(&bob.user_id, &hash, &hash, at(1, 0))
        .await?;
    equal("change_password", &changed, &None)?;
    let ended = store.end_sessions(&bob.user_id, at(1, 0)).await?;
    equal("end_sessions", &ended, &None)?;
    let set = store.set_status(&bob.user_id, UserStatus::Disabled).await?;
    equal("set_status", &set, &false)?;
    let swapped = store.replace_hash(&bob.user_id, &hash, &hash).await?;
    equal("replace_hash", &swapped, &false)?;
    let deleted = store.delete(&bob.user_id).await?;
    equal("delete", &deleted, &false)?;
    is_absent(subject, &bob).await?;
    is_stored(subject, &alice).await
}

/// What was created is found again with all its fields, by name and by id.
///
/// # Errors
/// How the property was violated.
pub async fn create_then_find_returns_it_whole(subject: &Subject<dyn CredentialStore>) -> Outcome {
    let store = subject.handle();
    let (alice, bob) = (alice(), user("bob"));
    store.create(&alice).await?;
    store.create(&bob).await?;
    is_stored(subject, &alice).await?;
    is_stored(subject, &bob).await
}

/// A taken username is `AlreadyExists`; the user who has it stays as it was.
///
/// # Errors
/// How the property was violated.
pub async fn create_refuses_a_taken_username(subject: &Subject<dyn CredentialStore>) -> Outcome {
    let store = subject.handle();
    let (alice, mut rival) = (alice(), user("bob"));
    rival.username = alice.username.clone();
    store.create(&alice).await?;
    is_refused(&store.create(&rival).await)?;
    is_stored(subject, &alice).await?;
    let found = store.find_by_id(&rival.user_id).await?;
    equal("find_by_id of the refused user", &found, &None)
}

/// A taken id is `AlreadyExists`; the user who has it stays as it was.
///
/// # Errors
/// How the property was violated.
pub async fn create_refuses_a_taken_user_id(subject: &Subject<dyn CredentialStore>) -> Outcome {
    let store = subject.handle();
    let (alice, mut rival) = (alice(), user("bob"));
    rival.user_id = alice.user_id.clone();
    store.create(&alice).await?;
    is_refused(&store.create(&rival).await)?;
    is_stored(subject, &alice).await?;
    let found = store.find(&rival.username).await?;
    equal("find of the refused user", &found, &None)
}

/// Of many who take one username at the same time, one gets it; the others leave nothing behind.
///
/// # Errors
/// How the property was violated.
pub async fn of_concurrent_creates_of_a_username_one_wins(
    subject: &Subject<dyn CredentialStore>,
) -> Outcome {
    one_creation_wins(subject, |rival| {
        Credential::new(UserId::new(rival.to_string()), Username::new("alice"))
    })
    .await
}

/// Of many who take one id at the same time, one gets it; the others leave nothing behind.
///
/// # Errors
/// How the property was violated.
pub async fn of_concurrent_creates_of_a_user_id_one_wins(
    subject: &Subject<dyn CredentialStore>,
) -> Outcome {
    one_creation_wins(subject, |rival| {
        Credential::new(UserId::new("alice"), Username::new(rival.to_string()))
    })
    .await
}

async fn one_creation_wins(
    subject: &Subject<dyn CredentialStore>,
    rival: impl Fn(usize) -> Credential,
) -> Outcome {
    let store = subject.handle();
    let answers = race(subject, |handle, number| {
        let rival = rival(number);
        async move { handle.create(&rival).await }
    })
    .await?;

    let mut winners = Vec::new();
    for (number, answer) in answers.iter().enumerate() {
        match answer {
            Ok(()) => winners.push(rival(number)),
            refused => is_refused(refused)?,
        }
    }
    equal("the number of winners", &winners.len(), &1)?;
    equal("list", &store.list(None, usize::MAX).await?, &winners)?;
    is_stored(subject, &winners[0]).await
}

fn is_refused(answer: &Result<(), Error>) -> Outcome {
    match answer {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        answer => Err(Violation::new(format!(
            "create of a taken name or id gives {answer:?}, not AlreadyExists"
        ))),
    }
}
