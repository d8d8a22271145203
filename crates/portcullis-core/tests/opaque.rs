//! Opaque tokens: what is issued, what is accepted, and until when.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_core::memory::MemoryTokenStore;
use portcullis_core::store::{TokenHash, TokenStore};
use portcullis_core::token::{OpaqueVerifier, TokenRequest};
use portcullis_core::{
    AccessTokenPolicy, Claims, Error, ErrorKind, OpaqueIssuer, Secret, TokenIssuer, TokenVerifier,
    UserId, async_trait,
};
use portcullis_testkit::{ManualClock, SeededRandom};

const ISSUER: &str = "https://login.example";
const AUDIENCE: &str = "https://api.example";

/// When tokens are issued, in seconds since 1970.
const IAT: u64 = 1_800_000_000;

#[tokio::test]
async fn a_token_is_random_text_that_the_store_never_sees() {
    let store = Arc::new(MemoryTokenStore::new());
    let login = Login::new(store.clone());
    let (one, other) = (login.token("ada").await, login.token("ada").await);
    assert_ne!(one.expose(), other.expose());
    for token in [&one, &other] {
        assert_eq!(token.expose().len(), 43);
        let of_base64url = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        assert!(token.expose().chars().all(of_base64url));
        let stored = store.find(&TokenHash::of(token.expose())).await.unwrap();
        assert!(!format!("{:?}", stored.unwrap()).contains(token.expose()));
    }
    let hash = TokenHash::of(one.expose());
    assert_eq!(format!("{hash:?}"), "[redacted]");
}

#[tokio::test]
async fn what_is_issued_is_read_back() {
    let login = Login::new(Arc::new(MemoryTokenStore::new()));
    let subject = UserId::new("Zoë \"\\\0\u{1F980}");
    let scopes = ["read".to_owned(), "write".to_owned()];
    let mut request = TokenRequest::new(&subject);
    request.client_id = Some("spa");
    request.scopes = &scopes;
    let response = login.issuer.issue(request).await.unwrap();
    assert_eq!(response.expires_in, Duration::from_secs(900));

    let claims = login.verify(&response.access_token).await.unwrap();
    // Whole seconds, as in a JWT, though the clock has more.
    let mut expected = Claims::new(
        ISSUER.to_owned(),
        subject.clone(),
        vec![AUDIENCE.to_owned()],
        at(IAT),
        at(IAT + 900),
        claims.jti.clone(),
    );
    expected.client_id = Some("spa".to_owned());
    expected.scopes = scopes.to_vec();
    assert_eq!(claims, expected);
    assert_eq!(claims.jti.len(), 22);
}

#[tokio::test]
async fn a_client_id_that_is_too_long_is_left_out() {
    let login = Login::new(Arc::new(MemoryTokenStore::new()));
    let subject = UserId::new("ada");
    let mut request = TokenRequest::new(&subject);
    let client_id = "x".repeat(257);
    for (client_id, kept) in [(&client_id[..256], true), (&client_id, false)] {
        request.client_id = Some(client_id);
        let token = login.issuer.issue(request).await.unwrap().access_token;
        let claims = login.verify(&token).await.unwrap();
        assert_eq!(claims.client_id.is_some(), kept);
    }
}

#[tokio::test]
async fn a_token_dies_at_its_exp() {
    let login = Login::new(Arc::new(MemoryTokenStore::new()));
    let token = login.token("ada").await;
    login.clock.set(at(IAT + 900) - Duration::from_nanos(1));
    assert!(login.verify(&token).await.is_ok());
    login.clock.set(at(IAT + 900));
    login.is_refused(&token).await;
}

#[tokio::test]
async fn a_revoked_token_is_dead_at_once_and_no_other() {
    let login = Login::new(Arc::new(MemoryTokenStore::new()));
    let (one, other) = (login.token("ada").await, login.token("ada").await);
    assert!(login.verifier.revoke(one.expose()).await.unwrap());
    login.is_refused(&one).await;
    assert!(!login.verifier.revoke(one.expose()).await.unwrap());
    assert!(login.verify(&other).await.is_ok());
}

#[tokio::test]
async fn a_token_of_another_issuer_or_audience_is_refused() {
    let store = Arc::new(MemoryTokenStore::new());
    let login = Login::new(store.clone());
    let token = login.token("ada").await;
    for (issuer, audience) in [(ISSUER, "https://api"), ("https://LOGIN.example", AUDIENCE)] {
        let policy = AccessTokenPolicy::new(issuer, audience).with_clock(login.clock.clone());
        let verifier = OpaqueVerifier::new(policy, store.clone());
        let refused = verifier.verify(token.expose()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidToken);
    }
}

#[tokio::test]
async fn what_cannot_be_a_token_is_refused_without_a_look_up() {
    let login = Login::new(Arc::new(Down));
    for token in ["", "x", "a.b.c", &"x".repeat(42), &"x".repeat(8192)] {
        login.is_refused(&Secret::from(token.to_owned())).await;
    }
}

#[tokio::test]
async fn an_outage_is_neither_a_token_nor_a_refusal() {
    let login = Login::new(Arc::new(Down));
    let subject = UserId::new("ada");
    let issued = login.issuer.issue(TokenRequest::new(&subject)).await;
    assert_eq!(issued.unwrap_err().kind(), ErrorKind::Unavailable);
    let token = Secret::from("x".repeat(43));
    let error = login.verify(&token).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let error = login.verifier.revoke(token.expose()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn without_randomness_nothing_is_issued() {
    let login = Login::new(Arc::new(MemoryTokenStore::new()));
    login.random.exhaust();
    let issued = login
        .issuer
        .issue(TokenRequest::new(&UserId::new("ada")))
        .await;
    assert_eq!(issued.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn expired_tokens_do_not_pile_up() {
    let store = Arc::new(MemoryTokenStore::new());
    let login = Login::new(store.clone());
    let mut dead = Vec::new();
    for minutes in 0..60 {
        dead.push((minutes, login.token("ada").await));
        login.clock.advance(Duration::from_secs(60));
    }
    dead.retain(|(minutes, _)| *minutes < 60 - 15 - 5);
    assert_eq!(dead.len(), 40);
    for (_, token) in dead {
        let found = store.find(&TokenHash::of(token.expose())).await;
        assert_eq!(found.unwrap(), None);
    }
}

#[tokio::test]
async fn more_expired_tokens_than_a_login_may_delete_are_gone_after_a_few() {
    let store = Arc::new(MemoryTokenStore::new());
    let login = Login::new(store.clone());
    let mut dead = Vec::new();
    for _ in 0..2_500 {
        dead.push(login.token("ada").await);
    }
    login.clock.advance(Duration::from_secs(15 * 60));
    for left in [1_500, 500, 0] {
        login.token("ada").await;
        let mut found = 0;
        for token in &dead {
            let token = store.find(&TokenHash::of(token.expose())).await;
            found += usize::from(token.unwrap().is_some());
        }
        assert_eq!(found, left);
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_cleaned_refuses_no_login() {
    let login = Login::new(Arc::new(NeverCleaned(MemoryTokenStore::new())));
    let token = login.token("ada").await;
    assert!(login.verify(&token).await.is_ok());
}

#[test]
fn a_lifetime_is_from_a_second_to_a_year() {
    for (lifetime, possible) in [
        (Duration::from_millis(999), false),
        (Duration::from_secs(1), true),
        (Duration::from_secs(365 * 86_400), true),
        (Duration::from_secs(365 * 86_400 + 1), false),
    ] {
        let answer = AccessTokenPolicy::new(ISSUER, AUDIENCE).with_lifetime(lifetime);
        match answer {
            Ok(_) => assert!(possible),
            Err(error) => assert_eq!((error.kind(), possible), (ErrorKind::InvalidConfig, false)),
        }
    }
}

/// An issuer and its verifier, half a second past [`IAT`].
struct Login {
    clock: Arc<ManualClock>,
    random: Arc<SeededRandom>,
    issuer: OpaqueIssuer,
    verifier: OpaqueVerifier,
}

impl Login {
    fn new(store: Arc<dyn TokenStore>) -> Self {
        let clock = Arc::new(ManualClock::new(at(IAT) + Duration::from_millis(500)));
        let random = Arc::new(SeededRandom::new(1));
        let policy = AccessTokenPolicy::new(ISSUER, AUDIENCE)
            .with_clock(clock.clone())
            .with_random(random.clone());
        let issuer = OpaqueIssuer::new(policy, store);
        Self {
            clock,
            random,
            verifier: issuer.verifier(),
            issuer,
        }
    }

    async fn token(&self, subject: &str) -> Secret {
        let subject = UserId::new(subject);
        let issued = self.issuer.issue(TokenRequest::new(&subject)).await;
        issued.unwrap().access_token
    }

    async fn verify(&self, token: &Secret) -> Result<Claims, Error> {
        self.verifier.verify(token.expose()).await
    }

    async fn is_refused(&self, token: &Secret) {
        let error = self.verify(token).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidToken);
    }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn down<T>() -> Result<T, Error> {
    Err(Error::new(ErrorKind::Unavailable, "down"))
}

/// A store that does not answer.
#[derive(Debug)]
struct Down;

#[async_trait]
impl TokenStore for Down {
    async fn insert(&self, _: &TokenHash, _: &Claims) -> Result<(), Error> {
        down()
    }

    async fn find(&self, _: &TokenHash) -> Result<Option<Claims>, Error> {
        down()
    }

    async fn revoke(&self, _: &TokenHash) -> Result<bool, Error> {
        down()
    }

    async fn revoke_all(&self, _: &UserId) -> Result<u64, Error> {
        down()
    }

    async fn delete_expired(&self, _: SystemTime, _: u32) -> Result<u32, Error> {
        down()
    }
}

/// A store that answers everything but `delete_expired`.
#[derive(Debug)]
struct NeverCleaned(MemoryTokenStore);

#[async_trait]
impl TokenStore for NeverCleaned {
    async fn insert(&self, hash: &TokenHash, claims: &Claims) -> Result<(), Error> {
        self.0.insert(hash, claims).await
    }

    async fn find(&self, hash: &TokenHash) -> Result<Option<Claims>, Error> {
        self.0.find(hash).await
    }

    async fn revoke(&self, hash: &TokenHash) -> Result<bool, Error> {
        self.0.revoke(hash).await
    }

    async fn revoke_all(&self, subject: &UserId) -> Result<u64, Error> {
        self.0.revoke_all(subject).await
    }

    async fn delete_expired(&self, _: SystemTime, _: u32) -> Result<u32, Error> {
        down()
    }
}
