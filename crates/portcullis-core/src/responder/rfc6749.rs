//! Answers as the OAuth standards have them.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Answer, Responder, WWW_AUTHENTICATE, insufficient_scope};
use crate::endpoint::{Login, TokenRefusal};
use crate::error::Error;
use crate::form::{ValidationErrorKind, ValidationErrors};
use crate::guard::BearerRefusal;
use crate::responder::Reply;

/// Answers as RFC 6749 §5.1 and §5.2 have it: `expires_in` (seconds) and `scope` with the token, and
/// `{"error": ..., "error_description": ...}` for a refusal. A request that a
/// [`BearerGuard`](crate::BearerGuard) refuses is answered as RFC 6750 §3 has it.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Rfc6749;

impl Rfc6749 {
    /// Answers as the standards have it.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl Responder for Rfc6749 {
    fn respond(&self, answer: Answer<'_>) -> Reply {
        match answer {
            Answer::Bearer(refusal) => bearer(refusal),
            Answer::LoggedOut => Reply::new(204),
            Answer::MethodNotAllowed { allow } => {
                Reply::oauth_error(405, "invalid_request", "Method Not Allowed")
                    .with_header("allow", allow.to_owned())
            }
            Answer::NotFound => Reply::oauth_error(404, "invalid_request", "Not Found"),
            Answer::Refused(refusal) => refused(refusal),
            Answer::Revoked => Reply::new(200),
            Answer::Token(login) => token(login),
        }
    }
}

fn token(login: &Login) -> Reply {
    let body = Token {
        access_token: login.token.access_token.expose(),
        token_type: "bearer",
        expires_in: login.token.expires_in.as_secs(),
        refresh_token: login
            .refresh_token_for_body()
            .map(|refresh| refresh.token.expose()),
        scope: login.scopes.join(" "),
    };
    Reply::of(200, &body)
}

fn refused(refusal: &TokenRefusal) -> Reply {
    match refusal {
        TokenRefusal::BadCredentials => invalid_grant("Incorrect username or password"),
        TokenRefusal::BadCurrentPassword => invalid_grant("Incorrect password"),
        TokenRefusal::BadRefreshToken => invalid_grant("The refresh token is not valid"),
        TokenRefusal::BodyTimedOut => {
            Reply::oauth_error(408, INVALID_REQUEST, "The body took too long")
        }
        TokenRefusal::BodyTooLarge => Reply::oauth_error(413, INVALID_REQUEST, "Content Too Large"),
        TokenRefusal::BodyUnreadable => {
            let text = "There was an error parsing the body";
            Reply::oauth_error(400, INVALID_REQUEST, text)
        }
        TokenRefusal::ChallengeRequired(challenge) => {
            let mut body = Map::new();
            body.insert("error".to_owned(), MFA_REQUIRED.into());
            body.insert("error_description".to_owned(), challenge.reason().into());
            body.extend(challenge.members().clone());
            Reply::of(403, &Value::Object(body))
        }
        TokenRefusal::Denied(denial) => invalid_grant(denial.reason()),
        TokenRefusal::Failed(error) => failure(error),
        TokenRefusal::Form(error) => Reply::oauth_error(400, INVALID_REQUEST, error),
        TokenRefusal::NewPassword(error) => Reply::oauth_error(400, INVALID_REQUEST, error),
        TokenRefusal::NoRefreshToken => {
            Reply::oauth_error(400, INVALID_REQUEST, "There is no refresh token")
        }
        TokenRefusal::Throttled { retry_after } => {
            Reply::oauth_error(429, TEMPORARILY_UNAVAILABLE, "Too Many Requests")
                .with_retry_after(*retry_after)
        }
        TokenRefusal::TooManyTokens => {
            Reply::oauth_error(400, INVALID_REQUEST, "Too many refresh tokens")
        }
        TokenRefusal::UnsupportedTokenType => {
            let text = "Only refresh tokens are revoked here";
            Reply::oauth_error(400, "unsupported_token_type", text)
        }
        TokenRefusal::Validation(errors) => Reply::oauth_error(400, code_of(errors), errors),
    }
}

/// RFC 6750 §3.1. "If the request lacks any authentication information [...], the resource server
/// SHOULD NOT include an error code or other error information" in the challenge.
fn bearer(refusal: &BearerRefusal) -> Reply {
    let (status, code, text, challenge) = match refusal {
        BearerRefusal::CrossSite => {
            return Reply::oauth_error(403, INVALID_REQUEST, "Cross-site request refused");
        }
        BearerRefusal::Failed(error) => return failure(error),
        BearerRefusal::InsufficientScope { scope } => (
            403,
            "insufficient_scope",
            "Not enough permissions",
            insufficient_scope(scope),
        ),
        BearerRefusal::InvalidToken => (
            401,
            "invalid_token",
            "The access token is not valid",
            "Bearer error=\"invalid_token\"".to_owned(),
        ),
        BearerRefusal::NotAuthenticated => (
            401,
            INVALID_REQUEST,
            "Not authenticated",
            "Bearer".to_owned(),
        ),
    };
    Reply::oauth_error(status, code, text).with_header(WWW_AUTHENTICATE, challenge)
}

fn invalid_grant(text: &str) -> Reply {
    Reply::oauth_error(400, "invalid_grant", text)
}

/// The body says nothing of the cause.
fn failure(error: &Error) -> Reply {
    match Reply::status_of(error) {
        503 => Reply::oauth_error(503, TEMPORARILY_UNAVAILABLE, "Service Unavailable")
            .with_retry_after(error.retry_after().unwrap_or_default()),
        status => Reply::oauth_error(status, "server_error", "Internal Server Error"),
    }
}

/// RFC 6749 §5.2.
fn code_of(errors: &ValidationErrors) -> &'static str {
    let unsupported = errors.iter().any(|error| {
        let mismatch = matches!(
            error.kind(),
            ValidationErrorKind::StringPatternMismatch { .. }
        );
        mismatch && error.field() == "grant_type"
    });
    if unsupported {
        "unsupported_grant_type"
    } else {
        INVALID_REQUEST
    }
}

// Field order is the order on the wire.
#[derive(Serialize)]
struct Token<'a> {
    access_token: &'a str,
    token_type: &'a str,
    expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    // Always: left out, it would say "what was asked for" (RFC 6749 §5.1).
    scope: String,
}

const INVALID_REQUEST: &str = "invalid_request";

/// No standard has a code for it; this one is what providers of second factors use.
const MFA_REQUIRED: &str = "mfa_required";

/// The code of RFC 6749 §4.1.2.1 for what may work later; §5.2 has none.
const TEMPORARILY_UNAVAILABLE: &str = "temporarily_unavailable";
