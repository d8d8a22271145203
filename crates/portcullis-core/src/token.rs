//! Access tokens: what an issuer is asked for, what it answers, what a verifier reads back.

use std::fmt::Debug;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use serde_json::{Map, Value};

use crate::credential_store::UserId;
use crate::error::Error;
use crate::secret::Secret;

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
    /// Who logged in; becomes `sub`.
    pub subject: &'a UserId,
    /// The `client_id` of the form, if one was sent. It was not authenticated.
    pub client_id: Option<&'a str>,
    /// The scopes granted: those asked for that the user may have.
    pub scopes: &'a [String],
    /// When the user was looked up, if not just now: becomes `iat`. A password that is changed
    /// while a login with the old one waits to be hashed so revokes the token of that login, since
    /// [`Credential::tokens_valid_from`](crate::Credential::tokens_valid_from) is later.
    pub authenticated_at: Option<SystemTime>,
}

impl<'a> TokenRequest<'a> {
    /// Asks for a token for `subject`, without client or scopes.
    #[must_use]
    pub fn new(subject: &'a UserId) -> Self {
        Self {
            subject,
            client_id: None,
            scopes: &[],
            authenticated_at: None,
        }
    }

    /// The client, unless its name is so long that somebody fills the store with it: it was not
    /// authenticated.
    pub(crate) fn short_client_id(&self) -> Option<&'a str> {
        short_client_id(self.client_id)
    }

    /// The `iat` of a token issued at `now`.
    #[must_use]
    pub fn issued_at(&self, now: SystemTime) -> SystemTime {
        self.authenticated_at.map_or(now, |at| at.min(now))
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
    /// The name of the login that it came from, if that has one.
    pub sid: Option<String>,
    /// The user's [`tokens_valid_from`](crate::Credential::tokens_valid_from) as it stood when the
    /// token was made, in whole microseconds.
    pub cut_off: Option<SystemTime>,
    /// Further claims, by their names.
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
