//! The whole way of a login: from the body of a request to the reply.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::authenticator::{Authentication, Authenticator};
use crate::cookie::{self, RefreshCookie};
use crate::error::Error;
use crate::form::FormValue;
use crate::form::{FormData, FormError};
use crate::grant::{self, Grant, GrantTypePolicy, PasswordGrant, RefreshTokenGrant};
use crate::refresh::{RefreshToken, RefreshTokens, is_refresh_token};
use crate::reply::{Dialect, Reply};
use crate::throttle::{Admission, Attempt, Throttle};
use crate::token::{TokenIssuer, TokenRequest, TokenResponse};
use crate::validation::ValidationErrors;

/// The token endpoint (RFC 6749 §3.2): takes the password form, answers an access token.
///
/// Build one, share it by clone between all workers of a server, and give it to an adapter.
///
/// ```
/// # use std::sync::Arc;
/// # use portcullis_core::{Argon2idHasher, Argon2Params, Authenticator, Error, HashPool};
/// # use portcullis_core::{HashPoolConfig, MemoryCredentialStore, TokenEndpoint, TokenIssuer};
/// fn endpoint(issuer: Arc<dyn TokenIssuer>) -> Result<TokenEndpoint, Error> {
///     let hasher = Arc::new(Argon2idHasher::new(Argon2Params::default()));
///     let pool = HashPool::new(hasher, HashPoolConfig::default())?;
///     let authenticator = Authenticator::new(Arc::new(MemoryCredentialStore::new()), pool)?;
///     Ok(TokenEndpoint::new(authenticator, issuer))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct TokenEndpoint {
    authenticator: Authenticator,
    issuer: Arc<dyn TokenIssuer>,
    throttle: Option<Throttle>,
    refresh_tokens: Option<RefreshTokens>,
    refresh_cookie: RefreshCookie,
    grant_type: GrantTypePolicy,
    dialect: Dialect,
}

impl TokenEndpoint {
    /// Makes an endpoint that behaves as FastAPI's with `OAuth2PasswordRequestForm`.
    #[must_use]
    pub fn new(authenticator: Authenticator, issuer: Arc<dyn TokenIssuer>) -> Self {
        Self {
            authenticator,
            issuer,
            throttle: None,
            refresh_tokens: None,
            refresh_cookie: RefreshCookie::default(),
            grant_type: GrantTypePolicy::default(),
            dialect: Dialect::default(),
        }
    }

    /// Limits how often passwords may be tried for one account. Default: no limit, as in FastAPI.
    #[must_use]
    pub fn with_throttle(mut self, throttle: Throttle) -> Self {
        self.throttle = Some(throttle);
        self
    }

    /// Gives out refresh tokens with access tokens, and takes them. Default: none, as FastAPI.
    ///
    /// In FastAPI's dialect they travel in a cookie, and bodies stay as they are; see
    /// [`refresh`](Self::refresh) and [`log_out`](Self::log_out). In that of RFC 6749 they are in
    /// the body, and this endpoint takes them as `grant_type=refresh_token`; see
    /// [`revoke`](Self::revoke).
    #[must_use]
    pub fn with_refresh_tokens(mut self, tokens: RefreshTokens) -> Self {
        self.refresh_tokens = Some(tokens);
        self
    }

    /// Says how the cookie is set that has the refresh token, in FastAPI's dialect.
    ///
    /// # Errors
    /// `InvalidConfig` if browsers would not take such a cookie.
    pub fn with_refresh_cookie(mut self, cookie: RefreshCookie) -> Result<Self, Error> {
        cookie.check()?;
        self.refresh_cookie = cookie;
        Ok(self)
    }

    /// Says whether `grant_type` must be sent. Default: it need not.
    #[must_use]
    pub fn with_grant_type(mut self, policy: GrantTypePolicy) -> Self {
        self.grant_type = policy;
        self
    }

    /// Says in which shape everything is answered. Default: FastAPI's.
    #[must_use]
    pub fn with_dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// The shape of the answers, for what is answered before a request gets here.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Answers a login. Everything that can happen has a reply.
    ///
    /// Cancellation safe: a dropped login leaves nothing half-done, see
    /// [`Authenticator::authenticate`].
    pub async fn handle(&self, request: LoginRequest<'_>) -> Reply {
        match self.read(request) {
            Ok(grant) => self.answer(&grant, request.remote_address).await,
            Err(reply) => reply,
        }
    }

    /// Reads the form of a login: the part of [`handle`](Self::handle) that needs the body. An
    /// adapter frees the body before it goes on with [`answer`](Self::answer), so that logins that
    /// wait to be hashed do not hold theirs.
    ///
    /// # Errors
    /// The reply to a body that is no grant.
    pub fn read(&self, request: LoginRequest<'_>) -> Result<Grant, Reply> {
        self.grant(request)
            .map_err(|refusal| Reply::login_refusal(&refusal, self.dialect))
    }

    /// Answers a login whose form has been read, and came from `remote_address`.
    pub async fn answer(&self, grant: &Grant, remote_address: Option<IpAddr>) -> Reply {
        self.render(self.redeem(grant, remote_address).await)
    }

    /// Answers a request for a new access token by the refresh token in a cookie, as `cookies`, the
    /// `Cookie` headers, have it. The body of the request says nothing.
    ///
    /// In the dialect of RFC 6749, and without
    /// [`with_refresh_tokens`](Self::with_refresh_tokens), there is no such endpoint: 404.
    ///
    /// Cancellation safe: the token is replaced or not, and can be sent again either way, see
    /// [`RefreshPolicy::retry_window`](crate::RefreshPolicy::retry_window).
    pub async fn refresh<'a>(&self, cookies: impl IntoIterator<Item = &'a [u8]>) -> Reply {
        if !self.has_refresh_cookie() {
            return Reply::not_found();
        }
        let mut refreshed = Err(LoginRefusal::NotAuthenticated);
        for token in cookie::refresh_tokens(cookies) {
            refreshed = self.redeem_refresh(&RefreshTokenGrant::new(token)).await;
            if !matches!(refreshed, Err(LoginRefusal::BadRefreshToken)) {
                break;
            }
        }
        // The cookie of a token that is refused stays: another tab may just have set a better one.
        self.render(refreshed)
    }

    /// Answers a request to log out: revokes the refresh tokens in the cookies, all that come of the
    /// same logins, and has the browser forget them. To be without one is no error. Access tokens live
    /// on until they expire.
    ///
    /// There is such an endpoint where there is [`refresh`](Self::refresh).
    ///
    /// Cancellation safe: the token is revoked or not.
    pub async fn log_out<'a>(&self, cookies: impl IntoIterator<Item = &'a [u8]>) -> Reply {
        let Some(tokens) = self
            .refresh_tokens
            .as_ref()
            .filter(|_| self.has_refresh_cookie())
        else {
            return Reply::not_found();
        };
        for token in cookie::refresh_tokens(cookies) {
            if let Err(error) = tokens.revoke(token.expose()).await {
                error.log("a login could not be ended");
                return Reply::failure(&error, self.dialect);
            }
        }
        Reply::logged_out().with_cookie(self.refresh_cookie.forget())
    }

    /// Answers a request to revoke a refresh token (RFC 7009 §2), and all that come of the same
    /// login. Access tokens are not revoked here: one that is sent as such, by `token_type_hint`, is
    /// an `unsupported_token_type` (§2.2.1). What else is no refresh token, or none any more, is as
    /// good as revoked (§2.2).
    ///
    /// In FastAPI's dialect, and without [`with_refresh_tokens`](Self::with_refresh_tokens), there is
    /// no such endpoint: 404.
    ///
    /// Cancellation safe: the token is revoked or not.
    pub async fn revoke(&self, request: LoginRequest<'_>) -> Reply {
        if !self.has_revocation() {
            return Reply::not_found();
        }
        match self.redeem_revocation(request).await {
            Ok(()) => Reply::revoked(),
            Err(refusal) => self.render(Err(refusal)),
        }
    }

    async fn redeem_revocation(&self, request: LoginRequest<'_>) -> Result<(), LoginRefusal> {
        let form = FormData::parse(request.content_type, request.body)?;
        let (token, hint) = grant::token_to_revoke(&form)?;
        if hint == Some("access_token") && !is_refresh_token(token.expose()) {
            return Err(LoginRefusal::UnsupportedTokenType);
        }
        if let Some(tokens) = &self.refresh_tokens {
            tokens.revoke(token.expose()).await?;
        }
        Ok(())
    }

    /// What there is to ask of this endpoint, for an adapter to make a route of each.
    #[must_use]
    pub fn operations(&self) -> &'static [Operation] {
        match self.dialect {
            _ if self.refresh_tokens.is_none() => &[Operation::Login],
            Dialect::FastApi => &[Operation::Login, Operation::Refresh, Operation::LogOut],
            Dialect::Rfc6749 => &[Operation::Login, Operation::Revoke],
        }
    }

    fn has_refresh_cookie(&self) -> bool {
        self.operations().contains(&Operation::Refresh)
    }

    fn has_revocation(&self) -> bool {
        self.operations().contains(&Operation::Revoke)
    }

    fn render(&self, outcome: Result<Login, LoginRefusal>) -> Reply {
        match outcome {
            Ok(login) => {
                let reply = Reply::token(&login, self.dialect);
                match &login.refresh_token {
                    Some(RefreshToken { token, expires_in }) if self.has_refresh_cookie() => {
                        reply.with_cookie(self.refresh_cookie.keep(token, *expires_in))
                    }
                    _ => reply,
                }
            }
            Err(refusal) => {
                if let LoginRefusal::Failed(error) = &refusal {
                    error.log("a login could not be answered");
                }
                Reply::login_refusal(&refusal, self.dialect)
            }
        }
    }

    /// Does all of a login but the rendering, for callers with replies of their own.
    ///
    /// # Errors
    /// The stage that refused, as a [`LoginRefusal`].
    pub async fn login(&self, request: LoginRequest<'_>) -> Result<Login, LoginRefusal> {
        let grant = self.grant(request)?;
        self.redeem(&grant, request.remote_address).await
    }

    fn grant(&self, request: LoginRequest<'_>) -> Result<Grant, LoginRefusal> {
        let form = FormData::parse(request.content_type, request.body)?;
        let refreshes = self.has_revocation()
            && matches!(
                form.value("grant_type"),
                Some(FormValue::Text("refresh_token"))
            );
        Ok(if refreshes {
            Grant::RefreshToken(RefreshTokenGrant::from_form(&form)?)
        } else {
            Grant::Password(PasswordGrant::from_form(&form, self.grant_type)?)
        })
    }

    async fn redeem(
        &self,
        grant: &Grant,
        remote_address: Option<IpAddr>,
    ) -> Result<Login, LoginRefusal> {
        match grant {
            Grant::Password(grant) => self.redeem_password(grant, remote_address).await,
            Grant::RefreshToken(grant) => self.redeem_refresh(grant).await,
        }
    }

    async fn redeem_password(
        &self,
        grant: &PasswordGrant,
        remote_address: Option<IpAddr>,
    ) -> Result<Login, LoginRefusal> {
        let attempt = self.begin(grant, remote_address).await?;
        let authenticated = self
            .authenticator
            .authenticate(grant.username(), grant.password())
            .await;
        if let Some(attempt) = attempt {
            settle(attempt, &authenticated).await;
        }
        let Authentication::Accepted(user) = authenticated? else {
            return Err(LoginRefusal::BadCredentials);
        };
        let scopes = user.grant_scopes(grant.scopes());
        let request = TokenRequest {
            subject: user.user_id(),
            client_id: grant.client_id(),
            scopes: &scopes,
            authenticated_at: Some(user.authenticated_at()),
        };
        let token = self.issuer.issue(request).await?;
        let refresh_token = match &self.refresh_tokens {
            Some(tokens) => Some(tokens.begin(request).await?),
            None => None,
        };
        Ok(Login {
            token,
            scopes,
            refresh_token,
        })
    }

    async fn redeem_refresh(&self, grant: &RefreshTokenGrant) -> Result<Login, LoginRefusal> {
        let Some(tokens) = &self.refresh_tokens else {
            return Err(LoginRefusal::BadRefreshToken);
        };
        let refresh = tokens.look_up(grant.refresh_token().expose()).await?;
        let refresh = refresh.ok_or(LoginRefusal::BadRefreshToken)?;
        if !refresh.is_of_client(grant.client_id()) {
            return Err(LoginRefusal::BadRefreshToken);
        }
        let recalled = self
            .authenticator
            .recall(refresh.subject(), refresh.authenticated_at());
        let Authentication::Accepted(user) = recalled.await? else {
            return Err(LoginRefusal::BadRefreshToken);
        };
        let scopes = user.narrow_scopes(refresh.scopes(), grant.scopes());
        let request = TokenRequest {
            subject: refresh.subject(),
            client_id: refresh.client_id(),
            scopes: &scopes,
            authenticated_at: Some(user.authenticated_at()),
        };
        // Before the refresh token is used up: should this fail, the client can come again.
        let token = self.issuer.issue(request).await?;
        let refresh_token = refresh.rotate().await?;
        Ok(Login {
            token,
            scopes,
            refresh_token: Some(refresh_token.ok_or(LoginRefusal::BadRefreshToken)?),
        })
    }

    async fn begin(
        &self,
        grant: &PasswordGrant,
        remote_address: Option<IpAddr>,
    ) -> Result<Option<Attempt>, LoginRefusal> {
        let Some(throttle) = &self.throttle else {
            return Ok(None);
        };
        // Under a storm, what is refused must cost the store nothing.
        self.authenticator.admit()?;
        match throttle.begin(grant.username(), remote_address).await? {
            Admission::Granted(attempt) => Ok(Some(attempt)),
            Admission::Refused { retry_after } => Err(LoginRefusal::Throttled { retry_after }),
        }
    }
}

/// Tells the throttle how an attempt ended. Should that fail, it has failed for the throttle; who
/// knows the password is let in all the same.
async fn settle(attempt: Attempt, authenticated: &Result<Authentication, Error>) {
    let settled = match authenticated {
        Ok(Authentication::Accepted(_)) => attempt.succeeded().await,
        Ok(Authentication::Refused) => Ok(()),
        Err(_) => attempt.withdraw().await,
    };
    if let Err(error) = settled {
        error.log("an attempt that did not fail is counted as a failure");
    }
}

/// What there is to ask of a [`TokenEndpoint`]. All are asked by POST.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Operation {
    /// [`TokenEndpoint::handle`].
    Login,
    /// [`TokenEndpoint::log_out`].
    LogOut,
    /// [`TokenEndpoint::refresh`].
    Refresh,
    /// [`TokenEndpoint::revoke`].
    Revoke,
}

impl Operation {
    /// The path, where all are below `prefix` and the login is at `login_path` there.
    ///
    /// ```
    /// use portcullis_core::Operation;
    ///
    /// assert_eq!(Operation::Login.path("/v1", "/login"), "/v1/login");
    /// assert_eq!(Operation::Refresh.path("/v1", "/login"), "/v1/refresh");
    /// ```
    #[must_use]
    pub fn path(self, prefix: &str, login_path: &str) -> String {
        let path = match self {
            Self::Login => login_path,
            Self::LogOut => "/logout",
            Self::Refresh => "/refresh",
            Self::Revoke => "/revoke",
        };
        format!("{prefix}{path}")
    }
}

/// What a framework hands over of a request to the token endpoint.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct LoginRequest<'a> {
    /// The value of the first `Content-Type` header, as sent.
    pub content_type: Option<&'a [u8]>,
    /// The whole body.
    pub body: &'a [u8],
    /// Where the client is, for the throttle. Without it, or where it is the address of a proxy that
    /// all come through, strangers are not told from those who have logged in before.
    pub remote_address: Option<IpAddr>,
}

impl<'a> LoginRequest<'a> {
    /// Takes the first `Content-Type` header, if there is one, and the body.
    #[must_use]
    pub fn new(content_type: Option<&'a [u8]>, body: &'a [u8]) -> Self {
        Self {
            content_type,
            body,
            remote_address: None,
        }
    }

    /// Says where the client is.
    #[must_use]
    pub fn with_remote_address(mut self, address: IpAddr) -> Self {
        self.remote_address = Some(address);
        self
    }
}

impl fmt::Debug for LoginRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginRequest")
            .field("body_len", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// A login that succeeded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Login {
    /// The token for the client.
    pub token: TokenResponse,
    /// The scopes it was granted.
    pub scopes: Vec<String>,
    /// The token for the next, if the endpoint gives out such.
    pub refresh_token: Option<RefreshToken>,
}

/// Why there is no token, by the stage that refused.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoginRefusal {
    /// Unknown user, wrong password, disabled or without one: not told apart.
    BadCredentials,
    /// A refresh token that is unknown, used, expired or revoked, or of a user who may not log in.
    BadRefreshToken,
    /// Nothing is known about the credentials.
    Failed(Error),
    /// The body cannot be read as a form.
    Form(FormError),
    /// There is no refresh token.
    NotAuthenticated,
    /// Too many passwords were tried for the account; whether this one is right was not looked at.
    Throttled {
        /// How long to wait before the next.
        retry_after: Duration,
    },
    /// An access token was to be revoked, where refresh tokens are.
    UnsupportedTokenType,
    /// The form is not what was asked for: a password grant, or another.
    Validation(ValidationErrors),
}

impl From<Error> for LoginRefusal {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<FormError> for LoginRefusal {
    fn from(error: FormError) -> Self {
        Self::Form(error)
    }
}

impl From<ValidationErrors> for LoginRefusal {
    fn from(errors: ValidationErrors) -> Self {
        Self::Validation(errors)
    }
}
