//! What is written is written over what was read, or not at all.

use portcullis_core::store::RefreshStore;

use super::{alice, insert, is_stored, replace};
use crate::property::{equal, race};
use crate::suite::{Outcome, Subject};

/// `replace` changes what it was told is there, answers `false` if it is not, and touches no other
/// family.
///
/// # Errors
/// How the property was violated.
pub async fn replace_takes_only_what_is_there(subject: &Subject<dyn RefreshStore>) -> Outcome {
    let change = async |old, new, expected| {
        let replaced = replace(&*subject.handle(), "one", old, new).await?;
        equal("replace", &replaced, &expected)
    };
    for name in ["one", "other"] {
        insert(&*subject.handle(), name, &alice(), "first").await?;
    }
    change("second", "third", false).await?;
    is_stored(subject, "one", Some("first")).await?;
    change("first", "second", true).await?;
    is_stored(subject, "one", Some("second")).await?;
    change("first", "second", false).await?;
    // The same again is a change too.
    change("second", "second", true).await?;
    is_stored(subject, "one", Some("second")).await?;
    is_stored(subject, "other", Some("first")).await
}

/// Of many who replace the same record at the same time, one does, and it is its record that is
/// there.
///
/// # Errors
/// How the property was violated.
pub async fn of_concurrent_replaces_one_wins(subject: &Subject<dyn RefreshStore>) -> Outcome {
    insert(&*subject.handle(), "one", &alice(), "old").await?;
    let answers = race(subject, |handle, number| async move {
        replace(&*handle, "one", "old", &number.to_string()).await
    })
    .await?;
    let mut winners = Vec::new();
    for (number, answer) in answers.into_iter().enumerate() {
        if answer? {
            winners.push(number.to_string());
        }
    }
    equal("the number of winners", &winners.len(), &1)?;
    is_stored(subject, "one", Some(&winners[0])).await
}
