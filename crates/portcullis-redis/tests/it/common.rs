//! Stores on the servers that all tests share, and logins over any store.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_core::{
    Authenticator, Credential, CredentialStore, Error, ErrorKind, HashPool, HashPoolConfig,
    LoginRequest, OsRandom, PasswordHash, Reply, Secret, TokenEndpoint, TokenIssuer, TokenRequest,
    TokenResponse, TokenStore, UserId, UserStatus, Username, async_trait,
};
use portcullis_redis::RedisStore;
use portcullis_testkit::{FakeHasher, Subject};

/// A new store in the place that `url` names, through two handles with a connection each: Redis
/// tells them from two processes by nothing.
pub(crate) async fn users(url: &str) -> Subject<dyn CredentialStore> {
    let url = with_own_prefix(url);
    Subject::from(open(&url).await).also(Arc::new(open(&url).await))
}

/// The same of tokens.
pub(crate) async fn tokens(url: &str) -> Subject<dyn TokenStore> {
    let url = with_own_prefix(url);
    Subject::from(open(&url).await).also(Arc::new(open(&url).await))
}

pub(crate) async fn open(url: &str) -> RedisStore {
    RedisStore::open(url).await.unwrap()
}

pub(crate) fn with_own_prefix(url: &str) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    let prefix = UserId::random(&OsRandom).unwrap();
    format!("{url}{separator}prefix=test-{prefix}")
}

/// Alice, whose password is `right`.
pub(crate) fn alice() -> Credential {
    Credential::new(UserId::new("1"), Username::new("alice"))
        .with_password_hash(PasswordHash::new("$fake$1$7269676874"))
}

/// A login endpoint over `store`, in which Alice is.
pub(crate) struct Logins {
    pub(crate) store: RedisStore,
    endpoint: TokenEndpoint,
}

impl Logins {
    pub(crate) async fn with_alice(store: RedisStore) -> Self {
        let logins = Self::over(store);
        logins.store.create(&alice()).await.unwrap();
        logins.are_answered().await;
        logins
    }

    pub(crate) fn over(store: RedisStore) -> Self {
        let hasher = Arc::new(FakeHasher::new(1));
        let pool = HashPool::new(hasher, HashPoolConfig::default()).unwrap();
        let authenticator = Authenticator::new(Arc::new(store.clone()), pool).unwrap();
        Self {
            store,
            endpoint: TokenEndpoint::new(authenticator, Arc::new(Issuer)),
        }
    }

    /// The right password gets a token and the wrong one does not.
    pub(crate) async fn are_answered(&self) {
        self.have_statuses(200, 401).await;
    }

    /// Nobody can log in, and nobody is told anything but to come back.
    pub(crate) async fn are_unavailable(&self) {
        self.have_statuses(503, 503).await;
        let reply = self.log_in("right").await;
        assert_eq!(reply.body(), br#"{"detail":"Service Unavailable"}"#);
        assert!(reply.headers().any(|header| header == ("retry-after", "1")));
        let found = CredentialStore::find(&self.store, &alice().username).await;
        is_unavailable(&found.unwrap_err());
    }

    /// Logins are answered, but nothing can be changed.
    pub(crate) async fn are_all_that_works(&self) {
        self.are_answered().await;
        is_unavailable(&self.change().await.unwrap_err());
        self.are_answered().await;
    }

    /// Changes nothing, and tells whether that worked.
    pub(crate) async fn change(&self) -> Result<bool, Error> {
        let store = &self.store;
        store
            .set_status(&alice().user_id, UserStatus::Enabled)
            .await
    }

    async fn have_statuses(&self, right: u16, wrong: u16) {
        assert_eq!(self.log_in("right").await.status(), right);
        assert_eq!(self.log_in("wrong").await.status(), wrong);
    }

    async fn log_in(&self, password: &str) -> Reply {
        let body = format!("username=alice&password={password}");
        let request =
            LoginRequest::new(Some(b"application/x-www-form-urlencoded"), body.as_bytes());
        self.endpoint.handle(request).await
    }
}

/// It is, and says nothing of what is stored or of the URL.
#[track_caller]
pub(crate) fn is_unavailable(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    is_discreet(error);
}

#[track_caller]
pub(crate) fn is_discreet(error: &Error) {
    let mut said = format!("{error:?}");
    let mut source: Option<&dyn StdError> = Some(error);
    while let Some(cause) = source {
        said += &cause.to_string();
        source = cause.source();
    }
    for secret in ["$fake$", "7269676874", "s3cret"] {
        assert!(!said.contains(secret), "{said}");
    }
}

/// Waits until something has happened that nobody tells of.
#[track_caller]
pub(crate) fn until(mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < Duration::from_secs(30), "in vain");
    }
}

#[derive(Debug)]
struct Issuer;

#[async_trait]
impl TokenIssuer for Issuer {
    async fn issue(&self, _: TokenRequest<'_>) -> Result<TokenResponse, Error> {
        Ok(TokenResponse::new(
            Secret::from("token".to_owned()),
            Duration::from_secs(60),
        ))
    }
}
