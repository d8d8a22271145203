//! Turns the head of a request into the claims of a valid access token, or a refusal.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use thiserror::Error;

use crate::adapter::RequestHead;
use crate::clock::UnixTime;
use crate::cookie::cookie_values;
use crate::error::{Error, ErrorKind};
use crate::refresh::RefreshTokens;
use crate::responder::{Answer, FastApi, Reply, Responder};
use crate::store::{Credential, CredentialStore, UserStatus};
use crate::token::{Claims, TokenVerifier};

/// Lets requests through that carry a valid access token (RFC 6750 §2.1).
///
/// By default a token is good until it expires, whatever became of its user meanwhile. With
/// [`with_credential_check`](Self::with_credential_check) each request asks the store as well.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), portcullis_core::Error> {
/// use std::sync::Arc;
///
/// use portcullis_core::adapter::RequestHead;
/// use portcullis_core::memory::MemoryTokenStore;
/// use portcullis_core::token::TokenRequest;
/// use portcullis_core::{AccessTokenPolicy, BearerGuard, OpaqueIssuer, TokenIssuer, UserId};
///
/// let policy = AccessTokenPolicy::new("https://login.example", "https://api.example");
/// let issuer = OpaqueIssuer::new(policy, Arc::new(MemoryTokenStore::new()));
/// let guard = BearerGuard::new(Arc::new(issuer.verifier()));
///
/// let token = issuer.issue(TokenRequest::new(&UserId::new("ada"))).await?.access_token;
/// let authorization = format!("Bearer {}", token.expose());
/// let head = RequestHead::new("GET", b"/orders")
///     .with_headers([("authorization", authorization.as_bytes())]);
/// let bearer = guard.admit(&head).await.expect("the token is good");
/// assert_eq!(bearer.claims.sub.as_str(), "ada");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct BearerGuard {
    verifier: Arc<dyn TokenVerifier>,
    store: Option<Arc<dyn CredentialStore>>,
    sessions: Option<RefreshTokens>,
    responder: Arc<dyn Responder>,
    scheme: Cow<'static, str>,
    cookie: Option<String>,
    cross_site: CrossSite,
}

/// What becomes of requests from other sites whose token is in a cookie.
#[derive(Clone, Copy, Debug)]
enum CrossSite {
    Allowed,
    Refused,
}

impl BearerGuard {
    /// Makes a guard that trusts what `verifier` accepts.
    pub fn new(verifier: Arc<dyn TokenVerifier>) -> Self {
        Self {
            verifier,
            store: None,
            sessions: None,
            responder: Arc::new(FastApi::new()),
            scheme: Cow::Borrowed("Bearer"),
            cookie: None,
            cross_site: CrossSite::Refused,
        }
    }

    /// Also asks `store`, once per request, whether the user still exists, is enabled, and has not had
    /// older tokens revoked ([`Credential::tokens_valid_from`]).
    ///
    /// A token carries that cut-off as it stood when the token was made, and is dead once the store's
    /// is a later one. A token of another service that carries none is dead if it was issued before the
    /// cut-off, in whole seconds.
    #[must_use]
    pub fn with_credential_check(mut self, store: Arc<dyn CredentialStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// Also asks, once per request, whether the login that the token names (`sid`) goes on: so logging out,
    /// a revocation, a refresh token that was used twice, and the end of a session end its access tokens
    /// at once, whatever format they have. `sessions` are those of the
    /// [`TokenEndpoint`](crate::TokenEndpoint). A token that names no such login is not asked for.
    #[must_use]
    pub fn with_sessions(mut self, sessions: RefreshTokens) -> Self {
        self.sessions = Some(sessions);
        self
    }

    /// Answers refusals as `responder` has them: the one of the
    /// [`TokenEndpoint`](crate::TokenEndpoint), so that a service speaks with one voice. Default:
    /// [`FastApi`].
    #[must_use]
    pub fn with_responder(mut self, responder: Arc<dyn Responder>) -> Self {
        self.responder = responder;
        self
    }

    /// Reads the token after another scheme than `Bearer` in the `Authorization` header, such as
    /// `Token`. Schemes are compared without regard to case. The challenges of the built-in responders stay
    /// those of `Bearer`; a [`Responder`] of your own, or a [`Wording`](crate::responder::Wording), has others.
    #[must_use]
    pub fn with_scheme(mut self, scheme: impl Into<Cow<'static, str>>) -> Self {
        self.scheme = scheme.into();
        self
    }

    /// Reads the token from the cookie `name` where a request has no `Authorization` header of the
    /// scheme; the header wins.
    ///
    /// Browsers send cookies with requests that other sites trigger. So a request by another method than
    /// GET, HEAD, OPTIONS and TRACE is then refused if `Sec-Fetch-Site` or `Origin` shows that it comes
    /// from another site.
    #[must_use]
    pub fn with_cookie(mut self, name: impl Into<String>) -> Self {
        self.cookie = Some(name.into());
        self
    }

    /// Takes tokens from cookies whatever site a request comes from: for applications that check a
    /// header of their own which other sites cannot send.
    #[must_use]
    pub fn danger_with_cross_site_cookies(mut self) -> Self {
        self.cross_site = CrossSite::Allowed;
        self
    }

    /// Checks the access token of a request.
    ///
    /// Cancellation safe: nothing is changed.
    ///
    /// # Errors
    /// The refusal and the reply to it. [`BearerRefusal::NotAuthenticated`],
    /// [`BearerRefusal::InvalidToken`] and [`BearerRefusal::CrossSite`] are about what the client sent;
    /// [`BearerRefusal::Failed`] says that the verifier or the store could not find out.
    pub async fn admit(&self, head: &RequestHead<'_>) -> Result<Bearer, BearerRejection> {
        self.find(head)
            .await
            .map_err(|refusal| self.reject(refusal))
    }

    /// As [`admit`](Self::admit), but a request without a token is `None`, as of FastAPI's
    /// `OAuth2PasswordBearer(auto_error=False)`. A token that is no good is refused all the same.
    ///
    /// # Errors
    /// As [`admit`](Self::admit), but never [`BearerRefusal::NotAuthenticated`].
    pub async fn admit_optional(
        &self,
        head: &RequestHead<'_>,
    ) -> Result<Option<Bearer>, BearerRejection> {
        match self.admit(head).await {
            Err(rejection) if matches!(rejection.refusal, BearerRefusal::NotAuthenticated) => {
                Ok(None)
            }
            admitted => admitted.map(Some),
        }
    }

    /// Checks the first `Authorization` header of a request, `None` if it has none.
    ///
    /// # Errors
    /// As [`admit`](Self::admit), without the reply.
    pub async fn check(&self, authorization: Option<&[u8]>) -> Result<Bearer, BearerRefusal> {
        let token = token_after(&self.scheme, authorization);
        self.verify(&token.ok_or(BearerRefusal::NotAuthenticated)?)
            .await
    }

    /// By the header, or else by the first cookie that is good: none of several hides the others.
    async fn find(&self, head: &RequestHead<'_>) -> Result<Bearer, BearerRefusal> {
        if let Some(token) = token_after(&self.scheme, head.header("authorization")) {
            return self.verify(&token).await;
        }
        let mut found = Err(BearerRefusal::NotAuthenticated);
        let Some(name) = self.cookie.as_deref() else {
            return found;
        };
        for token in cookie_values(name, head.header_values("cookie")).take(MAX_COOKIES) {
            match self.cross_site {
                CrossSite::Refused if is_from_another_site(head) => {
                    return Err(BearerRefusal::CrossSite);
                }
                CrossSite::Allowed | CrossSite::Refused => found = self.verify(token).await,
            }
            if !matches!(found, Err(BearerRefusal::InvalidToken)) {
                break;
            }
        }
        found
    }

    async fn verify(&self, token: &str) -> Result<Bearer, BearerRefusal> {
        let claims = self.verifier.verify(token).await.map_err(refusal)?;
        if let Some(sessions) = &self.sessions
            && !sessions
                .goes_on(claims.sid.as_deref())
                .await
                .map_err(refusal)?
        {
            return Err(BearerRefusal::InvalidToken);
        }
        let credential = match &self.store {
            Some(store) => Some(
                store
                    .find_by_id(&claims.sub)
                    .await
                    .map_err(refusal)?
                    .filter(|credential| admits(credential, &claims))
                    .ok_or(BearerRefusal::InvalidToken)?,
            ),
            None => None,
        };
        Ok(Bearer {
            claims,
            credential,
            responder: Arc::clone(&self.responder),
        })
    }

    fn reject(&self, refusal: BearerRefusal) -> BearerRejection {
        BearerRejection::new(refusal, &*self.responder)
    }
}

impl AsRef<Self> for BearerGuard {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// The guard of one kind of users, in an application that has several: each kind has a guard of its own,
/// and the type of a handler's argument says whom it is for.
///
/// `K` is a type that stands for the kind and is never made:
///
/// ```
/// use portcullis_core::guard::GuardOf;
/// use portcullis_core::BearerGuard;
///
/// enum Staff {}
///
/// fn guards(customers: BearerGuard, staff: BearerGuard) -> (BearerGuard, GuardOf<Staff>) {
///     (customers, GuardOf::new(staff))
/// }
/// ```
pub struct GuardOf<K: ?Sized> {
    guard: BearerGuard,
    // Nothing of `K` is kept, whatever it is.
    kind: PhantomData<fn() -> K>,
}

impl<K: ?Sized> GuardOf<K> {
    /// Makes `guard` the one of this kind.
    #[must_use]
    pub fn new(guard: BearerGuard) -> Self {
        Self {
            guard,
            kind: PhantomData,
        }
    }
}

impl<K: ?Sized> AsRef<BearerGuard> for GuardOf<K> {
    fn as_ref(&self) -> &BearerGuard {
        &self.guard
    }
}

impl<K: ?Sized> Clone for GuardOf<K> {
    fn clone(&self) -> Self {
        Self::new(self.guard.clone())
    }
}

impl<K: ?Sized> fmt::Debug for GuardOf<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GuardOf").field(&self.guard).finish()
    }
}

/// What is known of the sender of a request that a [`BearerGuard`] let through.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Bearer {
    /// What the access token says.
    pub claims: Claims,
    /// The user as stored now; `None` if the guard does not ask the store.
    pub credential: Option<Credential>,
    /// For what a handler refuses itself.
    responder: Arc<dyn Responder>,
}

impl Bearer {
    /// Makes the bearer of a token with these claims, for the test of a handler. A request gets one
    /// from a [`BearerGuard`].
    #[must_use]
    pub fn new(claims: Claims) -> Self {
        Self {
            claims,
            credential: None,
            responder: Arc::new(FastApi::new()),
        }
    }

    /// Refuses a token that does not have `scope`.
    ///
    /// # Errors
    /// [`BearerRefusal::InsufficientScope`], and the reply to it: 403 with the scope that is needed (RFC
    /// 6750 §3.1).
    pub fn require(&self, scope: &str) -> Result<(), BearerRejection> {
        if self.claims.scopes.iter().any(|has| has == scope) {
            return Ok(());
        }
        let scope = scope.to_owned();
        let refusal = BearerRefusal::InsufficientScope { scope };
        Err(BearerRejection::new(refusal, &*self.responder))
    }
}

/// Why a [`BearerGuard`] did not let a request through.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BearerRefusal {
    /// The token is in a cookie, and the request comes from another site.
    #[error("the request comes from another site")]
    CrossSite,
    /// Whether the token is good could not be found out.
    #[error("the access token could not be checked")]
    Failed(#[source] Error),
    /// The token is good, but not for this (RFC 6750 §3.1, `insufficient_scope`).
    #[error("the access token does not have the scope that is needed")]
    InsufficientScope {
        /// The scope that is needed.
        scope: String,
    },
    /// There is a token, but it is not (or no longer) good (RFC 6750 §3.1, `invalid_token`).
    #[error("the access token is not valid")]
    InvalidToken,
    /// There is no token.
    #[error("no access token was sent")]
    NotAuthenticated,
}

/// A refusal of a [`BearerGuard`], and the reply that its [`Responder`] has for it.
#[derive(Debug)]
pub struct BearerRejection {
    refusal: BearerRefusal,
    reply: Reply,
}

impl BearerRejection {
    fn new(refusal: BearerRefusal, responder: &dyn Responder) -> Self {
        let reply = responder.respond(Answer::Bearer(&refusal));
        Self { refusal, reply }
    }

    /// For an adapter that is asked for a [`Bearer`] by an app without a [`BearerGuard`]: a failure,
    /// which is logged with the `advice` to the developer.
    #[must_use]
    pub fn without_guard(advice: &'static str) -> Self {
        let refusal = refusal(Error::new(ErrorKind::InvalidConfig, advice));
        Self::new(refusal, &FastApi::new())
    }

    /// Why the request was refused.
    #[must_use]
    pub fn refusal(&self) -> &BearerRefusal {
        &self.refusal
    }

    /// The reply for the client.
    #[must_use]
    pub fn reply(&self) -> &Reply {
        &self.reply
    }
}

impl fmt::Display for BearerRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.refusal.fmt(f)
    }
}

impl std::error::Error for BearerRejection {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.refusal.source()
    }
}

/// Takes the token out of an `Authorization` header, exactly as the `OAuth2PasswordBearer` of
/// FastAPI 0.165.0 does; `None` is its "Not authenticated".
///
/// The scheme is what stands before the first space, and the token all that follows, trimmed:
/// `Bearer` alone has the empty token, which no verifier accepts. Header bytes are Latin-1.
///
/// ```
/// use portcullis_core::guard::bearer_token;
///
/// assert_eq!(bearer_token(Some(b"bearer  a.b.c")).as_deref(), Some("a.b.c"));
/// assert_eq!(bearer_token(Some(b"Bearer")).as_deref(), Some(""));
/// assert_eq!(bearer_token(Some(b"Basic YTpi")), None);
/// assert_eq!(bearer_token(None), None);
/// ```
#[must_use]
pub fn bearer_token(authorization: Option<&[u8]>) -> Option<Cow<'_, str>> {
    token_after("Bearer", authorization)
}

fn token_after<'a>(scheme: &str, authorization: Option<&'a [u8]>) -> Option<Cow<'a, str>> {
    let mut parts = authorization?.splitn(2, |&byte| byte == b' ');
    // No other Latin-1 letter becomes an ASCII one in lower case, as Python has it.
    if !parts.next()?.eq_ignore_ascii_case(scheme.as_bytes()) {
        return None;
    }
    let mut token = parts.next().unwrap_or_default();
    while let [byte, rest @ ..] = token
        && is_space(*byte)
    {
        token = rest;
    }
    while let [rest @ .., byte] = token
        && is_space(*byte)
    {
        token = rest;
    }
    Some(match str::from_utf8(token) {
        Ok(ascii) if ascii.is_ascii() => Cow::from(ascii),
        _ => token.iter().copied().map(char::from).collect(),
    })
}

fn refusal(error: Error) -> BearerRefusal {
    if error.kind() == ErrorKind::InvalidToken {
        return BearerRefusal::InvalidToken;
    }
    error.log("an access token could not be checked");
    BearerRefusal::Failed(error)
}

/// What Python's `str.strip` takes away, of Latin-1. Unlike Rust, it counts the separators
/// U+001C to U+001F.
fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | 0x1C..=b' ' | 0x85 | 0xA0)
}

/// Tells whether a token with these claims is still good for the user as stored.
///
/// Cut-offs are compared by value: no clock is asked, and a token that was made in the instant of a
/// password change is on one side of it. A token without one has only `iat`, in whole seconds: one that
/// was issued just after a password change may seem older than it, and must be let in.
fn admits(credential: &Credential, claims: &Claims) -> bool {
    let cut_off = UnixTime::saturating_from_system(credential.tokens_valid_from);
    let in_time = match claims.cut_off {
        Some(then) => cut_off <= UnixTime::saturating_from_system(then),
        None => {
            let issued_at = UnixTime::saturating_from_system(claims.iat);
            cut_off.seconds() <= issued_at.seconds()
        }
    };
    credential.status == UserStatus::Enabled && in_time
}

/// Whether a request that changes something shows that another site has triggered it.
fn is_from_another_site(head: &RequestHead<'_>) -> bool {
    // RFC 9110 §9.2.1.
    if matches!(head.method(), "GET" | "HEAD" | "OPTIONS" | "TRACE") {
        return false;
    }
    if let Some(site) = head.header("sec-fetch-site") {
        return !matches!(site, b"same-origin" | b"same-site" | b"none");
    }
    // Browsers without Fetch Metadata send the origin with what they post.
    let Some(origin) = head.header("origin") else {
        return false;
    };
    let host = head.host().unwrap_or_default();
    let authority = origin
        .windows(3)
        .position(|window| window == b"://")
        .map(|at| &origin[at + 3..]);
    !authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

/// More cookies than a browser has reason to send; each costs a verification.
const MAX_COOKIES: usize = 4;
