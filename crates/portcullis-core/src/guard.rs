//! Turns an `Authorization` header into the claims of a valid access token, or a refusal.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::credential_store::{Credential, CredentialStore, UserStatus};
use crate::error::{Error, ErrorKind};
use crate::token::{Claims, TokenVerifier};

/// Lets requests through that carry a valid access token (RFC 6750 §2.1).
///
/// By default a token is good until it expires, whatever became of its user meanwhile. With
/// [`with_credential_check`](Self::with_credential_check) each request asks the store as well.
#[derive(Clone, Debug)]
pub struct BearerGuard {
    verifier: Arc<dyn TokenVerifier>,
    store: Option<Arc<dyn CredentialStore>>,
}

impl BearerGuard {
    /// Makes a guard that trusts what `verifier` accepts.
    pub fn new(verifier: Arc<dyn TokenVerifier>) -> Self {
        Self {
            verifier,
            store: None,
        }
    }

    /// Also asks `store`, once per request, whether the user still exists, is enabled, and has
    /// not had older tokens revoked ([`Credential::tokens_valid_from`], in whole seconds: a token
    /// issued within the second of a password change, but before it, lives on until it expires;
    /// [`TokenStore::revoke_all`](crate::TokenStore::revoke_all) ends opaque ones at once).
    #[must_use]
    pub fn with_credential_check(mut self, store: Arc<dyn CredentialStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// Checks the first `Authorization` header of a request, `None` if it has none.
    ///
    /// # Errors
    /// [`BearerRefusal::NotAuthenticated`] and [`BearerRefusal::InvalidToken`] for what the client sent;
    /// [`BearerRefusal::Failed`] if the verifier or the store could not find out.
    pub async fn check(&self, authorization: Option<&[u8]>) -> Result<Bearer, BearerRefusal> {
        let token = bearer_token(authorization).ok_or(BearerRefusal::NotAuthenticated)?;
        let claims = self.verifier.verify(&token).await.map_err(refusal)?;
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
        Ok(Bearer { claims, credential })
    }
}

/// What is known of the sender of a request that a [`BearerGuard`] let through.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Bearer {
    /// What the access token says.
    pub claims: Claims,
    /// The user as stored now; `None` if the guard does not ask the store.
    pub credential: Option<Credential>,
}

/// Why a [`BearerGuard`] did not let a request through.
#[derive(Debug)]
#[non_exhaustive]
pub enum BearerRefusal {
    /// Whether the token is good could not be found out.
    Failed(Error),
    /// There is a token, but it is not (or no longer) good (RFC 6750 §3.1, `invalid_token`).
    InvalidToken,
    /// There is no token.
    NotAuthenticated,
}

impl BearerRefusal {
    /// For an adapter that is asked for a [`Bearer`] by an app without a [`BearerGuard`]: a failure,
    /// which is logged with the `advice` to the developer.
    #[must_use]
    pub fn without_guard(advice: &'static str) -> Self {
        refusal(Error::new(ErrorKind::InvalidConfig, advice))
    }
}

impl fmt::Display for BearerRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failed(_) => "the access token could not be checked",
            Self::InvalidToken => "the access token is not valid",
            Self::NotAuthenticated => "no access token was sent",
        })
    }
}

impl StdError for BearerRefusal {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Failed(error) => Some(error),
            Self::InvalidToken | Self::NotAuthenticated => None,
        }
    }
}

/// Takes the token out of an `Authorization` header, exactly as the `OAuth2PasswordBearer` of
/// FastAPI 0.165.0 does; `None` is its "Not authenticated".
///
/// The scheme is what stands before the first space, and the token all that follows, trimmed:
/// `Bearer` alone has the empty token, which no verifier accepts. Header bytes are Latin-1.
///
/// ```
/// use portcullis_core::bearer_token;
///
/// assert_eq!(bearer_token(Some(b"bearer  a.b.c")).as_deref(), Some("a.b.c"));
/// assert_eq!(bearer_token(Some(b"Bearer")).as_deref(), Some(""));
/// assert_eq!(bearer_token(Some(b"Basic YTpi")), None);
/// assert_eq!(bearer_token(None), None);
/// ```
#[must_use]
pub fn bearer_token(authorization: Option<&[u8]>) -> Option<Cow<'_, str>> {
    let mut parts = authorization?.splitn(2, |&byte| byte == b' ');
    // No other Latin-1 letter becomes an ASCII one in lower case, as Python has it.
    if !parts.next()?.eq_ignore_ascii_case(b"bearer") {
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
/// The `iat` of our tokens has whole seconds, so a token issued just after a password change may
/// seem older than it. Compared to the fraction, a login right after the change would be refused.
fn admits(credential: &Credential, claims: &Claims) -> bool {
    credential.status == UserStatus::Enabled
        && unix_seconds(claims.iat) >= unix_seconds(credential.tokens_valid_from)
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
