//! Turns the head of a request into the claims of a valid access token, or a refusal.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::adapter::RequestHead;
use crate::clock::UnixTime;
use crate::cookie::cookie_values;
use crate::refresh::RefreshTokens;
use crate::responder::{FastApi, Responder};
use crate::store::{Credential, CredentialStore, UserStatus};
use crate::token::{Claims, TokenVerifier};

mod head;
pub use head::bearer_token;
use head::{is_from_another_site, token_after};

mod refusal;
pub use refusal::{BearerRefusal, BearerRejection};

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
            Err(rejection) if matches!(rejection.refusal(), BearerRefusal::NotAuthenticated) => {
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
        let claims = self
            .verifier
            .verify(token)
            .await
            .map_err(BearerRefusal::of)?;
        if let Some(sessions) = &self.sessions
            && !sessions
                .goes_on(claims.sid.as_deref())
                .await
                .map_err(BearerRefusal::of)?
        {
            return Err(BearerRefusal::InvalidToken);
        }
        let credential = match &self.store {
            Some(store) => Some(
                store
                    .find_by_id(&claims.sub)
                    .await
                    .map_err(BearerRefusal::of)?
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

/// More cookies than a browser has reason to send; each costs a verification.
const MAX_COOKIES: usize = 4;
