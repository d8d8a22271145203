//! Stores on the servers that all tests share, and logins over any store.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_core::endpoint::LoginRequest;
use portcullis_core::password::{Arena, HashPoolConfig, PasswordHasher};
use portcullis_core::responder::Reply;
use portcullis_core::store::{RefreshStore, ThrottleStore, TokenStore, UserStatus};
use portcullis_core::{
    Authenticator, Credential, CredentialStore, Error, ErrorKind, HashPool, OsRandom,
    TokenEndpoint, UserId, Username,
};
use portcullis_redis::RedisStore;
use portcullis_testkit::{FakeHasher, FakeTokens, Subject};
use portcullis_testservers::log;
use tokio::time;

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

/// The same of families.
pub(crate) async fn refresh(url: &str) -> Subject<dyn RefreshStore> {
    let url = with_own_prefix(url);
    Subject::from(open(&url).await).also(Arc::new(open(&url).await))
}

/// The same of attempts.
pub(crate) async fn throttle(url: &str) -> Subject<dyn ThrottleStore> {
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

/// The same URL, with a password that must not be shown. A server that wants none takes any.
pub(crate) fn with_password(url: &str) -> String {
    url.replace("redis://", &format!("redis://default:{SECRET}@"))
}

/// Alice, whose password is [`RIGHT`].
pub(crate) fn alice() -> Credential {
    let hash = FakeHasher::new(1).hash(RIGHT.as_bytes(), &mut Arena::new());
    Credential::new(UserId::new("1"), Username::new("alice")).with_password_hash(hash.unwrap())
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
        log::keep();
        let hasher = Arc::new(FakeHasher::new(1));
        let pool = HashPool::new(hasher, HashPoolConfig::default()).unwrap();
        let authenticator = Authenticator::new(Arc::new(store.clone()), pool).unwrap();
        Self {
            store,
            endpoint: TokenEndpoint::new(authenticator, Arc::new(FakeTokens::new())),
        }
    }

    /// The right password gets a token and the wrong one does not.
    pub(crate) async fn are_answered(&self) {
        self.have_statuses(200, 401).await;
    }

    /// Nobody can log in, and nobody is told anything but to come back.
    pub(crate) async fn are_unavailable(&self) {
        self.have_statuses(503, 503).await;
        let reply = self.log_in(RIGHT).await;
        assert_eq!(reply.body(), br#"{"detail":"Service Unavailable"}"#);
        assert!(reply.headers().any(|header| header == ("retry-after", "1")));
        assert!(log::text().contains("unavailable"));
        let found = CredentialStore::find(&self.store, &alice().username).await;
        is_unavailable(&found.unwrap_err());
    }

    /// The same, when nobody answers: whoever asks waits for `timeout`, and no longer.
    pub(crate) async fn are_unavailable_after(&self, timeout: Duration) {
        for password in [RIGHT, WRONG] {
            let reply = takes(timeout, self.log_in(password)).await;
            assert_eq!(reply.status(), 503);
        }
        is_unavailable(&takes(timeout, self.change()).await.unwrap_err());
        let users = takes(timeout, CredentialStore::list(&self.store, None, 1000)).await;
        is_unavailable(&users.unwrap_err());
        self.are_unavailable().await;
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
        assert_eq!(self.log_in(RIGHT).await.status(), right);
        assert_eq!(self.log_in(WRONG).await.status(), wrong);
    }

    async fn log_in(&self, password: &str) -> Reply {
        let body = format!("username=alice&password={password}");
        let request =
            LoginRequest::new(Some(b"application/x-www-form-urlencoded"), body.as_bytes());
        self.endpoint.handle(request).await
    }
}

/// Waits for what waits for nothing but `timeout`.
///
/// Time is virtual meanwhile: it passes when all that is left is to wait, and so by no more than
/// somebody asked for. No slow machine makes it longer.
async fn takes<T>(timeout: Duration, call: impl Future<Output = T>) -> T {
    time::pause();
    let begin = time::Instant::now();
    let answer = call.await;
    let elapsed = begin.elapsed();
    time::resume();
    // A timer is a millisecond late at most.
    let late = elapsed.checked_sub(timeout);
    assert!(late <= Some(Duration::from_millis(1)), "{elapsed:?}");
    answer
}

/// Lets pass, in virtual time, what a store stays with a server that refuses to serve it.
pub(crate) async fn patience_ends() {
    time::pause();
    time::advance(Duration::from_secs(1)).await;
    time::resume();
}

/// It is, and neither it nor the log says anything of what is stored or of the URL.
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
    said += &log::text();
    for secret in [SECRET, RIGHT, WRONG, "$fake$", "portcullis:token:"] {
        assert!(!said.contains(secret), "{secret} is in {said}");
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

const RIGHT: &str = "right-horse";
const WRONG: &str = "wrong-horse";
const SECRET: &str = "s3cret";
