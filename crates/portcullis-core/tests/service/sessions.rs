//! Which tokens a change of password kills: a cut-off is compared by value, and no clock decides.

use std::time::{Duration, UNIX_EPOCH};

use portcullis_core::password::PasswordHash;
use portcullis_core::{CredentialStore, UserId};

use crate::house::{DAY, House, LOGIN, cookie, is_admitted, member, post};

const MICRO: Duration = Duration::from_micros(1);

/// Sets the password of ada to what it is, as far as clients can see.
async fn set_password(house: &House) {
    let hash = house.user("1").await.unwrap().password_hash.unwrap();
    let id = UserId::new("1");
    let set = house.users.set_password(&id, &hash, house.now());
    assert!(set.await.unwrap().is_some());
}

async fn log_in(house: &House) -> String {
    member(&post(&house.endpoint(), LOGIN).await, "access_token")
}

#[tokio::test]
async fn a_token_that_was_made_in_the_instant_of_a_change_is_on_one_side_of_it() {
    let house = House::new().await;
    let guard = house.guard();
    let mut tokens = vec![log_in(&house).await];
    // The clock stands still.
    for _ in 0..3 {
        set_password(&house).await;
        tokens.push(log_in(&house).await);
        let (last, older) = tokens.split_last().unwrap();
        assert!(is_admitted(&guard, last).await);
        for token in older {
            assert!(!is_admitted(&guard, token).await);
        }
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_neither_kills_a_token_nor_revives_one() {
    let house = House::new().await;
    let guard = house.guard();
    let before = log_in(&house).await;
    let now = house.now();
    set_password(&house).await;
    house.clock.set(now - Duration::from_secs(60));
    let after = log_in(&house).await;
    assert!(is_admitted(&guard, &after).await);
    assert!(!is_admitted(&guard, &before).await);

    // A change at the time that the clock now shows still comes after the one before.
    set_password(&house).await;
    assert!(!is_admitted(&guard, &after).await);
    assert!(is_admitted(&guard, &log_in(&house).await).await);
}

#[tokio::test]
async fn only_a_later_cut_off_kills() {
    let house = House::new().await;
    set_password(&house).await;
    let token = log_in(&house).await;
    let mut user = house.user("1").await.unwrap();
    let at_login = user.tokens_valid_from;
    // As of a store that was restored from a copy, or of another node.
    for (cut_off, is_good) in [
        (at_login, true),
        (at_login - MICRO, true),
        (at_login - DAY, true),
        (UNIX_EPOCH, true),
        (at_login + MICRO, false),
        (at_login + DAY, false),
    ] {
        house.users.delete(&user.user_id).await.unwrap();
        user.tokens_valid_from = cut_off;
        house.users.create(&user).await.unwrap();
        assert_eq!(
            is_admitted(&house.guard(), &token).await,
            is_good,
            "{cut_off:?}"
        );
    }
}

#[tokio::test]
async fn a_login_that_was_checked_before_a_change_is_as_old_as_its_look_up() {
    let house = House::new().await;
    house.hasher.hold();
    let endpoint = house.by_cookie();
    let change = async {
        house.hasher.wait_for_work();
        let hash = PasswordHash::new("$fake$1$");
        let id = UserId::new("1");
        let changed = house.users.set_password(&id, &hash, house.now());
        assert!(changed.await.unwrap().is_some());
        house.hasher.release();
    };
    let (login, ()) = tokio::join!(post(&endpoint, LOGIN), change);
    // The password was right when it was looked at; what comes of it is dead.
    assert_eq!(login.status(), 200);
    assert!(!is_admitted(&house.guard(), &member(&login, "access_token")).await);
    let sent = format!("refresh_token={}", cookie(&login, "refresh_token").unwrap());
    let refreshed = endpoint.handle_refresh([sent.as_bytes()], None).await;
    assert_eq!(refreshed.status(), 401);
}

#[tokio::test]
async fn a_refresh_token_from_before_a_change_is_dead_whatever_the_clock_says() {
    let house = House::new().await;
    let endpoint = house.by_cookie();
    for back in [Duration::ZERO, MICRO, DAY] {
        let login = post(&endpoint, LOGIN).await;
        let sent = format!("refresh_token={}", cookie(&login, "refresh_token").unwrap());
        house.clock.set(house.now() - back);
        set_password(&house).await;
        let refreshed = endpoint.handle_refresh([sent.as_bytes()], None).await;
        assert_eq!(refreshed.status(), 401, "{back:?}");
        let login = post(&endpoint, LOGIN).await;
        let sent = format!("refresh_token={}", cookie(&login, "refresh_token").unwrap());
        let refreshed = endpoint.handle_refresh([sent.as_bytes()], None).await;
        assert_eq!(refreshed.status(), 200, "{back:?}");
        let token = member(&refreshed, "access_token");
        assert!(is_admitted(&house.guard(), &token).await);
    }
}
