//! Claims beyond those of RFC 9068: which are written, in which form, and that they are read back.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use portcullis_core::token::{ClaimsSource, TokenRequest};
use portcullis_core::{
    AccessTokenPolicy, Claims, Credential, Error, ErrorKind, TokenIssuer, TokenVerifier, UserId,
    Username, async_trait,
};
use portcullis_jwt::{JwtIssuer, JwtVerifier};
use serde_json::{Map, Value, json};

use crate::*;

/// Issues a token for alice, whose cut-off is half a second before [`IAT`].
async fn issue(policy: AccessTokenPolicy) -> Result<String, Error> {
    let mut user = Credential::new(UserId::new("alice"), Username::new("alice@example.com"));
    user.tokens_valid_from = at(IAT) - Duration::from_millis(500);
    let mut request = TokenRequest::of(&user);
    request.session_id = Some("a login");
    let issued = JwtIssuer::new(policy, hs256()).issue(request).await?;
    Ok(issued.access_token.expose().to_owned())
}

/// The claims as they stand in the token, but for `jti`.
fn written(token: &str) -> Value {
    let claims = token.split('.').nth(1).unwrap();
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap();
    let mut claims: Map<String, Value> = serde_json::from_slice(&claims).unwrap();
    assert!(claims.remove("jti").is_some());
    claims.into()
}

async fn verify(policy: AccessTokenPolicy, token: &str) -> Result<Claims, Error> {
    let key = hs256().verifying_key().clone();
    JwtVerifier::new(policy, key).verify(token).await
}

/// Adds a name and roles.
#[derive(Debug)]
struct Roles;

#[async_trait]
impl ClaimsSource for Roles {
    async fn claims(&self, request: &TokenRequest<'_>) -> Result<Map<String, Value>, Error> {
        let name = request.user.map(|user| user.username.as_str());
        let claims = json!({ "name": name, "roles": ["admin", "\u{1F980}"], "level": 7 });
        Ok(claims.as_object().cloned().unwrap_or_default())
    }
}

#[tokio::test]
async fn the_login_the_cut_off_and_further_claims_are_read_back() {
    let policy = policy(at(IAT)).with_claims(Arc::new(Roles));
    let token = issue(policy.clone()).await.unwrap();
    assert_eq!(
        written(&token),
        json!({
            "iss": ISSUER, "sub": "alice", "aud": AUDIENCE,
            "exp": EXP, "iat": IAT, "nbf": IAT,
            "sid": "a login", "cut_off": IAT * 1_000_000 - 500_000,
            "name": "alice@example.com", "roles": ["admin", "\u{1F980}"], "level": 7,
        })
    );
    let claims = verify(policy, &token).await.unwrap();
    assert_eq!(claims.sid.as_deref(), Some("a login"));
    assert_eq!(claims.cut_off, Some(at(IAT) - Duration::from_millis(500)));
    let roles = json!({ "name": "alice@example.com", "roles": ["admin", "\u{1F980}"], "level": 7 });
    assert_eq!(Value::from(claims.extra), roles);
}

#[tokio::test]
async fn one_audience_is_text_and_several_are_a_list() {
    let other = "https://other.example";
    let one = issue(policy(at(IAT))).await.unwrap();
    assert_eq!(written(&one)["aud"], json!(AUDIENCE));
    let both = policy(at(IAT)).and_audience(other);
    let token = issue(both.clone()).await.unwrap();
    assert_eq!(written(&token)["aud"], json!([AUDIENCE, other]));

    let only_other = AccessTokenPolicy::new(ISSUER, other).with_clock(both.clock().clone());
    for (policy, of_one, of_both) in [
        (policy(at(IAT)), true, true),
        (both, true, true),
        (only_other, false, true),
    ] {
        assert_eq!(verify(policy.clone(), &one).await.is_ok(), of_one);
        assert_eq!(verify(policy, &token).await.is_ok(), of_both);
    }
}

#[tokio::test]
async fn a_claim_of_the_policy_is_never_written_twice() {
    /// Says who the user is.
    #[derive(Debug)]
    struct Somebody;

    #[async_trait]
    impl ClaimsSource for Somebody {
        async fn claims(&self, _: &TokenRequest<'_>) -> Result<Map<String, Value>, Error> {
            Ok(Map::from_iter([("sub".to_owned(), "root".into())]))
        }
    }

    let refused = issue(policy(at(IAT)).with_claims(Arc::new(Somebody))).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Internal);
}
