//! What access tokens say, where a guard finds them, and when they are dead.

use std::sync::Arc;
use std::time::Duration;

use portcullis_core::{
    AccessTokenPolicy, Bearer, BearerGuard, BearerRefusal, ClaimsSource, CredentialStore, Error,
    ErrorKind, OpaqueIssuer, RequestHead, Responder, Rfc6749, TokenIssuer, TokenRequest,
    TokenVerifier, UserId, async_trait,
};
use serde_json::{Map, Value, json};

use crate::house::*;

#[tokio::test]
async fn all_tokens_of_one_login_name_it_and_no_other_does() {
    let house = House::new().await;
    let endpoint = house.in_body();
    let verifier = house.issuer().verifier();
    let sid = async |token: String| verifier.verify(&token).await.unwrap().sid.unwrap();
    let login = post(&endpoint, LOGIN).await;
    let first = sid(member(&login, "access_token")).await;
    let refresh = format!(
        "grant_type=refresh_token&refresh_token={}",
        member(&login, "refresh_token")
    );
    let refreshed = post(&endpoint, &refresh).await;
    assert_eq!(sid(member(&refreshed, "access_token")).await, first);
    let other = post(&endpoint, LOGIN).await;
    assert_ne!(sid(member(&other, "access_token")).await, first);
    // 128 bits in base64url.
    assert_eq!(first.len(), 22);
}

#[tokio::test]
async fn a_token_says_what_the_policy_and_its_source_decide() {
    let house = House::new().await;
    let policy = house
        .policy
        .clone()
        .and_audience("https://other.example")
        .with_claims(Arc::new(Extra("tenant")));
    let issuer = OpaqueIssuer::new(policy.clone(), house.tokens.clone());
    let (verifier, user) = (issuer.verifier(), house.user("1").await.unwrap());
    let mut request = TokenRequest::of(&user);
    let long = "x".repeat(257);
    request.client_id = Some(&long);
    let token = issuer.issue(request).await.unwrap();
    assert_eq!(token.expires_in, Duration::from_secs(900));
    let claims = verifier.verify(token.access_token.expose()).await.unwrap();
    assert_eq!(claims.aud, ["https://api.example", "https://other.example"]);
    assert_eq!(claims.client_id, None);
    assert_eq!(claims.cut_off, Some(user.tokens_valid_from));
    assert_eq!(Value::from(claims.extra), json!({ "tenant": "ada" }));
    // A verifier of one of the audiences takes it, and one of a third does not.
    for (audience, taken) in [
        ("https://other.example", true),
        ("https://third.example", false),
    ] {
        let policy = AccessTokenPolicy::new("https://login.example", audience);
        let policy = policy.with_clock(house.clock.clone());
        let verifier = OpaqueIssuer::new(policy, house.tokens.clone()).verifier();
        let verified = verifier.verify(token.access_token.expose()).await;
        assert_eq!(verified.is_ok(), taken);
    }
    for name in ["sub", "scope", "cut_off", "nbf"] {
        let policy = policy.clone().with_claims(Arc::new(Extra(name)));
        let error = policy.claims(&TokenRequest::of(&user)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal, "{name}");
    }
    for seconds in [0, 365 * 24 * 3600 + 1] {
        let lifetime = Duration::from_secs(seconds);
        let error = policy.clone().with_lifetime(lifetime).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    }
}

#[tokio::test]
async fn a_token_is_dead_once_the_cut_off_is_a_later_one_whatever_the_clock_says() {
    let house = House::new().await;
    let guard = house.guard();
    let token = async || member(&post(&house.endpoint(), LOGIN).await, "access_token");
    let id = UserId::new("1");
    let before = token().await;
    assert!(is_admitted(&guard, &before).await);
    // In the instant in which it was made, and then by a clock that was set back.
    house.users.end_sessions(&id, house.now()).await.unwrap();
    assert!(!is_admitted(&guard, &before).await);
    let between = token().await;
    assert!(is_admitted(&guard, &between).await);
    house.clock.set(house.now() - DAY);
    house.users.end_sessions(&id, house.now()).await.unwrap();
    assert!(!is_admitted(&guard, &between).await);
    assert!(is_admitted(&guard, &token().await).await);
}

#[tokio::test]
async fn a_guard_finds_the_token_where_it_was_told_to_look() {
    let house = House::new().await;
    let token = member(&post(&house.endpoint(), LOGIN).await, "access_token");
    let guard = house.guard().with_cookie("session");
    let cookie = format!("other=1; session={token}");
    let (bearer, bad) = (format!("Bearer {token}"), "Bearer bad");
    let admitted = async |guard: &BearerGuard, headers: &[(&str, &str)]| {
        let headers = headers
            .iter()
            .map(|(name, value)| (*name, value.as_bytes()));
        let head = RequestHead::new("GET", b"/").with_headers(headers);
        guard.admit(&head).await.is_ok()
    };
    assert!(admitted(&guard, &[("cookie", &cookie)]).await);
    assert!(admitted(&guard, &[("authorization", &bearer)]).await);
    assert!(!admitted(&house.guard(), &[("cookie", &cookie)]).await);
    // The header wins, also where it is no good.
    let both = [("cookie", &*cookie), ("authorization", bad)];
    assert!(!admitted(&guard, &both).await);
    let other = house.guard().with_scheme("Token");
    assert!(!admitted(&other, &[("authorization", &bearer)]).await);
    let scheme = format!("TOKEN {token}");
    assert!(admitted(&other, &[("authorization", &scheme)]).await);

    // One that was planted, or of an old path, hides no good one.
    let planted = format!("session=planted; {cookie}");
    assert!(admitted(&guard, &[("cookie", &planted)]).await);

    let nobody = RequestHead::new("GET", b"/");
    assert!(guard.admit_optional(&nobody).await.unwrap().is_none());
    let refused = [("authorization", bad.as_bytes())];
    let refused = RequestHead::new("GET", b"/").with_headers(refused);
    assert!(guard.admit_optional(&refused).await.is_err());
}

#[tokio::test]
async fn other_sites_cannot_have_a_cookie_change_anything() {
    let house = House::new().await;
    let token = member(&post(&house.endpoint(), LOGIN).await, "access_token");
    let guard = house.guard().with_cookie("session");
    let lax = guard.clone().danger_with_cross_site_cookies();
    let (cookie, bearer) = (format!("session={token}"), format!("Bearer {token}"));
    for (method, header, refused) in [
        ("POST", ("sec-fetch-site", "cross-site"), true),
        ("POST", ("sec-fetch-site", "same-origin"), false),
        ("POST", ("sec-fetch-site", "none"), false),
        ("POST", ("origin", "https://evil.example"), true),
        ("POST", ("origin", "https://api.example"), false),
        ("POST", ("origin", "null"), true),
        ("POST", ("x-other", ""), false),
        ("GET", ("sec-fetch-site", "cross-site"), false),
        ("post", ("sec-fetch-site", "cross-site"), true),
    ] {
        let request = |credential: (&'static str, String)| {
            let headers = [("host", "api.example"), header];
            (headers, credential)
        };
        let admit = async |guard: &BearerGuard, credential| {
            let (headers, (name, value)) = request(credential);
            let headers = headers
                .iter()
                .map(|(name, value)| (*name, value.as_bytes()));
            let head = RequestHead::new(method, b"/")
                .with_headers(headers.chain([(name, value.as_bytes())]));
            guard.admit(&head).await
        };
        let by_cookie = admit(&guard, ("cookie", cookie.clone())).await;
        assert_eq!(by_cookie.is_err(), refused, "{method} {header:?}");
        if let Err(rejection) = by_cookie {
            assert!(matches!(rejection.refusal(), BearerRefusal::CrossSite));
            assert_eq!(rejection.reply().status(), 403);
        }
        // No other site can send that.
        assert!(
            admit(&guard, ("authorization", bearer.clone()))
                .await
                .is_ok()
        );
        assert!(admit(&lax, ("cookie", cookie.clone())).await.is_ok());
    }
}

#[tokio::test]
async fn a_scope_that_is_needed_is_named_in_the_shape_of_the_service() {
    let house = House::new().await;
    let token = member(&post(&house.endpoint(), LOGIN).await, "access_token");
    let responder: Arc<dyn Responder> = Arc::new(Rfc6749::new());
    for (guard, body) in [
        (house.guard(), r#"{"detail":"Not enough permissions"}"#),
        (
            house.guard().with_responder(responder),
            r#"{"error":"insufficient_scope","error_description":"Not enough permissions"}"#,
        ),
    ] {
        let authorization = format!("Bearer {token}");
        let bearer: Bearer = guard.check(Some(authorization.as_bytes())).await.unwrap();
        assert!(bearer.require("read").is_ok());
        // A part of a scope is another scope.
        let rejection = bearer.require("rea").unwrap_err();
        assert_eq!(rejection.reply().status(), 403);
        assert_eq!(text(rejection.reply()), body);
        assert_eq!(
            header(rejection.reply(), "www-authenticate"),
            Some(r#"Bearer error="insufficient_scope", scope="rea""#)
        );
    }
}

/// Makes one claim of this name.
#[derive(Debug)]
struct Extra(&'static str);

#[async_trait]
impl ClaimsSource for Extra {
    async fn claims(&self, request: &TokenRequest<'_>) -> Result<Map<String, Value>, Error> {
        let name = request.user.map(|user| user.username.as_str());
        Ok([(self.0.to_owned(), Value::from(name))]
            .into_iter()
            .collect())
    }
}
