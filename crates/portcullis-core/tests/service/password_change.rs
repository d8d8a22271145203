//! The operation by which users change their password.

use std::sync::Arc;

use futures_util::stream;
use portcullis_core::{
    CredentialStore, FastApi, Mount, Operation, RefusalKind, Reply, RequestHead, TokenVerifier,
    Wording,
};
use portcullis_testkit::ManualRuntime;

use crate::house::*;

const CHANGE: &str = "current_password=right&new_password=better";

#[tokio::test]
async fn the_session_goes_on_with_new_tokens_and_all_others_end() {
    let house = House::new().await;
    let wording = Wording::new(403, "WRONG_PASSWORD").unwrap();
    let answers = FastApi::new().with_wording(RefusalKind::BadCurrentPassword, wording);
    let endpoint = house
        .by_cookie()
        .with_responder(Arc::new(answers))
        .with_password_change(house.accounts(), house.guard());
    let mount = Mount::new(endpoint.clone());
    assert_eq!(
        mount.path(Operation::ChangePassword).as_deref(),
        Some("/v1/password")
    );
    let [mine, other] = [post(&endpoint, LOGIN).await, post(&endpoint, LOGIN).await];
    let token = member(&mine, "access_token");

    let stranger = change(&mount, "bad", CHANGE).await;
    assert_eq!(stranger.status(), 401);
    let empty = change(&mount, &token, "current_password=right").await;
    assert_eq!(
        (empty.status(), text(&empty)),
        (
            422,
            r#"{"detail":[{"type":"missing","loc":["body","new_password"],"msg":"Field required","input":null}]}"#
        )
    );
    let short = change(&mount, &token, "current_password=right&new_password=x").await;
    assert_eq!(short.status(), 422);
    assert!(text(&short).contains(r#""loc":["body","new_password"]"#));
    let wrong = change(&mount, &token, "current_password=x&new_password=better").await;
    assert_eq!(
        (wrong.status(), text(&wrong)),
        (403, r#"{"detail":"WRONG_PASSWORD"}"#)
    );

    let changed = change(&mount, &token, CHANGE).await;
    assert_eq!(changed.status(), 200);
    assert_eq!(header(&changed, "cache-control"), Some("no-store"));
    let guard = house.guard();
    assert!(is_admitted(&guard, &member(&changed, "access_token")).await);
    let refresh = async |reply: &Reply| {
        let sent = format!("refresh_token={}", cookie(reply, "refresh_token").unwrap());
        endpoint
            .handle_refresh([sent.as_bytes()], None)
            .await
            .status()
    };
    assert_eq!(refresh(&changed).await, 200);
    for ended in [&mine, &other] {
        assert!(!is_admitted(&guard, &member(ended, "access_token")).await);
        assert_eq!(refresh(ended).await, 401);
    }
    assert_eq!(post(&endpoint, LOGIN).await.status(), 401);
    let without = Mount::new(house.by_cookie());
    assert_eq!(without.path(Operation::ChangePassword), None);
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

    let mount = Mount::new(endpoint.with_password_change(house.accounts(), house.guard()));
    let changed = member(&change(&mount, &token, CHANGE).await, "access_token");
    let claims = house.issuer().verifier().verify(&changed).await.unwrap();
    assert_eq!(claims.scopes, ["read"]);
}

async fn change(mount: &Mount, token: &str, form: &str) -> Reply {
    let authorization = format!("Bearer {token}");
    let head = RequestHead::new("POST", b"/v1/password").with_headers([
        ("authorization", authorization.as_bytes()),
        ("content-type", FORM),
    ]);
    let body = stream::iter([Ok::<_, ()>(form.as_bytes())]);
    let runtime = ManualRuntime::leak();
    mount
        .serve(Operation::ChangePassword, head, body, runtime)
        .await
}
