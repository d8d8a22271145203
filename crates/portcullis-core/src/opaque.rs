//! Access tokens that say nothing: 256 random bits, whose meaning is in a [`TokenStore`].
//!
//! Unlike a JWT such a token costs a look-up to check, and can be revoked at once. The store never
//! sees the token, only its hash: who reads the store can log in as nobody.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use zeroize::Zeroizing;

use crate::clock::{Clock, SystemClock, since_1970};
use crate::error::{Error, ErrorKind};
use crate::housekeeping::Housekeeping;
use crate::random::{OsRandom, SecureRandom};
use crate::secret::Secret;
use crate::token::{Claims, TokenIssuer, TokenRequest, TokenResponse, TokenVerifier};
use crate::token_store::{TokenHash, TokenStore};

/// Issues opaque access tokens: 43 characters of base64url.
///
/// Times are whole seconds. A `client_id` longer than 256 bytes is left out: it was not
/// authenticated, and a client must not be able to fill the store with it.
///
/// Once in five minutes, at a login, the store is told to delete what has expired, a thousand at a
/// time, and again at the next logins until nothing is left; should that fail, the login succeeds
/// all the same.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), portcullis_core::Error> {
/// use std::sync::Arc;
///
/// use portcullis_core::{
///     ErrorKind, MemoryTokenStore, OpaqueIssuer, TokenIssuer, TokenRequest, TokenVerifier, UserId,
/// };
///
/// let store = Arc::new(MemoryTokenStore::new());
/// let issuer = OpaqueIssuer::new(store, "https://login.example", "https://api.example");
/// let verifier = issuer.verifier();
///
/// let ada = UserId::new("ada");
/// let token = issuer.issue(TokenRequest::new(&ada)).await?.access_token;
/// assert_eq!(verifier.verify(token.expose()).await?.sub, ada);
///
/// verifier.revoke(token.expose()).await?;
/// let refused = verifier.verify(token.expose()).await.unwrap_err();
/// assert_eq!(refused.kind(), ErrorKind::InvalidToken);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct OpaqueIssuer {
    store: Arc<dyn TokenStore>,
    issuer: String,
    audience: String,
    lifetime: Duration,
    clock: Arc<dyn Clock>,
    random: Arc<dyn SecureRandom>,
    housekeeping: Housekeeping,
}

impl OpaqueIssuer {
    /// Makes an issuer of tokens by `issuer` (`iss`) for `audience` (`aud`). Both are best URLs;
    /// verifiers compare them byte for byte.
    pub fn new(
        store: Arc<dyn TokenStore>,
        issuer: impl Into<String>,
        audience: impl Into<String>,
    ) -> Self {
        Self {
            store,
            issuer: issuer.into(),
            audience: audience.into(),
            lifetime: DEFAULT_LIFETIME,
            clock: Arc::new(SystemClock),
            random: Arc::new(OsRandom),
            housekeeping: Housekeeping::default(),
        }
    }

    /// Sets how long tokens live, in whole seconds: a fraction is dropped. Default 15 minutes; at
    /// least 1 second, at most 365 days.
    ///
    /// # Errors
    /// `InvalidConfig` if `lifetime` is out of range.
    pub fn with_lifetime(mut self, lifetime: Duration) -> Result<Self, Error> {
        if !(Duration::from_secs(1)..=MAX_LIFETIME).contains(&lifetime) {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                "the lifetime of access tokens must be from 1 second to 365 days",
            ));
        }
        self.lifetime = Duration::from_secs(lifetime.as_secs());
        Ok(self)
    }

    /// Takes the time from `clock`. Default [`SystemClock`].
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Takes the tokens and the bytes of `jti` from `random`. Default [`OsRandom`].
    #[must_use]
    pub fn with_random(mut self, random: Arc<dyn SecureRandom>) -> Self {
        self.random = random;
        self
    }

    /// Makes the verifier of exactly these tokens: same store, issuer, audience and clock.
    #[must_use]
    pub fn verifier(&self) -> OpaqueVerifier {
        OpaqueVerifier::new(Arc::clone(&self.store), &*self.issuer, &*self.audience)
            .with_clock(Arc::clone(&self.clock))
    }

    fn claims(&self, request: &TokenRequest<'_>) -> Result<Claims, Error> {
        let now = self.clock.now();
        let mut claims = Claims::new(
            self.issuer.clone(),
            request.subject.clone(),
            vec![self.audience.clone()],
            whole_seconds(request.issued_at(now))?,
            whole_seconds(now)? + self.lifetime,
            self.random_text::<JTI_LEN>()?,
        );
        claims.client_id = request.short_client_id().map(str::to_owned);
        claims.scopes = request.scopes.to_vec();
        Ok(claims)
    }

    fn random_text<const LEN: usize>(&self) -> Result<String, Error> {
        let mut bytes = Zeroizing::new([0; LEN]);
        self.random.fill(&mut *bytes).map_err(|source| {
            Error::new(ErrorKind::Unavailable, "no randomness for a token").with_source(source)
        })?;
        Ok(BASE64URL.encode(*bytes))
    }
}

#[async_trait]
impl TokenIssuer for OpaqueIssuer {
    async fn issue(&self, request: TokenRequest<'_>) -> Result<TokenResponse, Error> {
        let claims = self.claims(&request)?;
        let token = Secret::from(self.random_text::<TOKEN_LEN>()?);
        let hash = TokenHash::of(token.expose());
        self.store.insert(&hash, &claims).await?;
        // Afterwards: a store that is out of order is waited for once, not twice.
        self.housekeeping
            .run(
                "expired access tokens could not be deleted",
                &*self.clock,
                async |now, limit| self.store.delete_expired(now, limit).await,
            )
            .await;
        Ok(TokenResponse::new(token, self.lifetime))
    }
}

fn whole_seconds(time: SystemTime) -> Result<SystemTime, Error> {
    Ok(UNIX_EPOCH + Duration::from_secs(since_1970(time)?.as_secs()))
}

/// Verifies opaque access tokens, and revokes them.
///
/// A token is refused unless the store has it, its `iss` is the issuer, its `aud` contains the
/// audience, and it has not expired: it is refused from `exp` on.
#[derive(Clone, Debug)]
pub struct OpaqueVerifier {
    store: Arc<dyn TokenStore>,
    issuer: String,
    audience: String,
    clock: Arc<dyn Clock>,
}

impl OpaqueVerifier {
    /// Makes a verifier of tokens by `issuer` for `audience`, both compared byte for byte. In the
    /// process that issues them, [`OpaqueIssuer::verifier`] is simpler.
    pub fn new(
        store: Arc<dyn TokenStore>,
        issuer: impl Into<String>,
        audience: impl Into<String>,
    ) -> Self {
        Self {
            store,
            issuer: issuer.into(),
            audience: audience.into(),
            clock: Arc::new(SystemClock),
        }
    }

    /// Takes the time from `clock`. Default [`SystemClock`].
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Revokes a token at once, for all who verify it; `false` if the store does not have it
    /// (RFC 7009 §2.2 calls that a success too). Whoever has a token may revoke it.
    ///
    /// # Errors
    /// As [`TokenStore::revoke`]: the token may then still be good.
    pub async fn revoke(&self, access_token: &str) -> Result<bool, Error> {
        self.store.revoke(&TokenHash::of(access_token)).await
    }
}

#[async_trait]
impl TokenVerifier for OpaqueVerifier {
    async fn verify(&self, access_token: &str) -> Result<Claims, Error> {
        // What cannot be a token costs no look-up.
        if access_token.len() != TOKEN_TEXT_LEN {
            return Err(refused("the token does not have 43 characters"));
        }
        let claims = self.store.find(&TokenHash::of(access_token)).await?;
        let claims = claims.ok_or_else(|| refused("the token is unknown or was revoked"))?;
        if claims.iss != self.issuer {
            return Err(refused("the token is from another issuer"));
        }
        if !claims.aud.contains(&self.audience) {
            return Err(refused("the token is for another audience"));
        }
        if self.clock.now() >= claims.exp {
            return Err(refused("the token has expired"));
        }
        Ok(claims)
    }
}

fn refused(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidToken, message)
}

/// 256 bits: more than the 160 that RFC 6749 §10.10 asks for.
const TOKEN_LEN: usize = 32;

/// The length of so many bytes in base64url.
const TOKEN_TEXT_LEN: usize = (TOKEN_LEN * 8).div_ceil(6);

/// 128 bits: no two tokens share an id (RFC 7519 §4.1.7).
const JTI_LEN: usize = 16;

const DEFAULT_LIFETIME: Duration = Duration::from_secs(15 * 60);
const MAX_LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);
