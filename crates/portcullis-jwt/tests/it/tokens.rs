//! What is issued, and that it is read back.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use portcullis_core::random::SecureRandom;
use portcullis_core::token::TokenRequest;
use portcullis_core::{BoxError, Claims, ErrorKind, TokenIssuer, TokenVerifier, UserId};
use portcullis_jwt::{JwtIssuer, JwtVerifier, SigningKey, VerifyingKey};

use crate::*;

/// 0, 1, 2, ...
#[derive(Debug)]
struct Counting;

impl SecureRandom for Counting {
    fn fill(&self, buf: &mut [u8]) -> Result<(), BoxError> {
        buf.iter_mut().zip(0..).for_each(|(byte, n)| *byte = n);
        Ok(())
    }
}

#[derive(Debug)]
struct Exhausted;

impl SecureRandom for Exhausted {
    fn fill(&self, _: &mut [u8]) -> Result<(), BoxError> {
        Err("no entropy".into())
    }
}

fn decoded(token: &str) -> (String, String) {
    let part = |n| {
        let part = token.split('.').nth(n).unwrap();
        String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    (part(0), part(1))
}

async fn issue(issuer: &JwtIssuer, request: TokenRequest<'_>) -> String {
    let response = issuer.issue(request).await.unwrap();
    response.access_token.expose().to_owned()
}

fn counting_issuer(key: SigningKey) -> JwtIssuer {
    JwtIssuer::new(policy(at(IAT)).with_random(Arc::new(Counting)), key)
}

#[tokio::test]
async fn a_token_has_exactly_the_header_and_claims_of_rfc_9068() {
    let issuer = counting_issuer(hs256());
    let token = issue(&issuer, TokenRequest::new(&UserId::new("alice"))).await;
    assert_eq!(
        decoded(&token),
        (
            r#"{"typ":"at+jwt","alg":"HS256"}"#.to_owned(),
            concat!(
                r#"{"iss":"https://login.example","sub":"alice","aud":"https://api.example","#,
                r#""exp":1800000900,"iat":1800000000,"nbf":1800000000,"#,
                r#""jti":"AAECAwQFBgcICQoLDA0ODw"}"#,
            )
            .to_owned()
        )
    );
}

#[tokio::test]
async fn kid_client_id_and_scope_are_there_only_if_they_were_given() {
    let issuer = counting_issuer(eddsa().with_kid("2027 \"a\""));
    let subject = UserId::new("alice");
    let scopes = ["read".to_owned(), "write".to_owned()];
    let mut request = TokenRequest::new(&subject);
    request.client_id = Some("spa");
    request.scopes = &scopes;
    let token = issue(&issuer, request).await;
    assert_eq!(
        decoded(&token),
        (
            r#"{"typ":"at+jwt","alg":"EdDSA","kid":"2027 \"a\""}"#.to_owned(),
            concat!(
                r#"{"iss":"https://login.example","sub":"alice","aud":"https://api.example","#,
                r#""exp":1800000900,"iat":1800000000,"nbf":1800000000,"#,
                r#""jti":"AAECAwQFBgcICQoLDA0ODw","client_id":"spa","scope":"read write"}"#,
            )
            .to_owned()
        )
    );
}

#[tokio::test]
async fn what_is_issued_is_read_back() {
    for key in [
        hs256(),
        eddsa(),
        hs256().with_kid("a"),
        eddsa().with_kid(""),
    ] {
        let issuer = counting_issuer(key);
        let subject = UserId::new("Zoë \"\\\0\u{1F980}");
        let scopes = ["read".to_owned(), "write".to_owned()];
        let mut request = TokenRequest::new(&subject);
        request.client_id = Some("spa");
        request.scopes = &scopes;

        let response = issuer.issue(request).await.unwrap();
        let verifier = issuer.verifier();
        let claims = verifier.verify(response.access_token.expose()).await;

        let mut expected = Claims::new(
            ISSUER.to_owned(),
            subject.clone(),
            vec![AUDIENCE.to_owned()],
            at(IAT),
            at(IAT) + response.expires_in,
            "AAECAwQFBgcICQoLDA0ODw".to_owned(),
        );
        expected.client_id = Some("spa".to_owned());
        expected.scopes = scopes.to_vec();
        assert_eq!(claims.unwrap(), expected);
        assert_eq!(response.expires_in, Duration::from_secs(900));
    }
}

#[tokio::test]
async fn tokens_of_another_implementation_are_read() {
    for (key, token) in [
        (hs256(), include_str!("../fixtures/hs256.jwt")),
        (eddsa(), include_str!("../fixtures/eddsa.jwt")),
    ] {
        let mut expected = Claims::new(
            ISSUER.to_owned(),
            UserId::new(USER_ID),
            vec![AUDIENCE.to_owned(), "https://other.example".to_owned()],
            at(IAT),
            at(EXP),
            "AAECAwQFBgcICQoLDA0ODw".to_owned(),
        );
        expected.client_id = Some("spa".to_owned());
        expected.scopes = vec!["read".to_owned(), "write".to_owned()];
        let claims = verifier(&key, at(IAT)).verify(token).await.unwrap();
        assert_eq!(claims, expected);
    }
}

#[tokio::test]
async fn the_public_key_alone_verifies() {
    let token = issue(&issuer(eddsa()), TokenRequest::new(&UserId::new("alice"))).await;
    let key = VerifyingKey::from_ed25519_pem(PUBLIC_PEM).unwrap();
    let verifier = JwtVerifier::new(policy(at(IAT)), key);
    assert_eq!(
        verifier.verify(&token).await.unwrap().sub,
        UserId::new("alice")
    );
}

#[tokio::test]
async fn the_lifetime_is_what_expires_in_and_exp_say() {
    let policy = policy(at(IAT) + Duration::from_millis(999))
        .with_lifetime(Duration::from_millis(60_999))
        .unwrap();
    let issuer = JwtIssuer::new(policy, hs256());
    let subject = UserId::new("alice");
    let response = issuer.issue(TokenRequest::new(&subject)).await.unwrap();
    let verifier = issuer.verifier();
    let claims = verifier.verify(response.access_token.expose()).await;
    let claims = claims.unwrap();
    assert_eq!(response.expires_in, Duration::from_secs(60));
    assert_eq!((claims.iat, claims.exp), (at(IAT), at(IAT + 60)));
}

#[test]
fn a_lifetime_that_cannot_work_is_refused() {
    for lifetime in [
        Duration::ZERO,
        Duration::from_millis(999),
        Duration::from_secs(365 * 24 * 60 * 60 + 1),
        Duration::MAX,
    ] {
        let error = policy(at(IAT)).with_lifetime(lifetime).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    }
}

#[tokio::test]
async fn a_token_that_cannot_be_made_is_an_error() {
    let before_1970 = at(0) - Duration::from_secs(1);
    for (policy, subject, kind) in [
        (
            policy(at(IAT)).with_random(Arc::new(Exhausted)),
            "alice".to_owned(),
            ErrorKind::Unavailable,
        ),
        (policy(before_1970), "alice".to_owned(), ErrorKind::Internal),
        (policy(at(IAT)), "a".repeat(8 * 1024), ErrorKind::Internal),
    ] {
        let issuer = JwtIssuer::new(policy, hs256());
        let subject = UserId::new(subject);
        let error = issuer.issue(TokenRequest::new(&subject)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
}

#[tokio::test]
async fn a_client_cannot_make_its_token_too_long_to_use() {
    let issuer = issuer(hs256());
    let subject = UserId::new("alice");
    for (client_id, expected) in [
        ("\0".repeat(256), Some("\0".repeat(256))),
        ("\0".repeat(257), None),
    ] {
        let mut request = TokenRequest::new(&subject);
        request.client_id = Some(&client_id);
        let token = issue(&issuer, request).await;
        let claims = issuer.verifier().verify(&token).await.unwrap();
        assert_eq!(claims.client_id, expected);
    }
}

#[tokio::test]
async fn a_generated_key_works_and_differs_from_the_next() {
    let generate = || SigningKey::generate_ephemeral(&portcullis_core::OsRandom);
    let (one, other) = (issuer(generate().unwrap()), issuer(generate().unwrap()));
    let token = issue(&one, TokenRequest::new(&UserId::new("alice"))).await;
    assert!(one.verifier().verify(&token).await.is_ok());
    let error = other.verifier().verify(&token).await.unwrap_err();
    assert_eq!(error.message(), "the signature does not match");
    let error = SigningKey::generate_ephemeral(&Exhausted).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}
