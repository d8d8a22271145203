//! What comes of a request to the token endpoint: a login, or the reason that there is none.

use std::time::Duration;

use thiserror::Error;

use crate::error::Error;
use crate::form::{FormError, ValidationErrors};
use crate::gate::{Challenge, Denial};
use crate::password::PasswordRefusal;
use crate::refresh::RefreshToken;
use crate::secret::Secret;
use crate::store::Credential;
use crate::token::TokenResponse;

/// A login that succeeded, or was refreshed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Login {
    /// Who logged in, as stored when the login was checked.
    pub user: Credential,
    /// The access token for the client.
    pub token: TokenResponse,
    /// The scopes that the token was granted.
    pub scopes: Vec<String>,
    /// The token for the next access token, if the endpoint issues refresh tokens.
    pub refresh_token: Option<RefreshToken>,
    /// The value of a `Set-Cookie` header by which the device is known at the next login, if the throttle
    /// [knows devices](crate::Throttle::with_devices).
    pub device_cookie: Option<Secret>,
    pub(crate) refresh_token_in_body: bool,
}

impl Login {
    /// The refresh token, if it travels in the body of the answer
    /// ([`RefreshTransport::Body`](crate::RefreshTransport::Body)): a responder shows this one. One that
    /// travels in a cookie is set by the endpoint.
    #[must_use]
    pub fn refresh_token_for_body(&self) -> Option<&RefreshToken> {
        let token = self.refresh_token.as_ref();
        token.filter(|_| self.refresh_token_in_body)
    }
}

/// Why a request to the token endpoint got no token, by the stage that refused: a login, a refresh, a
/// revocation or a change of password.
///
/// It does not tell an unknown user from a wrong password, so that no responder can.
/// [`Display`](std::fmt::Display) is a sentence without secrets.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TokenRefusal {
    /// The user is unknown, the password is wrong, or the user is disabled or has none. Which of
    /// these it is cannot be told.
    #[error("the username or the password is not right")]
    BadCredentials,
    /// The current password of a change of password is wrong.
    #[error("the current password is not right")]
    BadCurrentPassword,
    /// The refresh token is unknown, used, expired or revoked, or its user may not log in.
    #[error("the refresh token is not good")]
    BadRefreshToken,
    /// The body did not arrive within the deadline.
    #[error("the body took too long")]
    BodyTimedOut,
    /// The body is longer than the endpoint reads.
    #[error("the body is too large")]
    BodyTooLarge,
    /// The body ended or broke off before it was whole.
    #[error("the body could not be read")]
    BodyUnreadable,
    /// The password is right, and a [`LoginGate`](crate::LoginGate) asks for a second factor.
    #[error("a second factor is needed")]
    ChallengeRequired(Challenge),
    /// The password is right, and a [`LoginGate`](crate::LoginGate) denies the login.
    #[error("the login was denied")]
    Denied(Denial),
    /// Nothing is known about the credentials, since something failed.
    #[error("the request could not be answered")]
    Failed(#[from] Error),
    /// The body cannot be read as a form.
    #[error(transparent)]
    Form(#[from] FormError),
    /// The [`PasswordPolicy`](crate::password::PasswordPolicy) does not take the new password.
    #[error("the new password is not taken")]
    NewPassword(#[source] PasswordRefusal),
    /// The request has no refresh token.
    #[error("there is no refresh token")]
    NoRefreshToken,
    /// Too many passwords were tried for the account. The one that was sent was not looked at.
    #[error("too many passwords were tried for the account")]
    Throttled {
        /// How long to wait before the next attempt.
        retry_after: Duration,
    },
    /// The request has more than 16 cookies with refresh tokens, of which some might be good.
    #[error("there are too many refresh tokens")]
    TooManyTokens,
    /// An access token was to be revoked, and only refresh tokens are revoked here.
    #[error("tokens of this type are not revoked here")]
    UnsupportedTokenType,
    /// The form lacks a field, or a field has a value that it cannot have.
    #[error(transparent)]
    Validation(#[from] ValidationErrors),
}
