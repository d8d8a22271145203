//! What the endpoint makes of tokens in a cookie.

use std::sync::Arc;
use std::time::Duration;

use portcullis_core::cookie::TokenCookie;
use portcullis_core::password::{Arena, PasswordHasher};
use portcullis_core::store::UserStatus;
use portcullis_core::{CredentialStore, ErrorKind, RefreshTransport, TokenEndpoint, UserId};
use portcullis_testkit::FakeHasher;

use crate::rig::*;

#[tokio::test]
async fn a_browser_keeps_the_token_in_a_cookie() {
    let site = Site::new();
    let endpoint = site.endpoint().await.unwrap();
    let reply = login(&endpoint, LOGIN).await;
    assert_eq!(
        text(&reply),
        r#"{"access_token":"1 for read,write","token_type":"bearer"}"#
    );
    let first = cookie(
        &reply,
        "; Max-Age=2592000; HttpOnly; SameSite=Strict; Secure",
    )
    .unwrap();

    let among_others = format!("a=b; refresh_token={first}; refresh_tokens=no");
    let reply = endpoint
        .handle_refresh([b"x=y".as_slice(), among_others.as_bytes()], None)
        .await;
    assert_eq!(reply.status(), 200);
    assert_eq!(
        text(&reply),
        r#"{"access_token":"1 for read,write","token_type":"bearer"}"#
    );
    let second = cookie(
        &reply,
        "; Max-Age=2592000; HttpOnly; SameSite=Strict; Secure",
    )
    .unwrap();
    assert_ne!(first, second);
    assert!(!format!("{reply:?}").contains(&second));

    let reply = endpoint
        .handle_log_out([format!("refresh_token={second}").as_bytes()], None)
        .await;
    assert_eq!((reply.status(), text(&reply)), (204, String::new()));
    assert_eq!(
        cookie(&reply, "; Max-Age=0; HttpOnly; SameSite=Strict; Secure").unwrap(),
        ""
    );

    let reply = endpoint
        .handle_refresh([format!("refresh_token={second}").as_bytes()], None)
        .await;
    assert_eq!(reply.status(), 401);
    assert_eq!(
        text(&reply),
        r#"{"detail":"Could not validate credentials"}"#
    );
    assert_eq!(header(&reply, "www-authenticate"), Some("Bearer"));
    assert_eq!(header(&reply, "set-cookie"), None);
    not_stored(&reply);
}

#[tokio::test]
async fn without_a_cookie_nobody_is_logged_in_and_everybody_can_log_out() {
    let endpoint = Site::new().endpoint().await.unwrap();
    for cookies in [
        Vec::new(),
        vec![b"".as_slice()],
        vec![
            b"refresh_token".as_slice(),
            b"refresh_token=; =x; Refresh_Token=1",
        ],
        vec![b"\xff=\xff".as_slice()],
    ] {
        let reply = endpoint.handle_refresh(cookies.iter().copied(), None).await;
        assert_eq!(reply.status(), 401);
        assert_eq!(text(&reply), r#"{"detail":"Not authenticated"}"#);
        assert_eq!(header(&reply, "set-cookie"), None);
        assert_eq!(endpoint.handle_log_out(cookies, None).await.status(), 204);
    }
}

#[tokio::test]
async fn no_cookie_hides_another() {
    let site = Site::new();
    let endpoint = site.endpoint().await.unwrap();
    let attributes = "; Max-Age=2592000; HttpOnly; SameSite=Strict; Secure";
    let log_in = async || cookie(&login(&endpoint, LOGIN).await, attributes).unwrap();
    let unknown = "A".repeat(64);
    let (one, other) = (log_in().await, log_in().await);
    let sent = |tokens: [&str; 3]| {
        tokens
            .map(|token| format!("refresh_token={token}"))
            .join("; ")
    };

    let reply = endpoint
        .handle_refresh([sent(["junk", &unknown, &one]).as_bytes()], None)
        .await;
    assert_eq!(reply.status(), 200);
    let one = cookie(&reply, attributes).unwrap();
    let reply = endpoint
        .handle_log_out([sent(["junk", &one, &other]).as_bytes()], None)
        .await;
    assert_eq!(reply.status(), 204);
    for token in [one, other] {
        assert_eq!(site.rotate(&token).await, None);
    }

    // A bound on what one request costs, which what can be no token does not count against.
    let good = log_in().await;
    let junk = "refresh_token=junk; ".repeat(4);
    let sent = format!("{junk}refresh_token={good}");
    assert_eq!(
        endpoint
            .handle_refresh([sent.as_bytes()], None)
            .await
            .status(),
        200
    );
    let good = log_in().await;
    for (others, status) in [(16, 400), (15, 200)] {
        let others = vec![format!("refresh_token={unknown}"); others].join("; ");
        let sent = format!("{others}; refresh_token={good}");
        let refreshed = endpoint.handle_refresh([sent.as_bytes()], None).await;
        assert_eq!(refreshed.status(), status);
    }
    // Nobody is told that they are logged out while a token that they sent is good.
    let good = log_in().await;
    for (others, status, is_good) in [(16, 400, true), (15, 204, false)] {
        let others = vec![format!("refresh_token={unknown}"); others].join("; ");
        let sent = format!("{others}; refresh_token={good}");
        let logged_out = endpoint.handle_log_out([sent.as_bytes()], None).await;
        assert_eq!(logged_out.status(), status);
        assert_eq!(site.tokens.look_up(&good).await.unwrap().is_some(), is_good);
    }
}

#[tokio::test]
async fn a_user_who_may_not_log_in_may_not_refresh() {
    let one = UserId::new("1");
    let hash = FakeHasher::new(1)
        .hash(b"another password", &mut Arena::new())
        .unwrap();
    for change in ["disable", "delete", "set password"] {
        let site = Site::new();
        let endpoint = site.endpoint().await.unwrap();
        let token = cookie(
            &login(&endpoint, LOGIN).await,
            "; Max-Age=2592000; HttpOnly; SameSite=Strict; Secure",
        )
        .unwrap();
        site.clock.advance(Duration::from_micros(1));
        let changed = match change {
            "disable" => site.users.set_status(&one, UserStatus::Disabled).await,
            "delete" => site.users.delete(&one).await,
            _ => {
                let now = site.clock_now();
                let cut_off = site.users.set_password(&one, &hash, now).await;
                cut_off.map(|cut_off| cut_off == Some(now))
            }
        };
        assert!(changed.unwrap());
        let reply = endpoint
            .handle_refresh([format!("refresh_token={token}").as_bytes()], None)
            .await;
        assert_eq!(reply.status(), 401, "{change}");
    }
}

#[tokio::test]
async fn what_fails_on_the_way_does_not_use_the_token_up() {
    let site = Site::new();
    let endpoint = site.endpoint().await.unwrap();
    let set = "; Max-Age=2592000; HttpOnly; SameSite=Strict; Secure";
    let first = cookie(&login(&endpoint, LOGIN).await, set).unwrap();
    let sent = format!("refresh_token={first}");
    site.store.fail(ErrorKind::Unavailable);
    for reply in [
        login(&endpoint, LOGIN).await,
        endpoint.handle_refresh([sent.as_bytes()], None).await,
        endpoint.handle_log_out([sent.as_bytes()], None).await,
    ] {
        assert_eq!(reply.status(), 503);
        assert!(header(&reply, "retry-after").is_some());
        assert_eq!(header(&reply, "set-cookie"), None);
    }
    site.store.work();
    let broken = TokenEndpoint::new(site.authenticator().unwrap(), Arc::new(NoIssuer))
        .with_refresh_tokens(
            site.tokens.clone(),
            RefreshTransport::Cookie(TokenCookie::refresh_token()),
        )
        .unwrap();
    let reply = broken.handle_refresh([sent.as_bytes()], None).await;
    assert_eq!(reply.status(), 503);
    // However long that takes.
    site.clock.advance(DAY);
    assert_eq!(
        endpoint
            .handle_refresh([sent.as_bytes()], None)
            .await
            .status(),
        200
    );
}
