//! In which shape everything is answered, and what no shape can leave out.

use std::sync::Arc;
use std::time::Duration;

use portcullis_core::adapter::RequestHead;
use portcullis_core::cookie::TokenCookie;
use portcullis_core::endpoint::TokenRefusal;
use portcullis_core::guard::BearerRefusal;
use portcullis_core::responder::{Answer, FastApi, RefusalKind, Reply, Rfc6749, Wording};
use portcullis_core::{BearerGuard, ErrorKind, RefreshTransport, Responder};
use serde_json::{Value, json};

use crate::house::{House, LOGIN, cookie, header, headers, member, post, text};

const WRONG: &str = "username=ada&password=wrong";

#[tokio::test]
async fn a_refusal_of_fastapi_can_be_put_into_other_words() {
    let house = House::new().await;
    let endpoint = |wording: Wording| {
        let answers = FastApi::new()
            .with_wording(
                RefusalKind::BadCredentials,
                Wording::new(418, "first").unwrap(),
            )
            .with_wording(RefusalKind::BadCredentials, wording);
        house.endpoint().with_responder(Arc::new(answers))
    };
    let plain = Wording::new(400, "LOGIN_BAD_CREDENTIALS").unwrap();
    let reply = post(&endpoint(plain.clone()), WRONG).await;
    assert_eq!(reply.status(), 400);
    assert_eq!(text(&reply), r#"{"detail":"LOGIN_BAD_CREDENTIALS"}"#);
    assert_eq!(header(&reply, "www-authenticate"), None);
    let reply = post(&endpoint(plain.with_challenge("Bearer realm=\"x\"")), WRONG).await;
    assert_eq!(
        header(&reply, "www-authenticate"),
        Some("Bearer realm=\"x\"")
    );

    for (status, is_good) in [
        (399, false),
        (400, true),
        (599, true),
        (600, false),
        (200, false),
    ] {
        let refused = Wording::new(status, "x").err().map(|error| error.kind());
        assert_eq!(refused, (!is_good).then_some(ErrorKind::InvalidConfig));
    }
}

#[tokio::test]
async fn a_wording_keeps_retry_after_and_the_scope_that_is_needed() {
    let answers = FastApi::new()
        .with_wording(RefusalKind::Throttled, Wording::new(400, "Wait").unwrap())
        .with_wording(
            RefusalKind::InsufficientScope,
            Wording::new(401, "No").unwrap(),
        );
    let retry_after = Duration::from_millis(1_500);
    let reply = answers.respond(Answer::Refused(&TokenRefusal::Throttled { retry_after }));
    assert_eq!(
        (reply.status(), text(&reply)),
        (400, r#"{"detail":"Wait"}"#)
    );
    assert_eq!(header(&reply, "retry-after"), Some("2"));
    let scope = "orders\"\r\nx: é".to_owned();
    let reply = answers.respond(Answer::Bearer(&BearerRefusal::InsufficientScope { scope }));
    assert_eq!((reply.status(), text(&reply)), (401, r#"{"detail":"No"}"#));
    assert_eq!(
        header(&reply, "www-authenticate"),
        Some("Bearer error=\"insufficient_scope\", scope=\"ordersx: \"")
    );
}

#[tokio::test]
async fn members_are_added_in_their_order_and_replaced_in_their_place() {
    let house = House::new().await;
    let answers = FastApi::new()
        .with_member("zulu", |login| login.user.user_id.as_str().into())
        .with_member("token_type", |_| "Bearer".into())
        .with_member("alpha", |login| json!({ "scopes": login.scopes }))
        .with_member("zulu", |_| Value::Null);
    let reply = post(&house.in_body().with_responder(Arc::new(answers)), LOGIN).await;
    let (access, refresh) = (
        member(&reply, "access_token"),
        member(&reply, "refresh_token"),
    );
    assert_eq!(
        text(&reply),
        format!(
            r#"{{"access_token":"{access}","refresh_token":"{refresh}","token_type":"Bearer","zulu":null,"alpha":{{"scopes":["read","write"]}}}}"#
        )
    );
}

/// Takes care of nothing but the body, and says that it may be kept.
#[derive(Debug)]
struct Ours;

impl Responder for Ours {
    fn respond(&self, answer: Answer<'_>) -> Reply {
        let status = match answer {
            Answer::Token(_) | Answer::LoggedOut => 200,
            _ => 499,
        };
        Reply::new(status)
            .with_body("text/plain", b"ours".to_vec())
            .with_header("cache-control", "public")
            .with_header("pragma", "x")
            .with_header("x-ours", "1")
    }
}

#[tokio::test]
async fn no_responder_can_forget_the_cookies_or_have_tokens_stored() {
    let house = House::new().await;
    let endpoint = house
        .by_cookie()
        .with_access_cookie(TokenCookie::access_token())
        .unwrap()
        .with_responder(Arc::new(Ours));
    let login = post(&endpoint, LOGIN).await;
    assert_eq!((login.status(), text(&login)), (200, "ours"));
    let (refresh, access) = (
        cookie(&login, "refresh_token"),
        cookie(&login, "access_token"),
    );
    assert_eq!((refresh.unwrap().len(), access.unwrap().len()), (64, 43));
    let refused = post(&endpoint, WRONG).await;
    assert_eq!(refused.status(), 499);
    let log_out = endpoint.handle_log_out([], None).await;
    assert_eq!(cookie(&log_out, "refresh_token").as_deref(), Some(""));
    assert_eq!(cookie(&log_out, "access_token").as_deref(), Some(""));
    for reply in [login, refused, log_out] {
        let caching: Vec<_> = headers(&reply, "cache-control").collect();
        assert_eq!(caching, ["no-store"]);
        assert_eq!(headers(&reply, "pragma").collect::<Vec<_>>(), ["no-cache"]);
        assert_eq!(header(&reply, "x-ours"), Some("1"));
    }
}

#[tokio::test]
async fn each_shape_goes_with_each_way_of_a_refresh_token() {
    for in_body in [true, false] {
        for rfc in [true, false] {
            let house = House::new().await;
            let mut endpoint = if in_body {
                house.in_body()
            } else {
                house.by_cookie()
            };
            if rfc {
                endpoint = endpoint.with_responder(Arc::new(Rfc6749::new()));
            }
            let reply = post(&endpoint, LOGIN).await;
            let body: Value = serde_json::from_slice(reply.body()).unwrap();
            let members: Vec<_> = body.as_object().unwrap().keys().collect();
            let expected: &[&str] = match (rfc, in_body) {
                (false, false) => &["access_token", "token_type"],
                (false, true) => &["access_token", "refresh_token", "token_type"],
                (true, false) => &["access_token", "expires_in", "scope", "token_type"],
                (true, true) => &[
                    "access_token",
                    "expires_in",
                    "refresh_token",
                    "scope",
                    "token_type",
                ],
            };
            assert_eq!(members, expected);
            let cookie = cookie(&reply, "refresh_token");
            assert_eq!(cookie.is_none(), in_body);
            let refreshed = match cookie {
                Some(token) => {
                    let sent = format!("refresh_token={token}");
                    endpoint.handle_refresh([sent.as_bytes()], None).await
                }
                None => {
                    let token = member(&reply, "refresh_token");
                    let sent = format!("grant_type=refresh_token&refresh_token={token}");
                    post(&endpoint, &sent).await
                }
            };
            assert_eq!(refreshed.status(), 200);
            let refused = post(&endpoint, WRONG).await;
            assert_eq!(refused.status(), if rfc { 400 } else { 401 });
        }
    }
}

#[tokio::test]
async fn a_guard_answers_as_rfc_6750_has_it() {
    let house = House::new().await;
    let fastapi = house.guard().with_cookie("access_token");
    let rfc = fastapi.clone().with_responder(Arc::new(Rfc6749::new()));
    let check = async |guard: &BearerGuard, headers: &[(&str, &str)], status, challenge, body| {
        let headers = headers
            .iter()
            .map(|(name, value)| (*name, value.as_bytes()));
        let head = RequestHead::new("POST", b"/").with_headers(headers);
        let rejection = guard.admit(&head).await.unwrap_err();
        let reply = rejection.reply();
        assert_eq!((reply.status(), text(reply)), (status, body));
        assert_eq!(header(reply, "www-authenticate"), challenge);
    };
    let none: &[(&str, &str)] = &[];
    let bad = &[("authorization", "Bearer x")][..];
    let cross = &[
        ("cookie", "access_token=x"),
        ("sec-fetch-site", "cross-site"),
    ][..];
    let bearer = Some("Bearer");
    check(
        &fastapi,
        none,
        401,
        bearer,
        r#"{"detail":"Not authenticated"}"#,
    )
    .await;
    check(
        &fastapi,
        bad,
        401,
        bearer,
        r#"{"detail":"Could not validate credentials"}"#,
    )
    .await;
    check(
        &fastapi,
        cross,
        403,
        None,
        r#"{"detail":"Cross-site request refused"}"#,
    )
    .await;
    let body = r#"{"error":"invalid_request","error_description":"Not authenticated"}"#;
    check(&rfc, none, 401, bearer, body).await;
    let body = r#"{"error":"invalid_token","error_description":"The access token is not valid"}"#;
    check(&rfc, bad, 401, Some("Bearer error=\"invalid_token\""), body).await;
    let body = r#"{"error":"invalid_request","error_description":"Cross-site request refused"}"#;
    check(&rfc, cross, 403, None, body).await;

    house.faults.fail("tokens.find", 1);
    let sent = format!("Bearer {}", "A".repeat(43));
    let down = &[("authorization", sent.as_str())][..];
    let body = r#"{"error":"temporarily_unavailable","error_description":"Service Unavailable"}"#;
    check(&rfc, down, 503, None, body).await;
    house.faults.fail("tokens.find", 1);
    check(
        &fastapi,
        down,
        503,
        None,
        r#"{"detail":"Service Unavailable"}"#,
    )
    .await;
}

#[tokio::test]
async fn the_texts_of_fastapi_where_it_has_none_are_ours() {
    for (refusal, status, body) in [
        (TokenRefusal::BodyTimedOut, 408, "Request Timeout"),
        (TokenRefusal::BodyTooLarge, 413, "Content Too Large"),
        (
            TokenRefusal::BodyUnreadable,
            400,
            "There was an error parsing the body",
        ),
        (TokenRefusal::BadCurrentPassword, 400, "Incorrect password"),
        (
            TokenRefusal::UnsupportedTokenType,
            400,
            "Only refresh tokens are revoked here",
        ),
    ] {
        let reply = FastApi::new().respond(Answer::Refused(&refusal));
        assert_eq!(reply.status(), status);
        assert_eq!(text(&reply), format!(r#"{{"detail":"{body}"}}"#));
        let reply = Rfc6749::new().respond(Answer::Refused(&refusal));
        assert_eq!(reply.status(), status);
        assert!(
            text(&reply).starts_with(r#"{"error":""#),
            "{}",
            text(&reply)
        );
    }
}

#[test]
fn no_value_can_end_the_header_that_it_stands_in() {
    let reply =
        Reply::new(200).with_header("location", "/a\r\nset-cookie: x=y\0\u{7f}é".to_owned());
    assert_eq!(header(&reply, "location"), Some("/a  set-cookie: x=y  ?"));
    for (status, sent) in [(199, 500), (200, 200), (599, 599), (600, 500), (101, 500)] {
        assert_eq!(Reply::new(status).status(), sent);
    }
}

#[tokio::test]
async fn a_cookie_is_named_as_it_was_said() {
    let house = House::new().await;
    let mut said = TokenCookie::refresh_token();
    said.name = "__Host-refresh".to_owned();
    said.path = Some("/".to_owned());
    let tokens = house.refresh_tokens.clone();
    let endpoint = house
        .endpoint()
        .with_refresh_tokens(tokens, RefreshTransport::Cookie(said))
        .unwrap();
    let token = cookie(&post(&endpoint, LOGIN).await, "__Host-refresh").unwrap();
    for (name, status) in [("refresh_token", 401), ("__Host-refresh", 200)] {
        let sent = format!("{name}={token}");
        let reply = endpoint.handle_refresh([sent.as_bytes()], None).await;
        assert_eq!(reply.status(), status);
    }
}
