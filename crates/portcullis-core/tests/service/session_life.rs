//! Logins that go on: what ends them, who sees them, and how many there may be.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use portcullis_core::cookie::TokenCookie;
use portcullis_core::endpoint::LoginRequest;
use portcullis_core::refresh::RefreshPolicy;
use portcullis_core::responder::Reply;
use portcullis_core::{RefreshTransport, TokenEndpoint, UserId};

use crate::house::{ABROAD, FORM, House, LOGIN, cookie, is_admitted, member, post, post_from};

/// Its access token, and the cookie with its refresh token.
fn of(login: &Reply) -> (String, String) {
    let refresh = cookie(login, "refresh_token").unwrap();
    (
        member(login, "access_token"),
        format!("refresh_token={refresh}"),
    )
}

#[tokio::test]
async fn what_ends_a_login_ends_its_access_tokens_at_once_and_no_others() {
    let house = House::new().await;
    let endpoint = house.by_cookie();
    let in_body = house.in_body();
    let guard = house.guard().with_sessions(house.refresh_tokens.clone());
    let ada = UserId::new("1");
    for way in ["log out", "revoke", "reuse", "end session", "all"] {
        let (other, _) = of(&post(&endpoint, LOGIN).await);
        let (first, sent) = of(&post(&endpoint, LOGIN).await);
        house.clock.advance(Duration::from_secs(1));
        let (second, next) = of(&endpoint.handle_refresh([sent.as_bytes()], None).await);
        for token in [&other, &first, &second] {
            assert!(is_admitted(&guard, token).await);
        }
        match way {
            "log out" => {
                let reply = endpoint.handle_log_out([next.as_bytes()], None).await;
                assert_eq!(reply.status(), 204);
            }
            "revoke" => {
                let token = next.replace("refresh_token", "token");
                let request = LoginRequest::new(Some(FORM), token.as_bytes());
                assert_eq!(in_body.handle_revoke(request).await.status(), 200);
            }
            "reuse" => {
                house.clock.advance(Duration::from_secs(10));
                let reply = endpoint.handle_refresh([sent.as_bytes()], None).await;
                assert_eq!(reply.status(), 401);
            }
            "end session" => {
                let sessions = house.accounts().sessions(&ada).await.unwrap();
                // The last one used.
                let id = &sessions[0].id;
                assert!(house.accounts().end_session(&ada, id).await.unwrap());
                assert!(!house.accounts().end_session(&ada, id).await.unwrap());
            }
            _ => assert!(house.refresh_tokens.revoke_all(&ada).await.unwrap() > 1),
        }
        for token in [&first, &second] {
            assert!(!is_admitted(&guard, token).await, "{way}");
        }
        assert_eq!(is_admitted(&guard, &other).await, way != "all", "{way}");
    }
    // A login that has no session to end is not asked for.
    let (access, _) = (
        member(&post(&house.endpoint(), LOGIN).await, "access_token"),
        (),
    );
    assert!(is_admitted(&guard, &access).await);
}

#[tokio::test]
async fn an_outage_of_the_sessions_is_no_bad_token() {
    let house = House::new().await;
    let guard = house.guard().with_sessions(house.refresh_tokens.clone());
    let (access, _) = of(&post(&house.by_cookie(), LOGIN).await);
    for step in 1..=3 {
        house.faults.fail_any(step);
        let authorization = format!("Bearer {access}");
        let refused = guard
            .check(Some(authorization.as_bytes()))
            .await
            .unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the access token could not be checked",
            "{step}"
        );
        assert!(!house.faults.heal());
    }
}

#[tokio::test]
async fn a_user_sees_their_sessions_and_ends_one_of_them() {
    let house = House::new().await;
    let endpoint = house.by_cookie();
    let (ada, eve) = (UserId::new("1"), UserId::new("2"));
    let begun = house.now();
    post(&endpoint, &format!("{LOGIN}&client_id=phone")).await;
    house.clock.advance(Duration::from_secs(60));
    let v6 = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 3, 4, 5, 6));
    let (_, sent) = of(&post_from(&endpoint, v6, LOGIN).await);
    house.clock.advance(Duration::from_secs(60));

    let sessions = house.accounts().sessions(&ada).await.unwrap();
    let [second, first] = sessions.try_into().unwrap();
    assert_eq!((first.begun_at, first.used_at), (begun, begun));
    assert_eq!(first.client_id.as_deref(), Some("phone"));
    assert_eq!(first.source.as_deref(), Some("198.51.100.0/24"));
    assert_eq!(second.begun_at, begun + Duration::from_secs(60));
    assert_eq!(second.client_id, None);
    assert_eq!(second.source.as_deref(), Some("2001:db8:1::/48"));

    // Used again, and from elsewhere.
    let refreshed = endpoint
        .handle_refresh([sent.as_bytes()], Some(ABROAD))
        .await;
    assert_eq!(refreshed.status(), 200);
    let used = house.accounts().sessions(&ada).await.unwrap().remove(0);
    assert_eq!(
        (used.id.as_str(), used.begun_at),
        (&*second.id, second.begun_at)
    );
    assert_eq!(used.used_at, begun + Duration::from_secs(120));
    assert_eq!(used.source.as_deref(), Some("198.51.100.0/24"));

    // Nobody else's, and nothing else.
    for (user, id) in [
        (&eve, &*first.id),
        (&ada, ""),
        (&ada, "x"),
        (&ada, &*"A".repeat(43)),
    ] {
        assert!(
            !house.accounts().end_session(user, id).await.unwrap(),
            "{id}"
        );
    }
    assert!(house.accounts().end_session(&ada, &first.id).await.unwrap());
    let left = house.accounts().sessions(&ada).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].id, second.id);
    assert!(house.accounts().sessions(&eve).await.unwrap().is_empty());
    // What has expired is none.
    house.clock.advance(Duration::from_secs(30 * 24 * 3600));
    assert!(house.accounts().sessions(&ada).await.unwrap().is_empty());
}

fn limited(house: &House, most: u32) -> TokenEndpoint {
    let mut policy = RefreshPolicy::default();
    policy.max_sessions = NonZeroU32::new(most);
    let tokens = house.refresh_tokens.clone().with_policy(policy).unwrap();
    let transport = RefreshTransport::Cookie(TokenCookie::refresh_token());
    house
        .endpoint()
        .with_refresh_tokens(tokens, transport)
        .unwrap()
}

#[tokio::test]
async fn the_oldest_sessions_end_where_there_are_too_many() {
    let house = House::new().await;
    let endpoint = limited(&house, 3);
    let mut sent = Vec::new();
    for n in 0..8 {
        house.clock.advance(Duration::from_secs(1));
        // More than three have begun before there was a limit.
        let endpoint = if n < 5 {
            house.by_cookie()
        } else {
            endpoint.clone()
        };
        sent.push(of(&post(&endpoint, LOGIN).await).1);
    }
    let mut statuses = Vec::new();
    for token in &sent {
        let reply = endpoint.handle_refresh([token.as_bytes()], None).await;
        statuses.push(reply.status());
    }
    assert_eq!(statuses, [401, 401, 401, 401, 401, 200, 200, 200]);
    // Where they cannot be listed the login succeeds all the same.
    house.faults.fail("families.list", 1);
    assert_eq!(post(&endpoint, LOGIN).await.status(), 200);
}

#[tokio::test]
async fn a_login_ends_the_session_whose_cookie_came_with_it() {
    let house = House::new().await;
    let endpoint = house.by_cookie();
    let (_, old) = of(&post(&endpoint, LOGIN).await);
    let (_, other) = of(&post(&endpoint, LOGIN).await);
    let cookies = [old.as_bytes()];
    let log_in = async |body: &str| {
        let request = LoginRequest::new(Some(FORM), body.as_bytes()).with_cookies(&cookies);
        endpoint.handle(request).await
    };
    // Who does not know the password ends nothing.
    assert_eq!(log_in("username=ada&password=wrong").await.status(), 401);
    let (_, old_again) = of(&endpoint.handle_refresh(cookies, None).await);
    assert_eq!(log_in(LOGIN).await.status(), 200);
    for (token, status) in [(&old_again, 401), (&other, 200)] {
        let reply = endpoint.handle_refresh([token.as_bytes()], None).await;
        assert_eq!(reply.status(), status);
    }
}
