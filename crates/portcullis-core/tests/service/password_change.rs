//! A user changes the password through the service, and goes on with the tokens of the answer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use portcullis_core::adapter::{Mount, Operation, RequestHead};
use portcullis_core::cookie::TokenCookie;
use portcullis_core::responder::{Reply, Rfc6749};
use portcullis_core::{CredentialStore, TokenEndpoint, TokenVerifier};
use portcullis_testkit::ManualRuntime;

use crate::house::{FORM, House, LOGIN, cookie, header, headers, is_admitted, member, post, text};

const CHANGE: &str = "current_password=right&new_password=better";

/// A body in one piece.
struct Whole(Option<&'static [u8]>);

impl Stream for Whole {
    type Item = Result<&'static [u8], ()>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.take().map(Ok))
    }
}

fn mount(house: &House, endpoint: TokenEndpoint) -> Mount {
    let guard = house.guard().with_cookie("access_token");
    Mount::new(endpoint.with_password_change(house.accounts(), guard))
}

async fn change(mount: &Mount, headers: &[(&str, &str)], body: &'static str) -> Reply {
    let headers = headers
        .iter()
        .map(|(name, value)| (*name, value.as_bytes()));
    let head = RequestHead::new("POST", b"/v1/password")
        .with_headers(headers)
        .with_headers([("content-type", FORM)]);
    let body = Whole(Some(body.as_bytes()));
    let runtime = ManualRuntime::leak();
    mount
        .serve(Operation::ChangePassword, head, body, runtime)
        .await
}

#[tokio::test]
async fn the_session_goes_on_with_fresh_tokens_and_all_others_end() {
    let house = House::new().await;
    let endpoint = house.by_cookie();
    let cookies = TokenCookie::access_token();
    let mount = mount(&house, endpoint.with_access_cookie(cookies).unwrap());
    let login = async || {
        post(
            mount.endpoint(),
            &format!("{LOGIN}&scope=read&client_id=spa"),
        )
        .await
    };
    let (own, other) = (login().await, login().await);
    let access = member(&own, "access_token");
    let authorization = format!("Bearer {access}");
    let _ = house.observer.take();
    let reply = change(&mount, &[("authorization", &authorization)], CHANGE).await;
    assert_eq!(reply.status(), 200);
    assert_eq!(headers(&reply, "set-cookie").count(), 2);
    assert_eq!(header(&reply, "cache-control"), Some("no-store"));
    assert_eq!(house.observer.take_names(), ["password_changed"]);

    for login in [&own, &other] {
        assert!(!is_admitted(&house.guard(), &member(login, "access_token")).await);
        let sent = format!("refresh_token={}", cookie(login, "refresh_token").unwrap());
        let refreshed = mount
            .endpoint()
            .handle_refresh([sent.as_bytes()], None)
            .await;
        assert_eq!(refreshed.status(), 401);
    }
    let fresh = member(&reply, "access_token");
    assert!(is_admitted(&house.guard(), &fresh).await);
    let sent = format!("refresh_token={}", cookie(&reply, "refresh_token").unwrap());
    let refreshed = mount
        .endpoint()
        .handle_refresh([sent.as_bytes()], None)
        .await;
    assert_eq!(refreshed.status(), 200);
    // It is the same login, with what it was granted.
    let claims = house.issuer().verifier().verify(&fresh).await.unwrap();
    let after = house
        .issuer()
        .verifier()
        .verify(&member(&refreshed, "access_token"))
        .await
        .unwrap();
    assert!(claims.sid.is_some());
    assert_eq!(claims.sid, after.sid);
    assert_eq!(
        (claims.scopes, claims.client_id.as_deref()),
        (vec!["read".to_owned()], Some("spa"))
    );

    assert_eq!(post(mount.endpoint(), LOGIN).await.status(), 401);
    let reply = post(mount.endpoint(), "username=ada&password=better").await;
    assert_eq!(reply.status(), 200);
}

#[tokio::test]
async fn what_is_wrong_with_a_change_is_said_in_both_shapes() {
    let house = House::new().await;
    let fastapi = mount(&house, house.in_body());
    let rfc = house.in_body().with_responder(Arc::new(Rfc6749::new()));
    let rfc = mount(&house, rfc);
    let login = post(fastapi.endpoint(), LOGIN).await;
    let authorization = format!("Bearer {}", member(&login, "access_token"));
    let bearer = [("authorization", authorization.as_str())];
    let check = async |mount: &Mount, body, status, answer: &str| {
        let reply = change(mount, &bearer, body).await;
        assert_eq!((reply.status(), text(&reply)), (status, answer));
        assert_eq!(header(&reply, "cache-control"), Some("no-store"));
        assert_eq!(header(&reply, "www-authenticate"), None);
    };
    let short = "current_password=right&new_password=pw";
    let answer = r#"{"detail":[{"type":"value_error","loc":["body","new_password"],"msg":"the password has 2 characters and needs at least 3","input":null}]}"#;
    check(&fastapi, short, 422, answer).await;
    let answer = r#"{"error":"invalid_request","error_description":"the password has 2 characters and needs at least 3"}"#;
    check(&rfc, short, 400, answer).await;
    let half = "new_password=better";
    let answer = r#"{"detail":[{"type":"missing","loc":["body","current_password"],"msg":"Field required","input":null}]}"#;
    check(&fastapi, half, 422, answer).await;
    let wrong = "current_password=wrong&new_password=better";
    check(&fastapi, wrong, 400, r#"{"detail":"Incorrect password"}"#).await;
    let answer = r#"{"error":"invalid_grant","error_description":"Incorrect password"}"#;
    for _ in 0..4 {
        check(&rfc, wrong, 400, answer).await;
    }
    check(&fastapi, CHANGE, 429, r#"{"detail":"Too Many Requests"}"#).await;
}

#[tokio::test]
async fn nobody_changes_a_password_without_a_token_or_from_another_site() {
    let house = House::new().await;
    let mount = mount(&house, house.by_cookie());
    let login = post(mount.endpoint(), LOGIN).await;
    let cookie = format!("access_token={}", member(&login, "access_token"));
    let before = house.user("1").await;
    for (headers, status) in [
        (&[][..], 401),
        (&[("authorization", "Bearer x")], 401),
        (
            &[
                ("cookie", cookie.as_str()),
                ("sec-fetch-site", "cross-site"),
            ],
            403,
        ),
    ] {
        let reply = change(&mount, headers, CHANGE).await;
        assert_eq!(reply.status(), status);
        assert_eq!(header(&reply, "cache-control"), Some("no-store"));
    }
    assert_eq!(house.user("1").await, before);
    let own = [
        ("cookie", cookie.as_str()),
        ("sec-fetch-site", "same-origin"),
    ];
    assert_eq!(change(&mount, &own, CHANGE).await.status(), 200);
}

#[tokio::test]
async fn an_endpoint_that_is_not_told_to_changes_no_password() {
    let house = House::new().await;
    let mount = Mount::new(house.by_cookie());
    assert_eq!(mount.path(Operation::ChangePassword), None);
    assert_eq!(change(&mount, &[], CHANGE).await.status(), 404);
}

#[tokio::test]
async fn scopes_that_a_user_has_lost_do_not_come_back() {
    let house = House::new().await;
    let endpoint = house.endpoint();
    let token = member(&post(&endpoint, LOGIN).await, "access_token");
    let mut user = house.user("1").await.unwrap();
    user.scopes = vec!["read".to_owned()];
    house.users.delete(&user.user_id).await.unwrap();
    house.users.create(&user).await.unwrap();

    let mount = mount(&house, endpoint);
    let bearer = format!("Bearer {token}");
    let changed = member(
        &change(&mount, &[("authorization", &bearer)], CHANGE).await,
        "access_token",
    );
    let claims = house.issuer().verifier().verify(&changed).await.unwrap();
    assert_eq!(claims.scopes, ["read"]);
}
