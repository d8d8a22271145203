//! A call whose caller goes away has happened or has not; in neither case is anything stuck.
//!
//! Each property abandons a call at its first wait, then at its second, and so on until it runs
//! through. A backend may still be at work on a call that was abandoned, so what is seen right
//! after it may be either state, and making the same call again must lead to the second.

use portcullis_core::store::{TokenHash, TokenStore};
use portcullis_core::{Claims, ErrorKind};

use super::{alice, claims, is_absent, is_stored};
use crate::property::{Call, MOST_POLLS, abandon, is_one_of};
use crate::suite::{Outcome, Subject};

/// An abandoned `insert` leaves the whole token or none.
///
/// # Errors
/// How the property was violated.
pub async fn an_abandoned_insert_is_whole_or_nothing(subject: &Subject<dyn TokenStore>) -> Outcome {
    let store = subject.handle();
    for polls in 1..MOST_POLLS {
        let (hash, claims) = like_alice(polls);
        let call = abandon(polls, store.insert(&hash, &claims)).await;
        let found = store.find(&hash).await?;
        is_one_of(found.as_ref(), [None, Some(&claims)])?;

        match store.insert(&hash, &claims).await {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
            _ => is_stored(subject, &hash, &claims).await?,
        }
        if call == Call::Finished {
            break;
        }
    }
    Ok(())
}

/// An abandoned `revoke` leaves the whole token or none.
///
/// # Errors
/// How the property was violated.
pub async fn an_abandoned_revoke_is_whole_or_nothing(subject: &Subject<dyn TokenStore>) -> Outcome {
    let store = subject.handle();
    for polls in 1..MOST_POLLS {
        let (hash, claims) = like_alice(polls);
        store.insert(&hash, &claims).await?;
        let call = abandon(polls, store.revoke(&hash)).await;
        let found = store.find(&hash).await?;
        is_one_of(found.as_ref(), [None, Some(&claims)])?;

        store.revoke(&hash).await?;
        is_absent(subject, &hash).await?;
        if call == Call::Finished {
            break;
        }
    }
    Ok(())
}

/// An abandoned `revoke_all` leaves each token whole or not at all; the next takes the rest.
///
/// # Errors
/// How the property was violated.
pub async fn an_abandoned_revoke_all_can_be_made_again(
    subject: &Subject<dyn TokenStore>,
) -> Outcome {
    let store = subject.handle();
    let of_bob = TokenHash::of("of bob");
    let bob = claims("bob", "first of bob");
    store.insert(&of_bob, &bob).await?;
    for polls in 1..MOST_POLLS {
        let tokens = [1, 2, 3].map(|number| like_alice(10 * polls + number));
        for (hash, claims) in &tokens {
            store.insert(hash, claims).await?;
        }
        let call = abandon(polls, store.revoke_all(&alice().sub)).await;
        for (hash, claims) in &tokens {
            let found = store.find(hash).await?;
            is_one_of(found.as_ref(), [None, Some(claims)])?;
        }

        store.revoke_all(&alice().sub).await?;
        for (hash, _) in &tokens {
            is_absent(subject, hash).await?;
        }
        is_stored(subject, &of_bob, &bob).await?;
        if call == Call::Finished {
            break;
        }
    }
    Ok(())
}

fn like_alice(number: usize) -> (TokenHash, Claims) {
    let mut claims = alice();
    claims.jti = number.to_string();
    (TokenHash::of(&claims.jti), claims)
}
