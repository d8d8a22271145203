//! Housekeeping takes what has expired and leaves the rest.

use portcullis_core::store::{ThrottleKey, ThrottleRecord, ThrottleStore};

use super::{IN_2100, is_stored, key};
use crate::property::{at, equal};
use crate::suite::{Outcome, Subject, Violation};

/// `delete_expired` takes records with `expires_at` at or before the given time, no more than it
/// may and all of them if it may, counts them, and takes no others. What counts is the time that
/// was said last.
///
/// A store may take the expired by itself; so may it leave alone what will expire one day, even
/// if told that this day has come.
///
/// # Errors
/// How the property was violated.
pub async fn delete_expired_takes_only_records_that_have_expired(
    subject: &Subject<dyn ThrottleStore>,
) -> Outcome {
    let store = subject.handle();
    let record = ThrottleRecord::new("record");
    let times = [100, 200, IN_2100, IN_2100 + 1];
    let keys = times.map(|second| key(&second.to_string()));
    for (key, second) in keys.iter().zip(times) {
        store.replace(key, None, &record, at(second, 0)).await?;
    }
    let kept_longer = key("kept longer");
    store
        .replace(&kept_longer, None, &record, at(IN_2100, 0))
        .await?;
    store
        .replace(&kept_longer, Some(&record), &record, at(IN_2100 + 1, 0))
        .await?;

    deletes(subject, 200, 1, &keys).await?;
    deletes(subject, 200, 2, &keys).await?;
    let [first, last, in_2100, later] = &keys;
    is_stored(subject, first, None).await?;
    is_stored(subject, last, None).await?;
    is_stored(subject, in_2100, Some(&record)).await?;

    deletes(subject, IN_2100, 10, &keys).await?;
    is_stored(subject, later, Some(&record)).await?;
    is_stored(subject, &kept_longer, Some(&record)).await
}

/// Checks that as many go as are said to have gone, and no more than may.
async fn deletes(
    subject: &Subject<dyn ThrottleStore>,
    second: u64,
    limit: u32,
    keys: &[ThrottleKey],
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

async fn count(
    subject: &Subject<dyn ThrottleStore>,
    keys: &[ThrottleKey],
) -> Result<u32, Violation> {
    let mut found = 0;
    for key in keys {
        found += u32::from(subject.handle().find(key).await?.is_some());
    }
    Ok(found)
}
