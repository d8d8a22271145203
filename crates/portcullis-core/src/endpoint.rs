//! The whole way of a login: from the body of a request to the reply.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::authenticator::{Authentication, Authenticator};
use crate::error::Error;
use crate::form::{FormData, FormError};
use crate::grant::{GrantTypePolicy, PasswordGrant};
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
/// # use portcullis_core::{HashPoolConfig, MemoryStore, TokenEndpoint, TokenIssuer};
/// fn endpoint(issuer: Arc<dyn TokenIssuer>) -> Result<TokenEndpoint, Error> {
///     let hasher = Arc::new(Argon2idHasher::new(Argon2Params::default()));
///     let pool = HashPool::new(hasher, HashPoolConfig::default())?;
///     let authenticator = Authenticator::new(Arc::new(MemoryStore::new()), pool)?;
///     Ok(TokenEndpoint::new(authenticator, issuer))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct TokenEndpoint {
    authenticator: Authenticator,
    issuer: Arc<dyn TokenIssuer>,
    throttle: Option<Throttle>,
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
    /// The reply to a body that is no password grant.
    pub fn read(&self, request: LoginRequest<'_>) -> Result<PasswordGrant, Reply> {
        self.grant(request)
            .map_err(|refusal| Reply::login_refusal(&refusal, self.dialect))
    }

    /// Answers a login whose form has been read, and came from `remote_address`.
    pub async fn answer(&self, grant: &PasswordGrant, remote_address: Option<IpAddr>) -> Reply {
        match self.redeem(grant, remote_address).await {
            Ok(login) => Reply::token(&login, self.dialect),
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

    fn grant(&self, request: LoginRequest<'_>) -> Result<PasswordGrant, LoginRefusal> {
        let form = FormData::parse(request.content_type, request.body)?;
        Ok(PasswordGrant::from_form(&form, self.grant_type)?)
    }

    async fn redeem(
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
        let token = self
            .issuer
            .issue(TokenRequest {
                subject: user.user_id(),
                client_id: grant.client_id(),
                scopes: &scopes,
                authenticated_at: Some(user.authenticated_at()),
            })
            .await?;
        Ok(Login { token, scopes })
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
}

/// Why there is no token, by the stage that refused.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoginRefusal {
    /// Unknown user, wrong password, disabled or without one: not told apart.
    BadCredentials,
    /// Nothing is known about the credentials.
    Failed(Error),
    /// The body cannot be read as a form.
    Form(FormError),
    /// Too many passwords were tried for the account; whether this one is right was not looked at.
    Throttled {
        /// How long to wait before the next.
        retry_after: Duration,
    },
    /// The form is not a password grant.
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
