//! Tokens come into being once, and whole.

use portcullis_core::store::{TokenHash, TokenStore};
use portcullis_core::{Error, ErrorKind, UserId};

use super::{alice, claims, is_absent, is_stored};
use crate::property::{equal, fails, race};
use crate::suite::{Outcome, Subject};

/// A token that does not exist is found by nothing, and revoked by nothing.
///
/// # Errors
/// How the property was violated.
pub async fn absent_is_none(subject: &Subject<dyn TokenStore>) -> Outcome {
    let store = subject.handle();
    let (one, other) = (TokenHash::of("one"), TokenHash::of("other"));
    store.insert(&one, &alice()).await?;

    is_absent(subject, &other).await?;
    equal("revoke", &store.revoke(&other).await?, &false)?;
    let revoked = store.revoke_all(&UserId::new("bob")).await?;
    equal("revoke_all", &revoked, &0)?;
    is_absent(subject, &other).await?;
    is_stored(subject, &one, &alice()).await
}

/// What was inserted is found again with all its claims.
///
/// # Errors
/// How the property was violated.
pub async fn insert_then_find_returns_it_whole(subject: &Subject<dyn TokenStore>) -> Outcome {
    let store = subject.handle();
    let (one, other) = (TokenHash::of("one"), TokenHash::of("other"));
    let bob = claims("bob", "first of bob");
    store.insert(&one, &alice()).await?;
    store.insert(&other, &bob).await?;
    is_stored(subject, &one, &alice()).await?;
    is_stored(subject, &other, &bob).await
}

/// A taken hash is `AlreadyExists`; the token that has it stays as it was.
///
/// # Errors
/// How the property was violated.
pub async fn insert_refuses_a_taken_hash(subject: &Subject<dyn TokenStore>) -> Outcome {
    let store = subject.handle();
    let hash = TokenHash::of("one");
    store.insert(&hash, &alice()).await?;
    for rival in [claims("bob", "rival"), alice()] {
        is_refused(&store.insert(&hash, &rival).await)?;
        is_stored(subject, &hash, &alice()).await?;
    }
    // Nothing of the rival is left behind.
    let revoked = store.revoke_all(&UserId::new("bob")).await?;
    equal("revoke_all", &revoked, &0)?;
    is_stored(subject, &hash, &alice()).await
}

/// Of many who insert one hash at the same time, one does, and its claims are those stored.
///
/// # Errors
/// How the property was violated.
pub async fn of_concurrent_inserts_of_a_hash_one_wins(
    subject: &Subject<dyn TokenStore>,
) -> Outcome {
    let hash = TokenHash::of("one");
    let rival = |number: usize| claims(&number.to_string(), "rival");
    let answers = race(subject, |handle, number| {
        let claims = rival(number);
        async move { handle.insert(&hash, &claims).await }
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
    is_stored(subject, &hash, &winners[0]).await
}

fn is_refused(answer: &Result<(), Error>) -> Outcome {
    fails("insert of a taken hash", answer, ErrorKind::AlreadyExists)
}
