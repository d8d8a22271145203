//! A cut-off only grows, whatever the clocks say, so that it tells older tokens from newer ones.

use std::time::{Duration, SystemTime};

use portcullis_core::password::PasswordHash;
use portcullis_core::{Credential, CredentialStore, Error};

use super::{alice, is_stored, user};
use crate::property::{END_OF_9999, RIVALS, at, equal, race};
use crate::suite::{Outcome, Subject};

/// `change_password` moves the cut-off to `now`, or to a microsecond after where it stands if that is
/// later, and returns it.
///
/// # Errors
/// How the property was violated.
pub async fn change_password_moves_the_cut_off_forward(
    subject: &Subject<dyn CredentialStore>,
) -> Outcome {
    let (old, new) = (PasswordHash::new("$old$"), PasswordHash::new("$new$"));
    moves_the_cut_off_forward(subject, &new, async |store, user, now| {
        store.change_password(&user.user_id, &old, &new, now).await
    })
    .await
}

/// `set_password` moves the cut-off to `now`, or to a microsecond after where it stands if that is
/// later, and returns it.
///
/// # Errors
/// How the property was violated.
pub async fn set_password_moves_the_cut_off_forward(
    subject: &Subject<dyn CredentialStore>,
) -> Outcome {
    let new = PasswordHash::new("$new$");
    moves_the_cut_off_forward(subject, &new, async |store, user, now| {
        store.set_password(&user.user_id, &new, now).await
    })
    .await
}

/// `end_sessions` moves the cut-off to `now`, or to a microsecond after where it stands if that is
/// later, and returns it. It leaves the password and all else as it is.
///
/// # Errors
/// How the property was violated.
pub async fn end_sessions_moves_the_cut_off_forward_and_nothing_else(
    subject: &Subject<dyn CredentialStore>,
) -> Outcome {
    let old = PasswordHash::new("$old$");
    moves_the_cut_off_forward(subject, &old, async |store, user, now| {
        store.end_sessions(&user.user_id, now).await
    })
    .await?;

    let (store, mut bob) = (subject.handle(), user("bob"));
    store.create(&bob).await?;
    bob.tokens_valid_from = at(1, 0);
    let ended = store.end_sessions(&bob.user_id, at(1, 0)).await?;
    equal("end_sessions without a password", &ended, &Some(at(1, 0)))?;
    is_stored(subject, &bob).await
}

/// Of many who move one cut-off at the same time, no two are told the same, and the last is stored.
///
/// # Errors
/// How the property was violated.
pub async fn concurrent_cut_offs_all_differ(subject: &Subject<dyn CredentialStore>) -> Outcome {
    let store = subject.handle();
    let mut alice = alice();
    store.create(&alice).await?;
    let (old, now) = (PasswordHash::new("$old$"), at(1_700_000_000, 0));
    let answers = race(subject, |handle, rival| {
        let (user_id, old) = (alice.user_id.clone(), old.clone());
        async move {
            match rival % 2 {
                0 => handle.end_sessions(&user_id, now).await,
                _ => handle.set_password(&user_id, &old, now).await,
            }
        }
    })
    .await?;

    let mut cut_offs = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
    cut_offs.sort_unstable();
    let expected: Vec<_> = (0..)
        .take(RIVALS)
        .map(|micros| Some(at(1_700_000_000, micros)))
        .collect();
    equal("moving the cut-off", &cut_offs, &expected)?;
    alice.tokens_valid_from = cut_offs.into_iter().flatten().max().unwrap_or(now);
    is_stored(subject, &alice).await
}

async fn moves_the_cut_off_forward(
    subject: &Subject<dyn CredentialStore>,
    hash_after: &PasswordHash,
    change: impl AsyncFn(
        &dyn CredentialStore,
        &Credential,
        SystemTime,
    ) -> Result<Option<SystemTime>, Error>,
) -> Outcome {
    let nanos = Duration::from_nanos;
    let long_ago = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    let far_off = at(END_OF_9999 + 1, 0);
    for (number, (stored, now, expected)) in [
        // A clock that is ahead, in step, behind.
        (
            at(1_700_000_000, 100),
            at(1_700_000_000, 102),
            (1_700_000_000, 102),
        ),
        (
            at(1_700_000_000, 100),
            at(1_700_000_000, 101),
            (1_700_000_000, 101),
        ),
        (
            at(1_700_000_000, 100),
            at(1_700_000_000, 100),
            (1_700_000_000, 101),
        ),
        (
            at(1_700_000_000, 100),
            at(1_700_000_000, 99),
            (1_700_000_000, 101),
        ),
        (
            at(1_700_000_000, 100),
            at(1_699_999_999, 999_999),
            (1_700_000_000, 101),
        ),
        (at(1_700_000_000, 100), at(0, 0), (1_700_000_000, 101)),
        (at(1_700_000_000, 100), long_ago, (1_700_000_000, 101)),
        // Less than a microsecond does not count.
        (
            at(1_700_000_000, 100),
            at(1_700_000_000, 100) + nanos(900),
            (1_700_000_000, 101),
        ),
        (
            at(1_700_000_000, 100),
            at(1_700_000_000, 101) + nanos(900),
            (1_700_000_000, 101),
        ),
        // A second is full.
        (at(1_700_000_000, 999_999), at(0, 0), (1_700_000_001, 0)),
        (at(9, 999_999), at(9, 999_999), (10, 0)),
        // Numbers, and not texts.
        (at(0, 0), at(0, 0), (0, 1)),
        (at(0, 9), at(0, 10), (0, 10)),
        (at(0, 10), at(0, 9), (0, 11)),
        // More than a floating-point number holds: the first is 2^53 microseconds.
        (
            at(9_007_199_254, 740_992),
            at(0, 0),
            (9_007_199_254, 740_993),
        ),
        (
            at(END_OF_9999, 999_997),
            at(END_OF_9999, 999_997),
            (END_OF_9999, 999_998),
        ),
        (
            at(END_OF_9999, 999_998),
            at(END_OF_9999, 999_997),
            (END_OF_9999, 999_999),
        ),
        // The end.
        (
            at(END_OF_9999, 999_999),
            at(END_OF_9999, 999_999),
            (END_OF_9999, 999_999),
        ),
        (at(END_OF_9999, 999_999), at(0, 0), (END_OF_9999, 999_999)),
        (at(0, 0), far_off, (END_OF_9999, 999_999)),
    ]
    .into_iter()
    .enumerate()
    {
        let mut user = like_alice(number);
        user.tokens_valid_from = stored;
        let store = subject.handle();
        store.create(&user).await?;
        let cut_off = change(store.as_ref(), &user, now).await?;
        let expected = at(expected.0, expected.1);
        equal("moving the cut-off", &cut_off, &Some(expected))?;
        user.tokens_valid_from = expected;
        is_stored(subject, &user.with_password_hash(hash_after.clone())).await?;
    }
    Ok(())
}

fn like_alice(number: usize) -> Credential {
    let mut user = user(&number.to_string());
    let alice = alice();
    user.password_hash = alice.password_hash;
    user.status = alice.status;
    user.scopes = alice.scopes;
    user
}
