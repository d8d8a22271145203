//! The bearer guard: FastAPI's reading of the header, and what makes a token good.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_core::adapter::RequestHead;
use portcullis_core::guard::{BearerRefusal, bearer_token};
use portcullis_core::memory::MemoryCredentialStore;
use portcullis_core::responder::Rfc6749;
use portcullis_core::store::UserStatus;
use portcullis_core::{
    BearerGuard, Claims, Credential, CredentialStore, Error, ErrorKind, TokenVerifier, UserId,
    Username, async_trait,
};
use portcullis_testkit::fastapi;
use serde_json::Value;

#[test]
fn recorded_headers_are_read_as_recorded() {
    let mut seen = 0;
    for case in fastapi::cases() {
        if case.group != "me" || case.expect.status == 405 {
            continue;
        }
        let authorization = case.header("authorization").map(str::as_bytes);
        let body: Value = serde_json::from_slice(&case.expect.body()).unwrap();
        // A 401 has a "detail" and no "token".
        assert_eq!(
            bearer_token(authorization).as_deref(),
            body["token"].as_str(),
            "{}",
            case.id
        );
        seen += 1;
    }
    assert_eq!(seen, 8);
}

#[track_caller]
fn check_header(authorization: &[u8], token: Option<&str>) {
    assert_eq!(bearer_token(Some(authorization)).as_deref(), token);
}

#[test]
fn the_scheme_ends_at_the_first_space() {
    check_header(b"bEARER x", Some("x"));
    check_header(b"Bearer a b", Some("a b"));
    check_header(b"Bearer ", Some(""));
    check_header(b"Bearer\tx", None);
    check_header(b"Bearer,x", None);
    check_header(b"Bearer: x", None);
    check_header(b"Bearer\xA0x", None);
    check_header(b" Bearer x", None);
    check_header(b"Bearerx", None);
    check_header(b"", None);
}

#[test]
fn the_token_is_latin_1_and_trimmed_as_python_trims() {
    check_header(
        b"Bearer \t\x1C\x85\xA0\xC3\xA9 x\x1F\x0B ",
        Some("\u{c3}\u{a9} x"),
    );
    check_header(b"Bearer \x1Bx\x7F", Some("\x1Bx\x7F"));
    check_header(b"Bearer \xA0", Some(""));
}

fn at(millis: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis)
}

fn claims(sub: &str, iat: SystemTime) -> Claims {
    let exp = iat + Duration::from_secs(900);
    Claims::new(
        "iss".into(),
        UserId::new(sub),
        vec!["aud".into()],
        iat,
        exp,
        "jti".into(),
    )
}

/// Accepts the token `good`.
#[derive(Debug)]
struct FakeVerifier(Claims);

#[async_trait]
impl TokenVerifier for FakeVerifier {
    async fn verify(&self, access_token: &str) -> Result<Claims, Error> {
        match access_token {
            "good" => Ok(self.0.clone()),
            "outage" => Err(Error::new(ErrorKind::Unavailable, "no keys")),
            _ => Err(Error::new(ErrorKind::InvalidToken, "not one of ours")),
        }
    }
}

#[tokio::test]
async fn the_verifier_decides() {
    let claims = claims("ada", at(0));
    let guard = BearerGuard::new(Arc::new(FakeVerifier(claims.clone())));

    let bearer = guard.check(Some(b"Bearer good")).await.unwrap();
    assert_eq!(bearer.claims, claims);
    assert_eq!(bearer.credential, None);
    let refused = guard.check(None).await;
    assert!(matches!(refused, Err(BearerRefusal::NotAuthenticated)));
    for header in [&b"Bearer"[..], b"Bearer bad"] {
        let refused = guard.check(Some(header)).await;
        assert!(matches!(refused, Err(BearerRefusal::InvalidToken)));
    }
    let refused = guard.check(Some(b"Bearer outage")).await;
    assert!(
        matches!(refused, Err(BearerRefusal::Failed(error)) if error.kind() == ErrorKind::Unavailable)
    );
}

/// What a guard with a credential check makes of a good token of ada's issued at `iat`.
async fn check_stored(
    stored: &Credential,
    iat: SystemTime,
) -> Result<Option<Credential>, BearerRefusal> {
    let store = MemoryCredentialStore::new();
    assert!(store.create(stored).await.is_ok());
    BearerGuard::new(Arc::new(FakeVerifier(claims("ada", iat))))
        .with_credential_check(Arc::new(store))
        .check(Some(b"Bearer good"))
        .await
        .map(|bearer| bearer.credential)
}

#[tokio::test]
async fn a_credential_check_hands_out_the_user_as_stored() {
    let ada = Credential::new(UserId::new("ada"), Username::new("ada@example.com"));
    assert_eq!(check_stored(&ada, at(0)).await.unwrap(), Some(ada));
}

#[tokio::test]
async fn a_credential_check_refuses_tokens_of_disabled_and_deleted_users() {
    let mut user = Credential::new(UserId::new("ada"), Username::new("ada@example.com"));
    user.status = UserStatus::Disabled;
    let refused = check_stored(&user, at(0)).await;
    assert!(matches!(refused, Err(BearerRefusal::InvalidToken)));

    // Somebody else has taken the name.
    let user = Credential::new(UserId::new("eve"), Username::new("ada@example.com"));
    let refused = check_stored(&user, at(0)).await;
    assert!(matches!(refused, Err(BearerRefusal::InvalidToken)));
}

#[tokio::test]
async fn a_credential_check_refuses_tokens_from_before_the_second_of_a_change() {
    let mut ada = Credential::new(UserId::new("ada"), Username::new("ada@example.com"));
    ada.tokens_valid_from = at(5_700);
    let refused = check_stored(&ada, at(4_000)).await;
    assert!(matches!(refused, Err(BearerRefusal::InvalidToken)));
    // Issued at 5.9 s, say.
    assert!(check_stored(&ada, at(5_000)).await.is_ok());
}

/// What a guard that takes the token `good` makes of a request with these headers.
async fn admits(guard: &BearerGuard, method: &str, headers: &[(&str, &str)]) -> &'static str {
    let headers = headers
        .iter()
        .map(|(name, value)| (*name, value.as_bytes()));
    let head = RequestHead::new(method, b"/").with_headers(headers);
    match guard.admit(&head).await {
        Ok(bearer) => {
            assert_eq!(bearer.claims.sub.as_str(), "ada");
            "admitted"
        }
        Err(rejection) => match rejection.refusal() {
            BearerRefusal::CrossSite => "cross-site",
            BearerRefusal::InvalidToken => "invalid",
            BearerRefusal::NotAuthenticated => "none",
            other => panic!("{other}"),
        },
    }
}

fn good() -> BearerGuard {
    BearerGuard::new(Arc::new(FakeVerifier(claims("ada", at(0)))))
}

#[tokio::test]
async fn a_guard_reads_the_scheme_it_was_told() {
    let (bearer, token) = (good(), good().with_scheme("Token"));
    for (header, by_bearer, by_token) in [
        ("Bearer good", "admitted", "none"),
        ("Token good", "none", "admitted"),
        ("tOKEN  good", "none", "admitted"),
        ("Tokens good", "none", "none"),
        ("Token", "none", "invalid"),
    ] {
        let headers = [("Authorization", header)];
        assert_eq!(
            admits(&bearer, "GET", &headers).await,
            by_bearer,
            "{header}"
        );
        assert_eq!(admits(&token, "GET", &headers).await, by_token, "{header}");
    }
}

#[tokio::test]
async fn a_guard_reads_a_cookie_only_if_told_and_the_header_wins() {
    let guard = good().with_cookie("access_token");
    let cookie = ("cookie", "a=b; access_token=good; c=d");
    let bad_cookie = ("cookie", "access_token=bad");
    for (headers, expected) in [
        (&[cookie][..], "admitted"),
        (&[("cookie", "a=b"), cookie], "admitted"),
        (&[bad_cookie], "invalid"),
        // One that was planted, or of an old path, hides no good one.
        (&[bad_cookie, cookie], "admitted"),
        (
            &[("cookie", "ACCESS_TOKEN=good; xaccess_token=good")],
            "none",
        ),
        (&[("authorization", "Bearer bad"), cookie], "invalid"),
        (&[("authorization", "Bearer good"), bad_cookie], "admitted"),
        // Of another scheme: not for this guard.
        (&[("authorization", "Basic YTpi"), cookie], "admitted"),
    ] {
        assert_eq!(
            admits(&guard, "POST", headers).await,
            expected,
            "{headers:?}"
        );
    }
    assert_eq!(admits(&good(), "GET", &[cookie]).await, "none");
}

#[tokio::test]
async fn a_cookie_that_another_site_had_sent_changes_nothing() {
    let cookie = ("cookie", "access_token=good");
    let guard = good().with_cookie("access_token");
    let careless = guard.clone().danger_with_cross_site_cookies();
    for (headers, is_cross_site) in [
        (&[][..], false),
        (&[("sec-fetch-site", "same-origin")], false),
        (&[("sec-fetch-site", "same-site")], false),
        (&[("sec-fetch-site", "none")], false),
        (&[("sec-fetch-site", "cross-site")], true),
        (&[("sec-fetch-site", "")], true),
        (&[("Sec-Fetch-Site", "Same-Origin")], true),
        // What the browser says itself wins.
        (
            &[
                ("sec-fetch-site", "cross-site"),
                ("origin", "https://api.example"),
            ],
            true,
        ),
        (
            &[
                ("sec-fetch-site", "same-origin"),
                ("origin", "https://evil.example"),
            ],
            false,
        ),
        (&[("origin", "https://api.example")], false),
        (&[("origin", "http://API.example")], false),
        (&[("origin", "https://api.example:8443")], true),
        (&[("origin", "https://evil.example")], true),
        (&[("origin", "https://evil.example/://api.example")], true),
        (&[("origin", "https://api.example.evil.example")], true),
        (&[("origin", "null")], true),
        (&[("origin", "")], true),
    ] {
        let mut all = vec![cookie, ("host", "api.example")];
        all.extend(headers);
        let expected = if is_cross_site {
            "cross-site"
        } else {
            "admitted"
        };
        for method in ["POST", "PUT", "PATCH", "DELETE", "get", "X"] {
            assert_eq!(
                admits(&guard, method, &all).await,
                expected,
                "{method} {headers:?}"
            );
            assert_eq!(admits(&careless, method, &all).await, "admitted");
        }
        for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
            assert_eq!(admits(&guard, method, &all).await, "admitted");
        }
        // No other site can set a header.
        all.push(("authorization", "Bearer good"));
        assert_eq!(admits(&guard, "POST", &all).await, "admitted");
    }
    // Without a host nothing is of the same origin.
    let no_host = [cookie, ("origin", "https://api.example")];
    assert_eq!(admits(&guard, "POST", &no_host).await, "cross-site");
}

#[tokio::test]
async fn a_scope_that_is_missing_is_403_in_the_shape_of_the_guard() {
    let mut claims = claims("ada", at(0));
    claims.scopes = vec!["read".to_owned(), "write:all".to_owned()];
    let guard = BearerGuard::new(Arc::new(FakeVerifier(claims)));
    let rfc = guard.clone().with_responder(Arc::new(Rfc6749::new()));
    for (guard, body) in [
        (guard, r#"{"detail":"Not enough permissions"}"#),
        (
            rfc,
            r#"{"error":"insufficient_scope","error_description":"Not enough permissions"}"#,
        ),
    ] {
        let headers = [("authorization", b"Bearer good".as_slice())];
        let head = RequestHead::new("GET", b"/").with_headers(headers);
        let bearer = guard.admit(&head).await.unwrap();
        assert!(bearer.require("read").is_ok());
        for scope in ["write", "READ", "", "read write:all"] {
            let rejection = bearer.require(scope).unwrap_err();
            let reply = rejection.reply();
            assert_eq!((reply.status(), reply.body()), (403, body.as_bytes()));
            let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
            assert!(
                reply
                    .headers()
                    .any(|header| header == ("www-authenticate", &challenge))
            );
        }
    }
}

#[tokio::test]
async fn a_token_may_be_optional_but_not_bad() {
    let guard = good();
    for (header, expected) in [
        (None, Ok(false)),
        (Some("Basic x"), Ok(false)),
        (Some("Bearer good"), Ok(true)),
        (Some("Bearer bad"), Err(401)),
        (Some("Bearer outage"), Err(503)),
    ] {
        let headers = header.map(|value: &str| ("authorization", value.as_bytes()));
        let head = RequestHead::new("GET", b"/").with_headers(headers);
        let admitted = guard.admit_optional(&head).await;
        let admitted = admitted.map(|bearer| bearer.is_some());
        assert_eq!(
            admitted.map_err(|rejection| rejection.reply().status()),
            expected
        );
    }
}
