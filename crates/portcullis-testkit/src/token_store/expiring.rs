//! Housekeeping takes the dead and leaves the living.

use portcullis_core::Claims;
use portcullis_core::store::{TokenHash, TokenStore};

use super::{IN_2100, claims, is_absent, is_stored};
use crate::property::{at, equal};
use crate::suite::{Outcome, Subject, Violation};

/// `delete_expired` takes tokens with `exp` at or before the given time, no more than it may and
/// all of them if it may, counts them, and takes no others.
///
/// A store may take the expired by itself; so may it leave alone what will expire one day, even
/// if told that this day has come.
///
/// # Errors
/// How the property was violated.
pub async fn delete_expired_takes_only_what_has_expired(
    subject: &Subject<dyn TokenStore>,
) -> Outcome {
    let store = subject.handle();
    let [first, last, in_2100, later] = [100, 200, IN_2100, IN_2100 + 1]
        .map(|exp| (TokenHash::of(&exp.to_string()), good_until(exp)));
    let tokens = [&first, &last, &in_2100, &later];
    for (hash, claims) in tokens {
        store.insert(hash, claims).await?;
    }
    is_stored(subject, &in_2100.0, &in_2100.1).await?;

    deletes(subject, 200, 1, &tokens).await?;
    deletes(subject, 200, 2, &tokens).await?;
    is_absent(subject, &first.0).await?;
    is_absent(subject, &last.0).await?;
    is_stored(subject, &in_2100.0, &in_2100.1).await?;
    is_stored(subject, &later.0, &later.1).await?;

    deletes(subject, IN_2100, 10, &tokens).await?;
    is_stored(subject, &later.0, &later.1).await
}

/// Checks that as many go as are said to have gone, and no more than may.
async fn deletes(
    subject: &Subject<dyn TokenStore>,
    second: u64,
    limit: u32,
    tokens: &[&(TokenHash, Claims)],
) -> Outcome {
    let before = count(subject, tokens).await?;
    // To the last moment of that second: the next has not come.
    let now = at(second, 999_999);
    let deleted = subject.handle().delete_expired(now, limit).await?;
    let gone = before - count(subject, tokens).await?;
    equal("delete_expired", &deleted, &gone)?;
    equal("delete_expired, at most", &deleted.min(limit), &deleted)?;
    if deleted == limit {
        return Ok(());
    }
    let deleted = subject.handle().delete_expired(now, limit).await?;
    equal("delete_expired, made again", &deleted, &0)
}

async fn count(
    subject: &Subject<dyn TokenStore>,
    tokens: &[&(TokenHash, Claims)],
) -> Result<u32, Violation> {
    let mut found = 0;
    for (hash, _) in tokens {
        found += u32::from(subject.handle().find(hash).await?.is_some());
    }
    Ok(found)
}

fn good_until(exp: u64) -> Claims {
    let mut claims = claims("alice", &exp.to_string());
    claims.iat = at(1, 0);
    claims.exp = at(exp, 0);
    claims
}
