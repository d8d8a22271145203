//! What one user has is found, and nothing else.

use portcullis_core::UserId;
use portcullis_core::store::{FamilyRecord, RefreshStore};

use super::{alice, insert, key, replace, revoke};
use crate::property::{equal, texts};
use crate::suite::{Outcome, Subject};

/// `list` finds the families of exactly one user, each as it was last put there, and none that is gone.
///
/// # Errors
/// How the property was violated.
pub async fn list_finds_what_one_user_has(subject: &Subject<dyn RefreshStore>) -> Outcome {
    let store = subject.handle();
    equal("list of nobody", &store.list(&alice(), 10).await?, &vec![])?;
    let users = texts(subject);
    for (number, user) in users.iter().enumerate() {
        let user = UserId::new(&**user);
        insert(&*store, &number.to_string(), &user, "record").await?;
        insert(&*store, &format!("gone {number}"), &user, "record").await?;
        revoke(&*store, &format!("gone {number}")).await?;
    }
    replace(&*store, "0", "record", "new").await?;
    for (number, user) in users.iter().enumerate() {
        let record = FamilyRecord::new(if number == 0 { "new" } else { "record" });
        let listed = store.list(&UserId::new(&**user), 10).await?;
        equal("list", &listed, &vec![(key(&number.to_string()), record)])?;
    }
    Ok(())
}

/// `list` finds as many as it is asked for, however many there are.
///
/// # Errors
/// How the property was violated.
pub async fn list_finds_no_more_than_the_limit(subject: &Subject<dyn RefreshStore>) -> Outcome {
    let store = subject.handle();
    for number in 0..HUNDREDS {
        insert(&*store, &number.to_string(), &alice(), "record").await?;
    }
    for (limit, expected) in [(0, 0), (1, 1), (299, 299), (300, 300), (1_000, 300)] {
        let mut listed = store.list(&alice(), limit).await?;
        listed.sort_by_key(|(key, _)| *key);
        listed.dedup();
        equal("the length of a list", &listed.len(), &expected)?;
    }
    Ok(())
}

/// More than the backends here go through at a time.
const HUNDREDS: u32 = 300;
