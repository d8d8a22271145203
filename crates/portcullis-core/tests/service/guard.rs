//! The bearer guard: FastAPI's reading of the header, and what makes a token good.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_core::{
    BearerGuard, BearerRefusal, Claims, Credential, CredentialStore, Error, ErrorKind,
    MemoryCredentialStore, TokenVerifier, UserId, UserStatus, Username, async_trait, bearer_token,
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
