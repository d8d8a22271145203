//! Tokens go once, at once, and no other goes with them.

use portcullis_core::store::{TokenHash, TokenStore};
use portcullis_core::{Claims, UserId};

use super::{alice, claims, is_absent, is_stored};
use crate::property::{RIVALS, equal, race, texts};
use crate::suite::{Outcome, Subject, Violation};

/// A revoked token is found by nobody any more; revoking it again finds none, and is no error.
///
/// # Errors
/// How the property was violated.
pub async fn revoke_is_at_once_and_idempotent(subject: &Subject<dyn TokenStore>) -> Outcome {
    let store = subject.handle();
    let (one, other) = (TokenHash::of("one"), TokenHash::of("other"));
    let second = claims("alice", "second");
    store.insert(&one, &alice()).await?;
    store.insert(&other, &second).await?;
    // Through all handles in turn: none of them may remember it.
    for _ in 0..3 {
        is_stored(subject, &one, &alice()).await?;
    }
    equal("the first revoke", &store.revoke(&one).await?, &true)?;
    for _ in 0..3 {
        is_absent(subject, &one).await?;
    }
    equal("the second revoke", &store.revoke(&one).await?, &false)?;
    is_absent(subject, &one).await?;
    is_stored(subject, &other, &second).await
}

/// Of many who revoke one token at the same time, one does.
///
/// # Errors
/// How the property was violated.
pub async fn of_concurrent_revokes_one_wins(subject: &Subject<dyn TokenStore>) -> Outcome {
    let hash = TokenHash::of("one");
    subject.handle().insert(&hash, &alice()).await?;
    let answers = race(
        subject,
        |handle, _| async move { handle.revoke(&hash).await },
    )
    .await?;

    let mut winners = 0;
    for revoked in answers {
        winners += usize::from(revoked?);
    }
    equal("the number of winners", &winners, &1)?;
    is_absent(subject, &hash).await
}

/// `revoke_all` takes all tokens of one user, who can be given new ones afterwards.
///
/// # Errors
/// How the property was violated.
pub async fn revoke_all_takes_all_of_one_user(subject: &Subject<dyn TokenStore>) -> Outcome {
    let store = subject.handle();
    let of_bob = TokenHash::of("of bob");
    let bob = claims("bob", "first of bob");
    store.insert(&of_bob, &bob).await?;
    for round in ["first", "second"] {
        let tokens = tokens_of_alice(round);
        for (hash, claims) in &tokens {
            store.insert(hash, claims).await?;
        }
        // One that is gone already is not counted.
        let [(revoked, _), left @ ..] = tokens.as_slice() else {
            return Err(Violation::new("there are no tokens"));
        };
        store.revoke(revoked).await?;

        let revoked = store.revoke_all(&UserId::new("alice")).await?;
        equal("revoke_all", &revoked, &(left.len() as u64))?;
        for (hash, _) in &tokens {
            is_absent(subject, hash).await?;
        }
        let revoked = store.revoke_all(&UserId::new("alice")).await?;
        equal("revoke_all, made again", &revoked, &0)?;
        is_stored(subject, &of_bob, &bob).await?;
    }
    Ok(())
}

/// Users whose ids look alike are different users to `revoke_all`.
///
/// # Errors
/// How the property was violated.
pub async fn revoke_all_takes_the_exact_user(subject: &Subject<dyn TokenStore>) -> Outcome {
    let store = subject.handle();
    let mut tokens = Vec::new();
    for (number, text) in texts(subject).into_iter().enumerate() {
        let (hash, claims) = numbered(&text, number);
        store.insert(&hash, &claims).await?;
        tokens.push((hash, claims));
    }
    while let Some((hash, claims)) = tokens.pop() {
        let revoked = store.revoke_all(&claims.sub).await?;
        equal("revoke_all", &revoked, &1)?;
        is_absent(subject, &hash).await?;
        for (hash, claims) in &tokens {
            is_stored(subject, hash, claims).await?;
        }
    }
    Ok(())
}

/// Tokens that one user is given at the same time are all there, and all go.
///
/// # Errors
/// How the property was violated.
pub async fn revoke_all_misses_no_concurrent_insert(subject: &Subject<dyn TokenStore>) -> Outcome {
    let answers = race(subject, |handle, number| {
        let (hash, claims) = numbered("alice", number);
        async move { handle.insert(&hash, &claims).await }
    })
    .await?;
    for answer in answers {
        answer?;
    }
    let revoked = subject.handle().revoke_all(&UserId::new("alice")).await?;
    equal("revoke_all", &revoked, &(RIVALS as u64))?;
    for number in 0..RIVALS {
        is_absent(subject, &numbered("alice", number).0).await?;
    }
    Ok(())
}

fn tokens_of_alice(round: &str) -> Vec<(TokenHash, Claims)> {
    (0..10)
        .map(|number| {
            let jti = format!("{round} {number}");
            (TokenHash::of(&jti), claims("alice", &jti))
        })
        .collect()
}

fn numbered(sub: &str, number: usize) -> (TokenHash, Claims) {
    let number = number.to_string();
    (TokenHash::of(&number), claims(sub, &number))
}
