//! Access tokens: what an issuer is asked for, what it answers, what a verifier reads back.

use std::fmt::Debug;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use serde_json::{Map, Value};

use crate::error::Error;
use crate::secret::Secret;
use crate::store::{Credential, UserId};

mod claims_json;

mod opaque;
pub use opaque::{OpaqueIssuer, OpaqueVerifier};

mod policy;
pub use policy::{AccessTokenPolicy, ClaimsSource};

/// Makes access tokens.
#[async_trait]
pub trait TokenIssuer: Debug + Send + Sync + 'static {
    /// Issues one access token for a user who has just logged in, or whose login was refreshed.
    ///
    /// # Errors
    /// `Unavailable` if the token cannot be made or stored now, `Internal` for a fault of the
    /// issuer. No token is valid that was not returned.
    async fn issue(&self, request: TokenRequest<'_>) -> Result<TokenResponse, Error>;
}

/// Checks access tokens.
#[async_trait]
pub trait TokenVerifier: Debug + Send + Sync + 'static {
    /// Reads the claims of a valid access token.
    ///
    /// # Errors
    /// `InvalidToken` if this is not a token of ours or it has expired: whatever the client sent,
    /// the empty string included. `Unavailable` if that cannot be found out now.
    async fn verify(&self, access_token: &str) -> Result<Claims, Error>;
}

/// What an access token is asked for.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TokenRequest<'a> {
    /// Who logged in.
    pub subject: &'a UserId,
    /// The user as stored, if the issuer may know: what further claims are made from.
    pub user: Option<&'a Credential>,
    /// The `client_id` of the form, if one was sent. It was not authenticated.
    pub client_id: Option<&'a str>,
    /// The scopes granted: those asked for that the user may have.
    pub scopes: &'a [String],
    /// When the user was looked up, if not just now: becomes `iat`.
    pub authenticated_at: Option<SystemTime>,
    /// The name of the login: all tokens that come of one login have the same.
    pub session_id: Option<&'a str>,
}

impl<'a> TokenRequest<'a> {
    /// Asks for a token for `subject`, without client or scopes.
    #[must_use]
    pub fn new(subject: &'a UserId) -> Self {
        Self {
            subject,
            user: None,
            client_id: None,
            scopes: &[],
            authenticated_at: None,
            session_id: None,
        }
    }

    /// Asks for a token for a user whose record is at hand. The token carries the user's cut-off
    /// ([`Credential::tokens_valid_from`]) as it stands there.
    #[must_use]
    pub fn of(user: &'a Credential) -> Self {
        Self {
            user: Some(user),
            ..Self::new(&user.user_id)
        }
    }

    /// Asks for these scopes.
    #[must_use]
    pub fn with_scopes(mut self, scopes: &'a [String]) -> Self {
        self.scopes = scopes;
        self
    }

    /// The client, unless its name has more than 256 bytes: it was not authenticated, and nobody is to
    /// fill a store or make a token too long with it.
    #[must_use]
    pub fn short_client_id(&self) -> Option<&'a str> {
        short_client_id(self.client_id)
    }

    /// The `iat` of a token issued at `now`.
    #[must_use]
    pub fn issued_at(&self, now: SystemTime) -> SystemTime {
        self.authenticated_at.map_or(now, |at| at.min(now))
    }

    /// The user's cut-off as it stood when the login was checked.
    #[must_use]
    pub fn cut_off(&self) -> Option<SystemTime> {
        self.user.map(|user| user.tokens_valid_from)
    }
}

/// What is kept of a client's name.
pub(crate) fn short_client_id(client_id: Option<&str>) -> Option<&str> {
    client_id.filter(|client_id| client_id.len() <= MAX_CLIENT_ID_LEN)
}

const MAX_CLIENT_ID_LEN: usize = 256;

/// A freshly issued token (RFC 6749 §5.1).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TokenResponse {
    /// The token itself; its type is always `bearer` (RFC 6750).
    pub access_token: Secret,
    /// How long it lives.
    pub expires_in: Duration,
}

impl TokenResponse {
    /// Makes a response.
    #[must_use]
    pub fn new(access_token: Secret, expires_in: Duration) -> Self {
        Self {
            access_token,
            expires_in,
        }
    }
}

/// What a verified access token says (RFC 7519 §4.1, RFC 9068 §2.2).
///
/// As JSON it is the object that a JWT has: `iss`, `sub`, `aud` (a string, or a list of several), `exp`,
/// `iat`, `nbf` (which equals `iat`) and `jti`; `client_id`, `scope`, `sid` and `cut_off` where there
/// are any; and the further claims. `cut_off` is in microseconds since 1970, all other times are in
/// seconds.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Claims {
    /// The issuer.
    pub iss: String,
    /// The user.
    pub sub: UserId,
    /// Whom the token is for; at least one.
    pub aud: Vec<String>,
    /// When it expires.
    pub exp: SystemTime,
    /// When it was issued.
    pub iat: SystemTime,
    /// The id of the token.
    pub jti: String,
    /// The client that asked for it, if it said so.
    pub client_id: Option<String>,
    /// What it may be used for.
    pub scopes: Vec<String>,
    /// The name of the login that the token comes of (`sid`), the same for all its tokens.
    pub sid: Option<String>,
    /// The user's cut-off ([`Credential::tokens_valid_from`]) as it stood when the token was made, in
    /// whole microseconds. Once the user's is a later one, the token is dead.
    pub cut_off: Option<SystemTime>,
    /// Further claims, by name.
    pub extra: Map<String, Value>,
}

impl Claims {
    /// Makes claims without client or scopes, issued at `iat` and expiring at `exp`.
    #[must_use]
    pub fn new(
        iss: String,
        sub: UserId,
        aud: Vec<String>,
        iat: SystemTime,
        exp: SystemTime,
        jti: String,
    ) -> Self {
        Self {
            iss,
            sub,
            aud,
            exp,
            iat,
            jti,
            client_id: None,
            scopes: Vec::new(),
            sid: None,
            cut_off: None,
            extra: Map::new(),
        }
    }
}

/// Whether `scope` is a `scope-token` (RFC 6749 §3.3), which every format of tokens can say: not empty,
/// and of visible ASCII characters without `"` and `\`.
///
/// ```
/// use portcullis_core::token::is_scope_token;
///
/// assert!(is_scope_token("users:read"));
/// assert!(!is_scope_token("read admin"));
/// ```
#[must_use]
pub fn is_scope_token(scope: &str) -> bool {
    let is_allowed = |byte| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~');
    !scope.is_empty() && scope.bytes().all(is_allowed)
}
