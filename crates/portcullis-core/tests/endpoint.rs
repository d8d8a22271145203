//! Bytes in, reply out: the whole way of a login.

use std::sync::Arc;
use std::time::Duration;

use portcullis_core::endpoint::{GrantTypePolicy, LoginRequest, TokenRefusal};
use portcullis_core::memory::MemoryCredentialStore;
use portcullis_core::responder::{Answer as Said, FastApi, Reply, Rfc6749};
use portcullis_core::token::{TokenRequest, TokenResponse};
use portcullis_core::{
    Authenticator, BoxError, Credential, CredentialStore, Error, ErrorKind, HashPool, Responder,
    Secret, TokenEndpoint, TokenIssuer, UserId, Username, async_trait,
};
use portcullis_testkit::fastapi::{self, Answer, Case};
use portcullis_testkit::{BrokenStore, FakeHasher};
use serde_json::Value;

const URLENCODED: &[u8] = b"application/x-www-form-urlencoded";

#[tokio::test]
async fn recorded_logins_are_answered_as_fastapi_did() -> Result<(), BoxError> {
    let endpoint = endpoint(users().await?)?;
    let cases = recorded(|case| matches!(case.tier.as_str(), "core" | "multipart"));
    assert_eq!(cases.len(), 318);
    for case in cases {
        let reply = replay(&endpoint, &case, case.header("content-type")).await;
        let headers: Vec<_> = reply.headers().collect();
        let answer = Answer {
            status: reply.status(),
            headers: &headers,
            body: reply.body(),
        };
        let none: [String; 0] = [];
        assert_eq!(case.differences(&answer), none, "{}", case.id);
    }
    Ok(())
}

/// FastAPI describes a file down to attributes of Python objects; we send `null`.
#[tokio::test]
async fn recorded_files_in_a_field_are_refused_with_a_null_input() -> Result<(), BoxError> {
    let endpoint = endpoint(users().await?)?;
    let cases = recorded(|case| case.tier == "exotic" && case.group == "mp-file");
    assert_eq!(cases.len(), 21);
    for case in cases {
        let mut expected: Value = serde_json::from_slice(&case.expect.body())?;
        for error in expected["detail"].as_array_mut().into_iter().flatten() {
            if error["type"] == "string_type" {
                error["input"] = Value::Null;
            }
        }
        let reply = replay(&endpoint, &case, case.header("content-type")).await;
        assert_eq!(reply.status(), case.expect.status, "{}", case.id);
        let body: Value = serde_json::from_slice(reply.body())?;
        assert_eq!(body, expected, "{}", case.id);
    }
    Ok(())
}

/// Python knows these charsets, and fails with 400 or 500 in some of them.
#[tokio::test]
async fn recorded_exotic_charsets_are_read_as_latin1() -> Result<(), BoxError> {
    let endpoint = endpoint(users().await?)?;
    let cases = recorded(|case| case.tier == "exotic" && case.group == "mp-charset");
    assert_eq!(cases.len(), 11);
    for case in cases {
        let sent = case.header("content-type").ok_or("no content type")?;
        let reply = replay(&endpoint, &case, Some(sent)).await;
        let (boundary, _) = sent.split_once("; charset=").ok_or("no charset")?;
        let latin1 = format!("{boundary}; charset=latin-1");
        let as_latin1 = replay(&endpoint, &case, Some(&latin1)).await;
        assert_eq!(reply.status(), as_latin1.status(), "{}", case.id);
        assert_eq!(reply.body().len(), as_latin1.body().len(), "{}", case.id);
    }
    Ok(())
}

#[tokio::test]
async fn a_strict_endpoint_requires_the_grant_type() -> Result<(), BoxError> {
    let endpoint = endpoint(users().await?)?.with_grant_type(GrantTypePolicy::Required);
    for body in [
        "username=ada&password=right",
        "grant_type=&username=ada&password=right",
    ] {
        check(
            &endpoint,
            body,
            422,
            r#"{"detail":[{"type":"missing","loc":["body","grant_type"],"msg":"Field required","input":null}]}"#,
        )
        .await;
    }
    let body =
        "grant_type=password&username=ada%40example.com&password=correct+horse+battery+staple";
    check(
        &endpoint,
        body,
        200,
        r#"{"access_token":"token of 1 for read,write","token_type":"bearer"}"#,
    )
    .await;
    Ok(())
}

#[tokio::test]
async fn the_shape_of_rfc_6749_is_never_mixed_with_fastapi() -> Result<(), BoxError> {
    let endpoint = endpoint(users().await?)?.with_responder(Arc::new(Rfc6749::new()));
    let login = "username=ada%40example.com&password=correct+horse+battery+staple";
    for (body, status, answer) in [
        (
            login.to_owned(),
            200,
            r#"{"access_token":"token of 1 for read,write","token_type":"bearer","expires_in":900,"scope":"read write"}"#,
        ),
        (
            format!("{login}&scope=write+admin"),
            200,
            r#"{"access_token":"token of 1 for write","token_type":"bearer","expires_in":900,"scope":"write"}"#,
        ),
        (
            "username=ada%40example.com&password=wrong".to_owned(),
            400,
            r#"{"error":"invalid_grant","error_description":"Incorrect username or password"}"#,
        ),
        (
            "username=ada%40example.com".to_owned(),
            400,
            r#"{"error":"invalid_request","error_description":"password: Field required"}"#,
        ),
        (
            format!("{login}&grant_type=%22x"),
            400,
            r#"{"error":"unsupported_grant_type","error_description":"grant_type: String should match pattern '^password$'"}"#,
        ),
        (
            "&x".repeat(1_001),
            400,
            r#"{"error":"invalid_request","error_description":"Too many fields. Maximum number of fields is 1000."}"#,
        ),
    ] {
        check(&endpoint, &body, status, answer).await;
    }
    Ok(())
}

#[tokio::test]
async fn an_outage_is_503_whatever_the_password_and_never_401() -> Result<(), BoxError> {
    for (kind, status, answer) in [
        (
            ErrorKind::Unavailable,
            503,
            r#"{"detail":"Service Unavailable"}"#,
        ),
        (
            ErrorKind::Overloaded,
            503,
            r#"{"detail":"Service Unavailable"}"#,
        ),
        (
            ErrorKind::Corrupt,
            500,
            r#"{"detail":"Internal Server Error"}"#,
        ),
        (
            ErrorKind::Internal,
            500,
            r#"{"detail":"Internal Server Error"}"#,
        ),
    ] {
        let endpoint = endpoint(Arc::new(BrokenStore::new(kind)))?;
        for password in ["correct+horse+battery+staple", "wrong"] {
            let body = format!("username=ada%40example.com&password={password}");
            check(&endpoint, &body, status, answer).await;
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_could_not_be_hashed_is_not_looked_up() -> Result<(), BoxError> {
    let pool = HashPool::inline(Arc::new(FakeHasher::new(1)));
    let store = Arc::new(BrokenStore::new(ErrorKind::Corrupt));
    let authenticator = Authenticator::new(store, pool.clone())?;
    let endpoint = TokenEndpoint::new(authenticator, Arc::new(PlainIssuer));
    let body = "username=ada%40example.com&password=wrong";
    let looked_up = r#"{"detail":"Internal Server Error"}"#;
    check(&endpoint, body, 500, looked_up).await;
    pool.drain().await;
    let refused = r#"{"detail":"Service Unavailable"}"#;
    check(&endpoint, body, 503, refused).await;
    Ok(())
}

#[tokio::test]
async fn a_reply_that_asks_for_a_retry_says_when() -> Result<(), BoxError> {
    for (delay, seconds) in [
        (None, "1"),
        (Some(0), "1"),
        (Some(1_001), "2"),
        (Some(5_000), "5"),
    ] {
        let mut error = Error::new(ErrorKind::Overloaded, "busy");
        if let Some(delay) = delay {
            error = error.with_retry_after(Duration::from_millis(delay));
        }
        let refusal = TokenRefusal::Failed(error);
        let reply = FastApi::new().respond(Said::Refused(&refusal));
        let retry_after = reply.headers().find(|(name, _)| *name == "retry-after");
        assert_eq!(retry_after, Some(("retry-after", seconds)));
    }
    Ok(())
}

#[tokio::test]
async fn nothing_printable_of_a_login_holds_a_secret() -> Result<(), BoxError> {
    let endpoint = endpoint(users().await?)?;
    let body =
        b"username=ada%40example.com&password=correct+horse+battery+staple&client_secret=hush";
    let request = LoginRequest::new(Some(URLENCODED), body);
    let login = endpoint.login(request).await.map_err(|_| "refused")?;
    let reply = endpoint.handle(request).await;
    let printed = format!("{endpoint:?} {request:?} {login:?} {reply:?}");
    for secret in ["correct", "horse", "hush", "token of", "$fake$"] {
        assert!(!printed.contains(secret), "{printed}");
    }
    Ok(())
}

/// The recorded requests that reached the form.
fn recorded(tier: impl Fn(&Case) -> bool) -> Vec<Case> {
    fastapi::cases()
        .into_iter()
        .filter(|case| matches!(case.expect.status, 200 | 400 | 401 | 422 | 500))
        .filter(tier)
        .collect()
}

async fn replay(endpoint: &TokenEndpoint, case: &Case, content_type: Option<&str>) -> Reply {
    let body = case.body();
    let request = LoginRequest::new(content_type.map(str::as_bytes), &body);
    endpoint.handle(request).await
}

async fn check(endpoint: &TokenEndpoint, body: &str, status: u16, answer: &str) {
    let request = LoginRequest::new(Some(URLENCODED), body.as_bytes());
    let reply = endpoint.handle(request).await;
    assert_eq!(
        (
            reply.status(),
            String::from_utf8_lossy(reply.body()).as_ref()
        ),
        (status, answer)
    );
    let headers: Vec<_> = reply.headers().collect();
    assert!(headers.contains(&("content-type", "application/json")));
    assert!(headers.contains(&("cache-control", "no-store")));
    assert!(headers.contains(&("pragma", "no-cache")));
    assert_eq!(
        headers.iter().any(|(name, _)| *name == "www-authenticate"),
        status == 401
    );
    assert_eq!(
        headers.iter().any(|(name, _)| *name == "retry-after"),
        status == 503
    );
}

/// The two users of the recordings.
async fn users() -> Result<Arc<MemoryCredentialStore>, BoxError> {
    let store = MemoryCredentialStore::new();
    let hasher = FakeHasher::new(1);
    let arena = &mut portcullis_core::password::Arena::new();
    for (id, (username, password)) in (1..).zip(fastapi::USERS) {
        use portcullis_core::password::PasswordHasher as _;
        let hash = hasher.hash(password.as_bytes(), arena)?;
        let mut credential = Credential::new(UserId::new(id.to_string()), Username::new(username))
            .with_password_hash(hash);
        credential.scopes = vec!["read".to_owned(), "write".to_owned()];
        store.create(&credential).await?;
    }
    Ok(Arc::new(store))
}

fn endpoint(store: Arc<dyn CredentialStore>) -> Result<TokenEndpoint, BoxError> {
    let pool = HashPool::inline(Arc::new(FakeHasher::new(1)));
    let authenticator = Authenticator::new(store, pool)?;
    Ok(TokenEndpoint::new(authenticator, Arc::new(PlainIssuer)))
}

/// Issues tokens that say what they were asked for.
#[derive(Debug)]
struct PlainIssuer;

#[async_trait]
impl TokenIssuer for PlainIssuer {
    async fn issue(&self, request: TokenRequest<'_>) -> Result<TokenResponse, Error> {
        let token = format!(
            "token of {} for {}",
            request.subject,
            request.scopes.join(",")
        );
        Ok(TokenResponse::new(
            Secret::from(token),
            Duration::from_secs(900),
        ))
    }
}
