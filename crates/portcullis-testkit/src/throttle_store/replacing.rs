//! What is written is written over what was read, or not at all.

use std::iter;

use portcullis_core::store::{ThrottleRecord, ThrottleStore};

use super::{in_2100, is_stored, key};
use crate::property::{Call, END_OF_9999, MOST_POLLS, RIVALS, abandon, at, equal, is_one_of, race};
use crate::suite::{Outcome, Subject, Violation};

/// A store that has no record finds none.
///
/// # Errors
/// How the property was violated.
pub async fn absent_is_none(subject: &Subject<dyn ThrottleStore>) -> Outcome {
    is_stored(subject, &key("ada"), None).await
}

/// `replace` changes what it was told is there, answers `false` if it is not, and touches no other
/// record.
///
/// # Errors
/// How the property was violated.
pub async fn replace_takes_only_what_is_there(subject: &Subject<dyn ThrottleStore>) -> Outcome {
    let (ada, eve) = (key("ada"), key("eve"));
    let [first, second, other] = ["1", "2", "other"].map(ThrottleRecord::new);
    let replace = async |key, old, new, expected| {
        let replaced = subject.handle().replace(key, old, new, in_2100()).await?;
        equal("replace", &replaced, &expected)
    };
    replace(&eve, None, &other, true).await?;

    replace(&ada, Some(&first), &second, false).await?;
    is_stored(subject, &ada, None).await?;
    replace(&ada, None, &first, true).await?;
    is_stored(subject, &ada, Some(&first)).await?;

    replace(&ada, None, &second, false).await?;
    replace(&ada, Some(&second), &other, false).await?;
    is_stored(subject, &ada, Some(&first)).await?;
    replace(&ada, Some(&first), &second, true).await?;
    is_stored(subject, &ada, Some(&second)).await?;
    // The same again is a change too.
    replace(&ada, Some(&second), &second, true).await?;
    is_stored(subject, &ada, Some(&second)).await?;

    is_stored(subject, &eve, Some(&other)).await
}

/// A record is any text of up to 2,048 bytes, and is compared as exactly that text.
///
/// # Errors
/// How the property was violated.
pub async fn records_are_kept_exactly(subject: &Subject<dyn ThrottleStore>) -> Outcome {
    let long: String = iter::repeat_n("\u{1d11e}", 512).collect();
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
    ];
    for (number, text) in texts.into_iter().enumerate() {
        let store = subject.handle();
        let (key, record) = (key(&number.to_string()), ThrottleRecord::new(text));
        let stored = store.replace(&key, None, &record, in_2100()).await?;
        equal("replace of nothing", &stored, &true)?;
        is_stored(subject, &key, Some(&record)).await?;
        for other in texts.into_iter().filter(|other| *other != text) {
            let other = ThrottleRecord::new(other);
            let replaced = store.replace(&key, Some(&other), &record, in_2100());
            equal("replace of another text", &replaced.await?, &false)?;
        }
        let replaced = store.replace(&key, Some(&record), &record, in_2100());
        equal("replace", &replaced.await?, &true)?;
    }
    Ok(())
}

/// A record may be kept until any time from 2100 to 9999, and one that says it has expired long ago
/// is no error.
///
/// # Errors
/// How the property was violated.
pub async fn times_are_kept_to_the_second(subject: &Subject<dyn ThrottleStore>) -> Outcome {
    let store = subject.handle();
    let record = ThrottleRecord::new("record");
    for (number, expires_at) in [in_2100(), at(END_OF_9999, 999_999)]
        .into_iter()
        .enumerate()
    {
        let key = key(&number.to_string());
        store.replace(&key, None, &record, expires_at).await?;
        is_stored(subject, &key, Some(&record)).await?;
        // Long before, it has not come.
        store.delete_expired(at(IN_2099, 0), 10).await?;
        is_stored(subject, &key, Some(&record)).await?;
    }
    for expires_at in [at(0, 0), at(0, 1), at(1, 0)] {
        let key = key("expired");
        let old = store.find(&key).await?;
        let replaced = store.replace(&key, old.as_ref(), &record, expires_at);
        equal("replace", &replaced.await?, &true)?;
        let found = store.find(&key).await?;
        is_one_of(found.as_ref(), [None, Some(&record)])?;
    }
    Ok(())
}

/// Of many who put a first record at the same time, one does, and it is that record that is there.
///
/// # Errors
/// How the property was violated.
pub async fn of_concurrent_first_records_one_stays(
    subject: &Subject<dyn ThrottleStore>,
) -> Outcome {
    let ada = key("ada");
    let record = |number: usize| ThrottleRecord::new(number.to_string());
    let answers = race(subject, |handle, number| {
        let record = record(number);
        async move { handle.replace(&ada, None, &record, in_2100()).await }
    })
    .await?;
    let mut winners = Vec::new();
    for (number, answer) in answers.into_iter().enumerate() {
        if answer? {
            winners.push(record(number));
        }
    }
    equal("the number of winners", &winners.len(), &1)?;
    is_stored(subject, &ada, Some(&winners[0])).await
}

/// Of many who each count one up, by reading and replacing until they succeed, none is lost.
///
/// # Errors
/// How the property was violated.
pub async fn no_concurrent_change_is_lost(subject: &Subject<dyn ThrottleStore>) -> Outcome {
    let ada = key("ada");
    let answers = race(subject, |handle, _| async move {
        // Each turn somebody succeeds, and so everybody within as many turns as there are rivals.
        for _ in 0..=RIVALS {
            let old = handle.find(&ada).await?;
            let new = count(old.as_ref())? + 1;
            let new = ThrottleRecord::new(new.to_string());
            if handle.replace(&ada, old.as_ref(), &new, in_2100()).await? {
                return Ok(());
            }
        }
        Err(Violation::new("replace fails though nobody else succeeds"))
    })
    .await?;
    for answer in answers {
        answer?;
    }
    let found = subject.handle().find(&ada).await?;
    equal("the count", &count(found.as_ref())?, &RIVALS)
}

/// An abandoned `replace` leaves the old record or the new one.
///
/// # Errors
/// How the property was violated.
pub async fn an_abandoned_replace_is_whole_or_nothing(
    subject: &Subject<dyn ThrottleStore>,
) -> Outcome {
    let store = subject.handle();
    let [old, new] = ["old", "new"].map(ThrottleRecord::new);
    for polls in 1..MOST_POLLS {
        let key = key(&polls.to_string());
        store.replace(&key, None, &old, in_2100()).await?;
        let call = store.replace(&key, Some(&old), &new, in_2100());
        let call = abandon(polls, call).await;
        let found = store.find(&key).await?;
        is_one_of(found.as_ref(), [Some(&old), Some(&new)])?;

        // Done already, or done now.
        store.replace(&key, Some(&old), &new, in_2100()).await?;
        is_stored(subject, &key, Some(&new)).await?;
        if call == Call::Finished {
            break;
        }
    }
    Ok(())
}

fn count(record: Option<&ThrottleRecord>) -> Result<usize, Violation> {
    record.map_or(Ok(0), |record| {
        let number = record.as_str().parse();
        number.map_err(|_| Violation::new("find gives a record that nobody put there"))
    })
}

/// 2099-01-01T00:00:00Z.
const IN_2099: u64 = 4_070_908_800;
