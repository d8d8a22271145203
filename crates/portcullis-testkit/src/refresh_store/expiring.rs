//! Housekeeping takes what has expired and leaves the rest.

use portcullis_core::store::{FamilyKey, FamilyRecord, RefreshStore};

use super::{IN_2100, alice, ends_at, is_stored, key};
use crate::property::{at, equal};
use crate::suite::{Outcome, Subject, Violation};

/// `delete_expired` takes families with `expires_at` at or before the given time, no more than it
/// may and all of them if it may, counts them, and takes no others. What counts is the time that
/// was said last, and not when the family is to end.
///
/// A store may take the expired by itself; so may it leave alone what will expire one day, even
/// if told that this day has come.
///
/// # Errors
/// How the property was violated.
pub async fn delete_expired_takes_only_what_has_expired(
    subject: &Subject<dyn RefreshStore>,
) -> Outcome {
    let store = subject.handle();
    let record = FamilyRecord::new("record");
    let times = [100, 200, IN_2100, IN_2100 + 1];
    let keys = times.map(|second| key(&second.to_string()));
    for (key, second) in keys.iter().zip(times) {
        store
            .insert(key, &alice(), &record, at(second, 0), ends_at())
            .await?;
    }
    let kept_longer = key("kept longer");
    store
        .insert(&kept_longer, &alice(), &record, at(IN_2100, 0), ends_at())
        .await?;
    store
        .replace(&kept_longer, &record, &record, at(IN_2100 + 1, 0))
        .await?;
    // Not the longest of the times that were said, either.
    let kept_shorter = key("kept shorter");
    store
        .insert(&kept_shorter, &alice(), &record, at(IN_2100, 0), ends_at())
        .await?;
    store
        .replace(&kept_shorter, &record, &record, at(150, 0))
        .await?;
    let keys = [&keys[..], &[kept_shorter]].concat();

    deletes(subject, 200, 1, &keys).await?;
    deletes(subject, 200, 3, &keys).await?;
    is_stored(subject, "100", None).await?;
    is_stored(subject, "200", None).await?;
    is_stored(subject, "kept shorter", None).await?;
    is_stored(subject, &IN_2100.to_string(), Some("record")).await?;

    deletes(subject, IN_2100, 10, &keys).await?;
    is_stored(subject, &(IN_2100 + 1).to_string(), Some("record")).await?;
    is_stored(subject, "kept longer", Some("record")).await
}

/// Checks that as many go as are said to have gone, and no more than may.
async fn deletes(
    subject: &Subject<dyn RefreshStore>,
    second: u64,
    limit: u32,
    keys: &[FamilyKey],
) -> Outcome {
    let before = count(subject, keys).await?;
    // To the last moment of that second: the next has not come.
    let now = at(second, 999_999);
    let deleted = subject.handle().delete_expired(now, limit).await?;
    let gone = before - count(subject, keys).await?;
    equal("delete_expired", &deleted, &gone)?;
    equal("delete_expired, at most", &deleted.min(limit), &deleted)?;
    if deleted == limit {
        return Ok(());
    }
    let deleted = subject.handle().delete_expired(now, limit).await?;
    equal("delete_expired, made again", &deleted, &0)
}

async fn count(subject: &Subject<dyn RefreshStore>, keys: &[FamilyKey]) -> Result<u32, Violation> {
    let mut found = 0;
    for key in keys {
        found += u32::from(subject.handle().find(key).await?.is_some());
    }
    Ok(found)
}
