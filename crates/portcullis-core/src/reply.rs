//! Turns outcomes into HTTP replies. Only this module names a status code.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::endpoint::{Login, LoginRefusal};
use crate::error::{Error, ErrorKind};
use crate::guard::BearerRefusal;
use crate::validation::{ValidationErrorKind, ValidationErrors};

/// The shape in which an endpoint answers. One endpoint never mixes two.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Dialect {
    /// As FastAPI 0.165.0, byte for byte: `{"detail": ...}` and exactly `access_token` and
    /// `token_type`.
    #[default]
    FastApi,
    /// As RFC 6749 §5.1 and §5.2: `{"error": ..., "error_description": ...}`, and `expires_in`
    /// (seconds) and `scope` with the token.
    Rfc6749,
}

/// An HTTP reply, as data: an adapter copies it out and decides nothing.
#[derive(Clone, Eq, PartialEq)]
pub struct Reply {
    status: u16,
    headers: Vec<(&'static str, Cow<'static, str>)>,
    body: Vec<u8>,
}

impl Reply {
    /// 200 with the token. A refresh token is in it in the dialect of RFC 6749.
    #[must_use]
    pub fn token(login: &Login, dialect: Dialect) -> Self {
        let access_token = login.token.access_token.expose();
        let reply = match dialect {
            Dialect::FastApi => Self::json(
                200,
                &FastApiToken {
                    access_token,
                    token_type: "bearer",
                },
            ),
            Dialect::Rfc6749 => Self::json(
                200,
                &Rfc6749Token {
                    access_token,
                    token_type: "bearer",
                    expires_in: login.token.expires_in.as_secs(),
                    refresh_token: login
                        .refresh_token
                        .as_ref()
                        .map(|refresh| refresh.token.expose()),
                    scope: login.scopes.join(" "),
                },
            ),
        };
        reply.not_stored()
    }

    /// The answer to a login that got no token.
    #[must_use]
    pub fn login_refusal(refusal: &LoginRefusal, dialect: Dialect) -> Self {
        let reply = match (refusal, dialect) {
            (LoginRefusal::Failed(error), dialect) => Self::failure(error, dialect),
            (LoginRefusal::BadCredentials, Dialect::FastApi) => {
                Self::detail(401, "Incorrect username or password").with_bearer_challenge()
            }
            (LoginRefusal::BadCredentials, Dialect::Rfc6749) => {
                Self::oauth_error(400, "invalid_grant", "Incorrect username or password")
            }
            (LoginRefusal::BadRefreshToken, Dialect::FastApi) => Self::invalid_token(),
            (LoginRefusal::BadRefreshToken, Dialect::Rfc6749) => {
                Self::oauth_error(400, "invalid_grant", "The refresh token is not valid")
            }
            (LoginRefusal::NotAuthenticated, Dialect::FastApi) => Self::not_authenticated(),
            (LoginRefusal::NotAuthenticated, Dialect::Rfc6749) => {
                Self::oauth_error(400, "invalid_request", "There is no refresh token")
            }
            (LoginRefusal::Form(error), Dialect::FastApi) => Self::detail(400, error),
            (LoginRefusal::Form(error), Dialect::Rfc6749) => {
                Self::oauth_error(400, "invalid_request", error)
            }
            (LoginRefusal::Throttled { retry_after }, dialect) => {
                Self::message(429, "Too Many Requests", TEMPORARILY_UNAVAILABLE, dialect)
                    .with_retry_after(*retry_after)
            }
            (LoginRefusal::UnsupportedTokenType, dialect) => {
                let text = "Only refresh tokens are revoked here";
                Self::message(400, text, "unsupported_token_type", dialect)
            }
            (LoginRefusal::Validation(errors), Dialect::FastApi) => {
                Self::json(422, &Detail { detail: errors })
            }
            (LoginRefusal::Validation(errors), Dialect::Rfc6749) => {
                Self::oauth_error(400, oauth_code(errors), errors)
            }
        };
        reply.not_stored()
    }

    /// 401 for a request without a usable access token (RFC 6750 §3), or 503 or 500 if that could
    /// not be found out.
    #[must_use]
    pub fn bearer_refusal(refusal: &BearerRefusal) -> Self {
        match refusal {
            BearerRefusal::Failed(error) => Self::failure(error, Dialect::FastApi),
            BearerRefusal::InvalidToken => Self::invalid_token(),
            BearerRefusal::NotAuthenticated => Self::not_authenticated(),
        }
    }

    /// 200 without a body: the token is revoked (RFC 7009 §2.2).
    #[must_use]
    pub fn revoked() -> Self {
        let reply = Self {
            status: 200,
            headers: Vec::new(),
            body: Vec::new(),
        };
        reply.not_stored()
    }

    /// 204: the login is ended, if there was one.
    #[must_use]
    pub fn logged_out() -> Self {
        let reply = Self {
            status: 204,
            headers: Vec::new(),
            body: Vec::new(),
        };
        reply.not_stored()
    }

    /// 503 for what may work later, with `Retry-After`; 500 for what must be repaired. The body
    /// says nothing of the cause.
    #[must_use]
    pub fn failure(error: &Error, dialect: Dialect) -> Self {
        match error.kind() {
            ErrorKind::Overloaded | ErrorKind::Unavailable => {
                Self::message(503, "Service Unavailable", TEMPORARILY_UNAVAILABLE, dialect)
                    .with_retry_after(error.retry_after().unwrap_or_default())
            }
            _ => Self::message(500, "Internal Server Error", "server_error", dialect),
        }
    }

    /// 405 with `allow`: the methods of the path, separated by `, `.
    #[must_use]
    pub fn method_not_allowed(allow: impl Into<Cow<'static, str>>, dialect: Dialect) -> Self {
        Self::message(405, "Method Not Allowed", "invalid_request", dialect)
            .with_header("allow", allow)
    }

    /// 413: the body is longer than the endpoint reads.
    #[must_use]
    pub fn content_too_large(dialect: Dialect) -> Self {
        Self::message(413, "Content Too Large", "invalid_request", dialect).not_stored()
    }

    /// 400: the body ended or broke off before it was whole.
    #[must_use]
    pub fn body_unreadable(dialect: Dialect) -> Self {
        let text = "There was an error parsing the body";
        Self::message(400, text, "invalid_request", dialect).not_stored()
    }

    /// 404 as FastAPI answers it.
    #[must_use]
    pub fn not_found() -> Self {
        Self::detail(404, "Not Found")
    }

    /// 307 to `location`, without a body. `location` must be a valid header value, as those of
    /// [`Routes`](crate::Routes) are.
    #[must_use]
    pub fn redirect(location: String) -> Self {
        Self {
            status: 307,
            headers: vec![("location", location.into())],
            body: Vec::new(),
        }
    }

    /// The HTTP status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The headers, names in lower case. `content-length` is left to the server.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.headers
            .iter()
            .map(|(name, value)| (*name, value.as_ref()))
    }

    /// The body. It may hold an access token.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Gives the body away without copying it.
    #[must_use]
    pub fn into_body(self) -> Vec<u8> {
        self.body
    }

    /// The texts of FastAPI's documentation.
    fn invalid_token() -> Self {
        Self::detail(401, "Could not validate credentials").with_bearer_challenge()
    }

    fn not_authenticated() -> Self {
        Self::detail(401, "Not authenticated").with_bearer_challenge()
    }

    /// One text in the shape of `dialect`; `code` is its RFC 6749 error code.
    fn message(status: u16, text: &str, code: &str, dialect: Dialect) -> Self {
        match dialect {
            Dialect::FastApi => Self::detail(status, text),
            Dialect::Rfc6749 => Self::oauth_error(status, code, text),
        }
    }

    fn detail(status: u16, text: impl fmt::Display) -> Self {
        let detail = text.to_string();
        Self::json(status, &Detail { detail })
    }

    fn oauth_error(status: u16, error: &str, description: impl fmt::Display) -> Self {
        // RFC 6749 §5.2 takes neither quotes nor backslashes here.
        let error_description = description.to_string().replace(['"', '\\'], "'");
        Self::json(
            status,
            &OAuthError {
                error,
                error_description,
            },
        )
    }

    fn json(status: u16, body: &impl Serialize) -> Self {
        #[expect(
            clippy::expect_used,
            reason = "strings, numbers, lists and structs of this crate always serialise"
        )]
        let body = serde_json::to_vec(body).expect("the body has no map and no fallible field");
        Self {
            status,
            headers: vec![("content-type", "application/json".into())],
            body,
        }
    }

    fn with_header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// In whole seconds, at least one (RFC 9110 §10.2.3).
    fn with_retry_after(self, delay: Duration) -> Self {
        let seconds = delay.as_millis().div_ceil(1000).max(1);
        self.with_header("retry-after", seconds.to_string())
    }

    pub(crate) fn with_cookie(self, cookie: String) -> Self {
        self.with_header(SET_COOKIE, cookie)
    }

    fn with_bearer_challenge(self) -> Self {
        self.with_header("www-authenticate", "Bearer")
    }

    /// "The authorization server MUST include the HTTP `Cache-Control` response header field with
    /// a value of `no-store` in any response containing tokens" (RFC 6749 §5.1, and `Pragma`).
    /// FastAPI sends neither; no client can mind.
    fn not_stored(self) -> Self {
        self.with_header("cache-control", "no-store")
            .with_header("pragma", "no-cache")
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers = self.headers().map(|(name, value)| match name {
            SET_COOKIE => (name, "[redacted]"),
            _ => (name, value),
        });
        f.debug_struct("Reply")
            .field("status", &self.status)
            .field("headers", &headers.collect::<Vec<_>>())
            .field("body_len", &self.body.len())
            .finish()
    }
}

// Field order is the order on the wire.

#[derive(Serialize)]
struct FastApiToken<'a> {
    access_token: &'a str,
    token_type: &'a str,
}

#[derive(Serialize)]
struct Rfc6749Token<'a> {
    access_token: &'a str,
    token_type: &'a str,
    expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    // Always: left out, it would say "what was asked for" (RFC 6749 §5.1).
    scope: String,
}

#[derive(Serialize)]
struct Detail<T> {
    detail: T,
}

#[derive(Serialize)]
struct OAuthError<'a> {
    error: &'a str,
    error_description: String,
}

/// RFC 6749 §5.2.
fn oauth_code(errors: &ValidationErrors) -> &'static str {
    let unsupported = errors
        .iter()
        .any(|error| error.kind() == ValidationErrorKind::StringPatternMismatch);
    if unsupported {
        "unsupported_grant_type"
    } else {
        "invalid_request"
    }
}

const SET_COOKIE: &str = "set-cookie";

/// The code of RFC 6749 §4.1.2.1 for what may work later; §5.2 has none.
const TEMPORARILY_UNAVAILABLE: &str = "temporarily_unavailable";
