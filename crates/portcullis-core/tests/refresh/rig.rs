//! What the tests of refresh tokens share.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_core::cookie::TokenCookie;
use portcullis_core::endpoint::LoginRequest;
use portcullis_core::memory::{MemoryCredentialStore, MemoryRefreshStore};
use portcullis_core::password::{Arena, HashPoolConfig, PasswordHasher};
use portcullis_core::responder::{Reply, Rfc6749};
use portcullis_core::store::{FamilyKey, FamilyRecord, RefreshStore};
use portcullis_core::token::{TokenRequest, TokenResponse};
use portcullis_core::{
    Authenticator, BoxError, Credential, CredentialStore, Error, ErrorKind, HashPool,
    RefreshTokens, RefreshTransport, Secret, TokenEndpoint, TokenIssuer, UserId, Username,
    async_trait,
};
use portcullis_testkit::{FakeHasher, ManualClock, SeededRandom};

pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
pub(crate) const RETRY_WINDOW: Duration = Duration::from_secs(10);
pub(crate) const MILLI: Duration = Duration::from_millis(1);

pub(crate) const FORM: Option<&[u8]> = Some(b"application/x-www-form-urlencoded");

pub(crate) const LOGIN: &str = "username=ada&password=correct";

pub(crate) async fn login(endpoint: &TokenEndpoint, body: &str) -> Reply {
    endpoint
        .handle(LoginRequest::new(FORM, body.as_bytes()))
        .await
}

pub(crate) async fn revoke(endpoint: &TokenEndpoint, body: &str) -> Reply {
    endpoint
        .handle_revoke(LoginRequest::new(FORM, body.as_bytes()))
        .await
}

pub(crate) fn text(reply: &Reply) -> String {
    String::from_utf8_lossy(reply.body()).into_owned()
}

pub(crate) fn header<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    let mut found = reply.headers().filter(|(of, _)| *of == name);
    found.next().map(|(_, value)| value)
}

pub(crate) fn not_stored(reply: &Reply) {
    assert_eq!(header(reply, "cache-control"), Some("no-store"));
    assert_eq!(header(reply, "pragma"), Some("no-cache"));
}

/// The refresh token in a cookie that is set with these attributes.
pub(crate) fn cookie(reply: &Reply, attributes: &str) -> Option<String> {
    let value = header(reply, "set-cookie")?.strip_prefix("refresh_token=")?;
    value.strip_suffix(attributes).map(str::to_owned)
}

/// The refresh token in a body that is otherwise as expected.
pub(crate) fn body_token(reply: &Reply, access_token: &str, scope: &str) -> String {
    let body = text(reply);
    let before = format!(
        r#"{{"access_token":"{access_token}","token_type":"bearer","expires_in":900,"refresh_token":""#
    );
    let after = format!(r#"","scope":"{scope}"}}"#);
    let token = body
        .strip_prefix(&before)
        .and_then(|body| body.strip_suffix(&after));
    assert!(token.is_some(), "{body}");
    token.unwrap_or_default().to_owned()
}

/// A service with one user.
pub(crate) struct Site {
    pub(crate) tokens: RefreshTokens,
    pub(crate) store: Arc<Store>,
    pub(crate) users: Arc<MemoryCredentialStore>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) random: Arc<SeededRandom>,
}

impl Site {
    pub(crate) fn new() -> Self {
        let store = Arc::new(Store::default());
        let clock = Arc::new(ManualClock::new(UNIX_EPOCH + 20_000 * DAY));
        let random = Arc::new(SeededRandom::new(1));
        let tokens = RefreshTokens::new(store.clone())
            .with_clock(clock.clone())
            .with_random(random.clone());
        Self {
            tokens,
            store,
            users: Arc::new(MemoryCredentialStore::new()),
            clock,
            random,
        }
    }

    pub(crate) fn clock_now(&self) -> SystemTime {
        use portcullis_core::clock::Clock;
        self.clock.now()
    }

    pub(crate) async fn begin(&self) -> String {
        let ada = UserId::new("ada");
        let first = self.tokens.begin(TokenRequest::new(&ada)).await.unwrap();
        first.token.expose().to_owned()
    }

    pub(crate) async fn rotate(&self, token: &str) -> Option<String> {
        let refresh = self.tokens.look_up(token).await.unwrap()?;
        let next = refresh.rotate().await.unwrap()?;
        Some(next.token.expose().to_owned())
    }

    pub(crate) fn authenticator(&self) -> Result<Authenticator, BoxError> {
        let mut config = HashPoolConfig::default();
        config.threads = NonZeroUsize::MIN;
        config.clock = self.clock.clone();
        let pool = HashPool::new(Arc::new(FakeHasher::new(1)), config)?;
        Ok(Authenticator::new(self.users.clone(), pool)?)
    }

    /// Answers as FastAPI, with the token in a cookie.
    pub(crate) async fn endpoint(&self) -> Result<TokenEndpoint, BoxError> {
        let cookie = TokenCookie::refresh_token();
        self.endpoint_by(RefreshTransport::Cookie(cookie)).await
    }

    /// Answers as the standards have it, with the token in the body.
    pub(crate) async fn oauth_endpoint(&self) -> Result<TokenEndpoint, BoxError> {
        let endpoint = self.endpoint_by(RefreshTransport::Body).await?;
        Ok(endpoint.with_responder(Arc::new(Rfc6749::new())))
    }

    pub(crate) async fn endpoint_by(
        &self,
        transport: RefreshTransport,
    ) -> Result<TokenEndpoint, BoxError> {
        let hash = FakeHasher::new(1).hash(b"correct", &mut Arena::new())?;
        let mut ada =
            Credential::new(UserId::new("1"), Username::new("ada")).with_password_hash(hash);
        ada.scopes = vec!["read".to_owned(), "write".to_owned()];
        self.users.create(&ada).await?;
        let endpoint = TokenEndpoint::new(self.authenticator()?, Arc::new(PlainIssuer));
        Ok(endpoint.with_refresh_tokens(self.tokens.clone(), transport)?)
    }
}

/// Keeps families in memory, shows them, and lags behind or fails when told to.
#[derive(Debug, Default)]
pub(crate) struct Store {
    inner: MemoryRefreshStore,
    keys: Mutex<Vec<FamilyKey>>,
    failure: Mutex<Option<ErrorKind>>,
    /// What to find, and how often.
    lag: Mutex<Option<(FamilyRecord, usize)>>,
}

impl Store {
    pub(crate) fn lag(&self, record: &FamilyRecord, look_ups: usize) {
        *self.lag.lock().unwrap() = Some((record.clone(), look_ups));
    }

    pub(crate) fn fail(&self, kind: ErrorKind) {
        *self.failure.lock().unwrap() = Some(kind);
    }

    pub(crate) fn work(&self) {
        *self.failure.lock().unwrap() = None;
    }

    fn check(&self) -> Result<(), Error> {
        match *self.failure.lock().unwrap() {
            Some(kind) => Err(Error::new(kind, "the store is out of order")),
            None => Ok(()),
        }
    }

    pub(crate) async fn records(&self) -> Vec<FamilyRecord> {
        let keys = self.keys.lock().unwrap().clone();
        let mut records = Vec::new();
        for key in keys {
            records.extend(self.inner.find(&key).await.unwrap());
        }
        records
    }

    /// Puts a text in the place of all records.
    pub(crate) async fn overwrite(&self, text: &str) {
        let keys = self.keys.lock().unwrap().clone();
        for key in keys {
            let old = self.inner.find(&key).await.unwrap().unwrap();
            let new = FamilyRecord::new(text);
            let expires_at = UNIX_EPOCH + 100_000 * DAY;
            assert!(
                self.inner
                    .replace(&key, &old, &new, expires_at)
                    .await
                    .unwrap()
            );
        }
    }
}

#[async_trait]
impl RefreshStore for Store {
    async fn list(
        &self,
        subject: &UserId,
        limit: u32,
    ) -> Result<Vec<(FamilyKey, FamilyRecord)>, Error> {
        self.check()?;
        self.inner.list(subject, limit).await
    }

    async fn insert(
        &self,
        key: &FamilyKey,
        subject: &UserId,
        record: &FamilyRecord,
        expires_at: SystemTime,
        ends_at: SystemTime,
    ) -> Result<(), Error> {
        self.check()?;
        assert!(expires_at <= ends_at);
        self.keys.lock().unwrap().push(*key);
        self.inner
            .insert(key, subject, record, expires_at, ends_at)
            .await
    }

    async fn find(&self, key: &FamilyKey) -> Result<Option<FamilyRecord>, Error> {
        self.check()?;
        if let Some((record, look_ups)) = &mut *self.lag.lock().unwrap()
            && *look_ups > 0
        {
            *look_ups -= 1;
            return Ok(Some(record.clone()));
        }
        self.inner.find(key).await
    }

    async fn replace(
        &self,
        key: &FamilyKey,
        old: &FamilyRecord,
        new: &FamilyRecord,
        expires_at: SystemTime,
    ) -> Result<bool, Error> {
        self.check()?;
        self.inner.replace(key, old, new, expires_at).await
    }

    async fn revoke(&self, key: &FamilyKey) -> Result<bool, Error> {
        self.check()?;
        self.inner.revoke(key).await
    }

    async fn revoke_all(&self, subject: &UserId) -> Result<u64, Error> {
        self.check()?;
        self.inner.revoke_all(subject).await
    }

    async fn delete_expired(&self, now: SystemTime, limit: u32) -> Result<u32, Error> {
        self.check()?;
        self.inner.delete_expired(now, limit).await
    }
}

/// Issues tokens that say what they were asked for.
#[derive(Debug)]
pub(crate) struct PlainIssuer;

#[async_trait]
impl TokenIssuer for PlainIssuer {
    async fn issue(&self, request: TokenRequest<'_>) -> Result<TokenResponse, Error> {
        let token = format!("{} for {}", request.subject, request.scopes.join(","));
        Ok(TokenResponse::new(
            Secret::from(token),
            Duration::from_secs(900),
        ))
    }
}

/// Cannot issue any token.
#[derive(Debug)]
pub(crate) struct NoIssuer;

#[async_trait]
impl TokenIssuer for NoIssuer {
    async fn issue(&self, _: TokenRequest<'_>) -> Result<TokenResponse, Error> {
        Err(Error::new(
            ErrorKind::Unavailable,
            "the issuer is out of order",
        ))
    }
}
