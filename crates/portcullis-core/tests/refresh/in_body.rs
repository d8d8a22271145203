//! What the endpoint makes of tokens in the body, and that RFC 7009 revokes them.

use std::sync::Arc;

use portcullis_core::adapter::Operation;
use portcullis_core::endpoint::TokenRefusal;
use portcullis_core::responder::Rfc6749;
use portcullis_core::{CredentialStore, RefreshTransport, TokenEndpoint, Username};

use crate::rig::*;

#[tokio::test]
async fn rfc_6749_has_the_token_in_the_body() {
    let site = Site::new();
    let endpoint = site.oauth_endpoint().await.unwrap();
    let reply = login(&endpoint, &format!("{LOGIN}&scope=read")).await;
    let first = body_token(&reply, "1 for read", "read");
    assert_eq!(header(&reply, "set-cookie"), None);

    let refresh = |token: &str| format!("grant_type=refresh_token&refresh_token={token}");
    let reply = login(&endpoint, &refresh(&first)).await;
    let second = body_token(&reply, "1 for read", "read");
    // What the login was not granted no refresh is.
    let reply = login(&endpoint, &format!("{}&scope=write", refresh(&second))).await;
    let third = body_token(&reply, "1 for ", "");

    let reply = login(&endpoint, &refresh(&first)).await;
    assert_eq!(reply.status(), 400);
    assert_eq!(
        text(&reply),
        r#"{"error":"invalid_grant","error_description":"The refresh token is not valid"}"#
    );
    not_stored(&reply);
    assert_eq!(login(&endpoint, &refresh(&third)).await.status(), 400);

    let reply = login(&endpoint, "grant_type=refresh_token").await;
    assert_eq!(reply.status(), 400);
    assert!(text(&reply).starts_with(r#"{"error":"invalid_request""#));
}

#[tokio::test]
async fn rfc_7009_revokes_a_token() {
    let site = Site::new();
    let endpoint = site.oauth_endpoint().await.unwrap();
    let reply = login(&endpoint, LOGIN).await;
    let token = body_token(&reply, "1 for read,write", "read write");
    for _ in 0..2 {
        let reply = revoke(
            &endpoint,
            &format!("token={token}&token_type_hint=refresh_token"),
        )
        .await;
        assert_eq!((reply.status(), text(&reply)), (200, String::new()));
        not_stored(&reply);
    }
    let refresh = format!("grant_type=refresh_token&refresh_token={token}");
    assert_eq!(login(&endpoint, &refresh).await.status(), 400);
    let reply = revoke(&endpoint, "").await;
    assert_eq!(reply.status(), 400);
    assert!(text(&reply).starts_with(r#"{"error":"invalid_request""#));

    for hint in [
        "",
        "&token_type_hint=refresh_token",
        "&token_type_hint=other",
    ] {
        assert_eq!(
            revoke(&endpoint, &format!("token=a.b.c{hint}"))
                .await
                .status(),
            200
        );
    }
    let reply = revoke(&endpoint, "token=a.b.c&token_type_hint=access_token").await;
    assert_eq!(reply.status(), 400);
    assert!(text(&reply).starts_with(r#"{"error":"unsupported_token_type""#));
    // A wrong hint does not keep a token from being revoked.
    let reply = login(&endpoint, LOGIN).await;
    let token = body_token(&reply, "1 for read,write", "read write");
    let reply = revoke(
        &endpoint,
        &format!("token={token}&token_type_hint=access_token"),
    )
    .await;
    assert_eq!(reply.status(), 200);
    assert_eq!(site.rotate(&token).await, None);
}

#[tokio::test]
async fn a_token_of_another_client_is_not_good_for_this_one() {
    let site = Site::new();
    let endpoint = site.oauth_endpoint().await.unwrap();
    let reply = login(&endpoint, &format!("{LOGIN}&client_id=spa")).await;
    let token = body_token(&reply, "1 for read,write", "read write");
    let refresh = format!("grant_type=refresh_token&refresh_token={token}");
    let reply = login(&endpoint, &format!("{refresh}&client_id=other")).await;
    assert_eq!(reply.status(), 400);
    let reply = login(&endpoint, &format!("{refresh}&client_id=spa")).await;
    assert_eq!(reply.status(), 200);
}

#[tokio::test]
async fn scopes_that_a_user_has_lost_are_not_granted_again_and_new_ones_are_not_added() {
    let site = Site::new();
    let endpoint = site.oauth_endpoint().await.unwrap();
    let reply = login(&endpoint, LOGIN).await;
    let token = body_token(&reply, "1 for read,write", "read write");
    let user = site
        .users
        .find(&Username::new("ada"))
        .await
        .unwrap()
        .unwrap();
    site.users.delete(&user.user_id).await.unwrap();
    let mut changed = user;
    changed.scopes = vec!["admin".to_owned(), "write".to_owned()];
    site.users.create(&changed).await.unwrap();
    let refresh = format!("grant_type=refresh_token&refresh_token={token}");
    body_token(&login(&endpoint, &refresh).await, "1 for write", "write");
}

#[tokio::test]
async fn operations_follow_from_how_the_token_travels_and_not_from_the_shape() {
    use Operation::{LogOut, Login, Refresh, Revoke};
    let site = Site::new();
    let none = TokenEndpoint::new(site.authenticator().unwrap(), Arc::new(PlainIssuer));
    let in_cookie = site.endpoint().await.unwrap();
    let in_body = Site::new().endpoint_by(RefreshTransport::Body).await;
    for (endpoint, operations) in [
        (none, vec![Login]),
        (in_cookie, vec![Login, Refresh, LogOut]),
        (in_body.unwrap(), vec![Login, Revoke]),
    ] {
        let rfc = endpoint.clone().with_responder(Arc::new(Rfc6749::new()));
        for endpoint in [endpoint, rfc] {
            assert_eq!(endpoint.operations(), operations);
            // A form has such a grant only where the token travels in the body.
            let sent = format!("grant_type=refresh_token&refresh_token={}", "A".repeat(64));
            let refusal = endpoint.read(FORM, sent.as_bytes()).err();
            assert_eq!(refusal.is_none(), operations.contains(&Revoke));
            // What is not offered does nothing.
            let refreshed = endpoint
                .refresh([b"refresh_token=x".as_slice()], None)
                .await;
            assert!(matches!(refreshed, Err(TokenRefusal::NoRefreshToken)));
            assert!(
                endpoint
                    .log_out([b"refresh_token=x".as_slice()], None)
                    .await
                    .is_ok()
            );
        }
    }
}
