//! Families come into being once, and whole.

use std::iter;

use portcullis_core::store::{FamilyRecord, RefreshStore};
use portcullis_core::{Error, ErrorKind, UserId};

use super::{alice, ends_at, in_2100, insert, is_stored, key, replace, revoke};
use crate::property::{at, equal, fails, is_one_of, race};
use crate::suite::{Outcome, Subject};

/// A family that does not exist is found by nothing, replaced by nothing, and revoked by nothing.
///
/// # Errors
/// How the property was violated.
pub async fn absent_is_none(subject: &Subject<dyn RefreshStore>) -> Outcome {
    let store = subject.handle();
    insert(&*store, "one", &alice(), "record").await?;
    is_stored(subject, "other", None).await?;
    for old in ["", "record"] {
        let replaced = replace(&*store, "other", old, "new").await?;
        equal("replace", &replaced, &false)?;
    }
    equal("revoke", &revoke(&*store, "other").await?, &false)?;
    let revoked = store.revoke_all(&UserId::new("bob")).await?;
    equal("revoke_all", &revoked, &0)?;
    is_stored(subject, "other", None).await?;
    is_stored(subject, "one", Some("record")).await
}

/// A taken key is `AlreadyExists`; the family that has it stays as it was.
///
/// # Errors
/// How the property was violated.
pub async fn insert_refuses_a_taken_key(subject: &Subject<dyn RefreshStore>) -> Outcome {
    let store = subject.handle();
    insert(&*store, "one", &alice(), "record").await?;
    let bob = UserId::new("bob");
    for (rival, record) in [(&bob, "rival"), (&alice(), "record")] {
        is_refused(&insert(&*store, "one", rival, record).await)?;
        is_stored(subject, "one", Some("record")).await?;
    }
    // Nothing of the rival is left behind.
    equal("revoke_all", &store.revoke_all(&bob).await?, &0)?;
    is_stored(subject, "one", Some("record")).await
}

/// A record is any text, and is compared as exactly that text.
///
/// # Errors
/// How the property was violated.
pub async fn records_are_kept_exactly(subject: &Subject<dyn RefreshStore>) -> Outcome {
    let long: String = iter::repeat_n("\u{1d11e}", 5_000).collect();
    let longer = format!("{long} ");
    let texts = [
        "",
        " ",
        "a",
        "A",
        "a ",
        "null",
        "0",
        "1",
        "1.0",
        "\"",
        "'",
        "\\",
        "{\"a\":1}",
        "{ \"a\": 1 }",
        "é",
        "e\u{301}",
        &long,
        &longer,
    ];
    let store = subject.handle();
    for (number, text) in texts.into_iter().enumerate() {
        let name = number.to_string();
        insert(&*store, &name, &alice(), text).await?;
        is_stored(subject, &name, Some(text)).await?;
        for other in texts.into_iter().filter(|other| *other != text) {
            let replaced = replace(&*store, &name, other, text).await?;
            equal("replace of another text", &replaced, &false)?;
        }
        for new in texts {
            equal("replace", &replace(&*store, &name, text, new).await?, &true)?;
            is_stored(subject, &name, Some(new)).await?;
            equal("replace", &replace(&*store, &name, new, text).await?, &true)?;
        }
    }
    Ok(())
}

/// A family may be kept until any time from 2100 to 9999, and one that says it has expired long ago
/// is no error.
///
/// # Errors
/// How the property was violated.
pub async fn times_are_kept_to_the_second(subject: &Subject<dyn RefreshStore>) -> Outcome {
    let store = subject.handle();
    let record = FamilyRecord::new("record");
    let alice = alice();
    let insert = async |name: &str, expires_at, ends_at| {
        let key = key(name);
        store
            .insert(&key, &alice, &record, expires_at, ends_at)
            .await
    };
    for (name, expires_at, ends_at) in [
        ("for ever", ends_at(), ends_at()),
        ("short", in_2100(), in_2100()),
        ("shorter", in_2100(), ends_at()),
    ] {
        insert(name, expires_at, ends_at).await?;
        is_stored(subject, name, Some("record")).await?;
        // Long before, it has not come.
        store.delete_expired(at(IN_2099, 0), 10).await?;
        is_stored(subject, name, Some("record")).await?;
    }
    for (number, expires_at) in [at(0, 0), at(0, 1), at(1, 0)].into_iter().enumerate() {
        let [expired, kept] = ["expired", "kept"].map(|name| format!("{name} {number}"));
        insert(&expired, expires_at, at(1, 0)).await?;
        insert(&kept, in_2100(), in_2100()).await?;
        let key_of_kept = key(&kept);
        let replaced = store.replace(&key_of_kept, &record, &record, expires_at);
        equal("replace", &replaced.await?, &true)?;
        for name in [expired, kept] {
            let found = store.find(&key(&name)).await?;
            is_one_of(found.as_ref(), [None, Some(&record)])?;
        }
    }
    Ok(())
}

/// Of many who insert one key at the same time, one does, and its record is the one stored.
///
/// # Errors
/// How the property was violated.
pub async fn of_concurrent_inserts_of_a_key_one_wins(
    subject: &Subject<dyn RefreshStore>,
) -> Outcome {
    let answers = race(subject, |handle, number| async move {
        let (user, record) = (UserId::new(number.to_string()), number.to_string());
        insert(&*handle, "one", &user, &record).await
    })
    .await?;
    let mut winners = Vec::new();
    for (number, answer) in answers.iter().enumerate() {
        match answer {
            Ok(()) => winners.push(number.to_string()),
            refused => is_refused(refused)?,
        }
    }
    equal("the number of winners", &winners.len(), &1)?;
    is_stored(subject, "one", Some(&winners[0])).await?;
    // It is the winner's.
    let store = subject.handle();
    let revoked = store.revoke_all(&UserId::new(&*winners[0])).await?;
    equal("revoke_all", &revoked, &1)?;
    is_stored(subject, "one", None).await
}

fn is_refused(answer: &Result<(), Error>) -> Outcome {
    fails("insert of a taken key", answer, ErrorKind::AlreadyExists)
}

/// 2099-01-01T00:00:00Z.
const IN_2099: u64 = 4_070_908_800;
