//! An HTTP reply as data. Only this module and the built-in responders name a status code.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::error::{Error, ErrorKind};

/// An HTTP reply, as data: an adapter copies it out and decides nothing.
///
/// A [`Responder`](crate::Responder) makes replies. What belongs to the endpoint and not to the shape
/// of an answer is added to them afterwards: `Cache-Control: no-store`, and cookies.
///
/// ```
/// use portcullis_core::responder::Reply;
/// use serde::Serialize;
///
/// #[derive(Serialize)]
/// struct Problem {
///     title: &'static str,
/// }
///
/// let reply = Reply::json(403, &Problem { title: "Not here" })?.with_header("x-reason", "policy");
/// assert_eq!(reply.status(), 403);
/// assert_eq!(reply.body(), br#"{"title":"Not here"}"#);
/// # Ok::<(), portcullis_core::Error>(())
/// ```
#[derive(Clone, Eq, PartialEq)]
pub struct Reply {
    status: u16,
    headers: Vec<(&'static str, Cow<'static, str>)>,
    body: Vec<u8>,
}

impl Reply {
    /// Makes a reply without headers or a body.
    ///
    /// `status` is an HTTP status code from 200 to 599 (RFC 9110 §15). Any other number is answered
    /// as 500: it cannot be sent as the end of a request.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self {
            status: if (200..600).contains(&status) {
                status
            } else {
                500
            },
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Makes a reply whose body is `body` as JSON. Members stand in the order of the struct's fields.
    ///
    /// # Errors
    /// `Internal` if `body` cannot be written as JSON, as a map whose keys are no strings.
    pub fn json(status: u16, body: &impl Serialize) -> Result<Self, Error> {
        let mut json = Vec::with_capacity(USUAL_BODY_LEN);
        serde_json::to_writer(&mut json, body).map_err(|source| {
            Error::new(ErrorKind::Internal, "a reply cannot be written as JSON").with_source(source)
        })?;
        Ok(Self::new(status).with_body("application/json", json))
    }

    /// Makes a reply in the shape of FastAPI's errors: `{"detail": text}`.
    #[must_use]
    pub fn detail(status: u16, text: impl fmt::Display) -> Self {
        let detail = text.to_string();
        Self::of(status, &Detail { detail })
    }

    /// Makes a reply in the shape of RFC 6749 §5.2: `{"error": code, "error_description": text}`.
    ///
    /// Quotes and backslashes of the text become apostrophes: the RFC takes neither.
    #[must_use]
    pub fn oauth_error(status: u16, error: &str, description: impl fmt::Display) -> Self {
        let error_description = description.to_string().replace(['"', '\\'], "'");
        let body = OAuthError {
            error,
            error_description,
        };
        Self::of(status, &body)
    }

    /// 307 to `location`, without a body (RFC 9110 §15.4.8).
    #[must_use]
    pub fn redirect(location: String) -> Self {
        Self::new(307).with_header("location", location)
    }

    /// Replaces the body. It is sent as it is, as `content_type`.
    #[must_use]
    pub fn with_body(mut self, content_type: &'static str, body: Vec<u8>) -> Self {
        self.body = body;
        self.without_header(CONTENT_TYPE)
            .with_header(CONTENT_TYPE, content_type)
    }

    /// Adds a header, beside others of the same name. `name` is in lower case; `content-length` is
    /// left to the server.
    ///
    /// A character that cannot stand in a header value is replaced: a control character by a space,
    /// as RFC 9110 §5.5 has it for line breaks, and one beyond ASCII by `?`. So no value can end the
    /// header that it stands in.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, header_value(value.into())));
        self
    }

    /// The HTTP status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The headers, names in lower case, in the order to send them. A name may be there more than
    /// once, as `set-cookie` is, so an adapter *appends* each.
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

    /// A body of this crate's own structs.
    pub(crate) fn of(status: u16, body: &impl Serialize) -> Self {
        Self::json(status, body).unwrap_or_else(|error| {
            error.log("an answer could not be written");
            Self::new(500)
        })
    }

    /// The status of a failure: 503 for what may work later, with `Retry-After`, else 500.
    pub(crate) fn status_of(error: &Error) -> u16 {
        match error.kind() {
            ErrorKind::Overloaded | ErrorKind::Unavailable => 503,
            _ => 500,
        }
    }

    /// In whole seconds, at least one (RFC 9110 §10.2.3).
    pub(crate) fn with_retry_after(self, delay: Duration) -> Self {
        let seconds = delay.as_millis().div_ceil(1000).max(1);
        self.with_header("retry-after", seconds.to_string())
    }

    pub(crate) fn with_cookie(self, cookie: String) -> Self {
        self.with_header(SET_COOKIE, cookie)
    }

    /// "The authorization server MUST include the HTTP `Cache-Control` response header field with
    /// a value of `no-store` in any response containing tokens" (RFC 6749 §5.1, and `Pragma`).
    /// FastAPI sends neither; no client can mind.
    pub(crate) fn not_stored(self) -> Self {
        self.without_header(CACHE_CONTROL)
            .without_header(PRAGMA)
            .with_header(CACHE_CONTROL, "no-store")
            .with_header(PRAGMA, "no-cache")
    }

    fn without_header(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self
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

fn header_value(value: Cow<'static, str>) -> Cow<'static, str> {
    let may_stand = |c: char| matches!(c, ' '..='~' | '\t');
    if value.chars().all(may_stand) {
        return value;
    }
    let replace = |c: char| match c {
        c if may_stand(c) => c,
        c if c.is_ascii() => ' ',
        _ => '?',
    };
    Cow::from(value.chars().map(replace).collect::<String>())
}

// Field order is the order on the wire.

#[derive(Serialize)]
pub(crate) struct Detail<T> {
    pub(crate) detail: T,
}

#[derive(Serialize)]
struct OAuthError<'a> {
    error: &'a str,
    error_description: String,
}

/// Bytes: a token and its members, without growing in between.
const USUAL_BODY_LEN: usize = 1024;

const CACHE_CONTROL: &str = "cache-control";
const CONTENT_TYPE: &str = "content-type";
const PRAGMA: &str = "pragma";
const SET_COOKIE: &str = "set-cookie";
