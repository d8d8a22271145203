//! Decides what an access token says, whatever it looks like on the wire, and what it must say.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use serde_json::{Map, Value};

use crate::clock::{Clock, SystemClock, UnixTime, unix_time};
use crate::error::{Error, ErrorKind};
use crate::random::{OsRandom, SecureRandom, random_bytes};
use crate::token::{Claims, TokenRequest, is_scope_token};

/// What access tokens say and how long they live. An issuer takes one, and only encodes the claims
/// that it makes; a verifier takes one, and only decodes the claims that it checks.
///
/// Times are whole seconds; `iat` is [`TokenRequest::issued_at`], while `exp` counts from now. A
/// `client_id` longer than 256 bytes is left out: it was not authenticated.
///
/// ```
/// use std::time::Duration;
///
/// use portcullis_core::AccessTokenPolicy;
///
/// let policy = AccessTokenPolicy::new("https://login.example", "https://api.example")
///     .with_lifetime(Duration::from_secs(5 * 60))?;
/// # Ok::<(), portcullis_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct AccessTokenPolicy {
    issuer: String,
    /// At least one.
    audiences: Vec<String>,
    lifetime: Duration,
    leeway: Option<Duration>,
    backdating: Duration,
    source: Option<Arc<dyn ClaimsSource>>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn SecureRandom>,
}

impl AccessTokenPolicy {
    /// Tokens by `issuer` (`iss`) for `audience` (`aud`). Both are best URLs; they are compared byte for
    /// byte (RFC 7519 §4.1.1 and §4.1.3).
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            audiences: vec![audience.into()],
            lifetime: DEFAULT_LIFETIME,
            leeway: None,
            backdating: Duration::ZERO,
            source: None,
            clock: Arc::new(SystemClock),
            random: Arc::new(OsRandom),
        }
    }

    /// Makes tokens for another audience too. A token that is checked must be for one of them.
    #[must_use]
    pub fn and_audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
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

    /// Sets by how much the clock of the issuer may differ from that of the verifier (RFC 7519
    /// §4.1.4). Default 0 for opaque tokens, and 30 seconds for JWTs.
    #[must_use]
    pub fn with_leeway(mut self, leeway: Duration) -> Self {
        self.leeway = Some(leeway);
        self
    }

    /// Sets the leeway, unless it was set: for verifiers of tokens that other machines make.
    #[must_use]
    pub fn with_default_leeway(mut self, leeway: Duration) -> Self {
        self.leeway.get_or_insert(leeway);
        self
    }

    /// Dates `iat` and `nbf` back by so much, for verifiers whose clocks are behind and that allow for no
    /// difference: they would refuse a token until its time has come. Default 0. Nothing here depends on
    /// it: what a change of password ends is told by the cut-off.
    #[must_use]
    pub fn with_backdating(mut self, duration: Duration) -> Self {
        self.backdating = duration;
        self
    }

    /// Adds the claims that `source` makes for each token.
    #[must_use]
    pub fn with_claims(mut self, source: Arc<dyn ClaimsSource>) -> Self {
        self.source = Some(source);
        self
    }

    /// Takes the time from `clock`. Default [`SystemClock`].
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Takes the bytes of `jti`, and of opaque tokens, from `random`. Default [`OsRandom`].
    #[must_use]
    pub fn with_random(mut self, random: Arc<dyn SecureRandom>) -> Self {
        self.random = random;
        self
    }

    /// Makes the claims of a new token.
    ///
    /// # Errors
    /// As [`ClaimsSource::claims`]; `Internal` if that names a claim that is made here; `Unavailable`
    /// without randomness.
    pub async fn claims(&self, request: &TokenRequest<'_>) -> Result<Claims, Error> {
        let now = self.clock.now();
        let jti = random_bytes::<JTI_LEN>(&*self.random, "the id of a token")?;
        let mut claims = Claims::new(
            self.issuer.clone(),
            request.subject.clone(),
            self.audiences.clone(),
            whole_seconds(request.issued_at(now))?
                .checked_sub(self.backdating)
                .unwrap_or(SystemTime::UNIX_EPOCH),
            whole_seconds(now)? + self.lifetime,
            BASE64URL.encode(*jti),
        );
        claims.client_id = request.short_client_id().map(str::to_owned);
        // What is written with others in one line must be one.
        let scopes = request.scopes.iter().filter(|scope| is_scope_token(scope));
        claims.scopes = scopes.cloned().collect();
        claims.sid = request.session_id.map(str::to_owned);
        claims.cut_off = request.cut_off().map(whole_micros);
        if let Some(source) = &self.source {
            claims.extra = source.claims(request).await?;
            if let Some(name) = RESERVED
                .iter()
                .find(|name| claims.extra.contains_key(**name))
            {
                return Err(Error::new(
                    ErrorKind::Internal,
                    format!("the claim `{name}` is made by the policy, and cannot be added to it"),
                ));
            }
        }
        Ok(claims)
    }

    /// Checks the claims of a token that is otherwise known to be ours.
    ///
    /// # Errors
    /// `InvalidToken` unless `iss` is the issuer, `aud` has one of the audiences, and the token has not
    /// expired: it is refused from `exp` on, give or take the leeway.
    pub fn check(&self, claims: &Claims) -> Result<(), Error> {
        if claims.iss != self.issuer {
            return Err(refused("the token is from another issuer"));
        }
        if !claims.aud.iter().any(|aud| self.audiences.contains(aud)) {
            return Err(refused("the token is for another audience"));
        }
        // "[...] on or after which the JWT MUST NOT be accepted" (RFC 7519 §4.1.4).
        let late = self.clock.now().duration_since(claims.exp);
        if late.is_ok_and(|late| late >= self.leeway()) {
            return Err(refused("the token has expired"));
        }
        Ok(())
    }

    /// Checks that a token may be used already, as its `nbf` has it (RFC 7519 §4.1.5).
    ///
    /// # Errors
    /// `InvalidToken` if it may not, give or take the leeway.
    pub fn check_not_before(&self, not_before: SystemTime) -> Result<(), Error> {
        let early = not_before.duration_since(self.clock.now());
        if early.is_ok_and(|early| early > self.leeway()) {
            return Err(refused("the token is not valid yet"));
        }
        Ok(())
    }

    fn leeway(&self) -> Duration {
        self.leeway.unwrap_or_default()
    }

    /// How long tokens live.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// Where the time comes from.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Where random bytes come from.
    #[must_use]
    pub fn random(&self) -> &Arc<dyn SecureRandom> {
        &self.random
    }
}

/// Makes further claims for access tokens: a tenant, roles, a display name. Handlers find them in
/// [`Claims::extra`].
///
/// ```
/// use portcullis_core::token::{ClaimsSource, TokenRequest};
/// use portcullis_core::{Error, async_trait};
/// use serde_json::{Map, Value};
///
/// /// Has tokens say what their users are called.
/// #[derive(Debug)]
/// struct Names;
///
/// #[async_trait]
/// impl ClaimsSource for Names {
///     async fn claims(&self, request: &TokenRequest<'_>) -> Result<Map<String, Value>, Error> {
///         let user = request.user.into_iter();
///         Ok(user
///             .map(|user| ("name".to_owned(), Value::from(user.username.as_str())))
///             .collect())
///     }
/// }
/// ```
#[async_trait]
pub trait ClaimsSource: Debug + Send + Sync + 'static {
    /// Makes the claims for one token. A login and each refresh wait for it.
    ///
    /// Whoever has the token can read them, unless the format hides them. Names that the policy gives
    /// a meaning (`iss`, `sub`, `aud`, `exp`, `iat`, `nbf`, `jti`, `client_id`, `scope`, `sid`,
    /// `cut_off`) are refused.
    ///
    /// # Errors
    /// Whatever keeps the claims from being made: the client is answered 503 or 500, by the kind.
    async fn claims(&self, request: &TokenRequest<'_>) -> Result<Map<String, Value>, Error>;
}

fn whole_seconds(time: SystemTime) -> Result<SystemTime, Error> {
    let seconds = unix_time(time)?.seconds();
    Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

fn whole_micros(time: SystemTime) -> SystemTime {
    UnixTime::saturating_from_system(time).to_system()
}

fn refused(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidToken, message)
}

/// The claims that are fields of [`Claims`], and `nbf`.
const RESERVED: [&str; 11] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "nbf",
    "jti",
    "client_id",
    "scope",
    "sid",
    "cut_off",
];

/// 128 bits: no two tokens share an id (RFC 7519 §4.1.7).
const JTI_LEN: usize = 16;

const DEFAULT_LIFETIME: Duration = Duration::from_secs(15 * 60);
const MAX_LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);
