//! The one error of all operations: a kind to act on, and the cause for the log.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// A boxed cause, as drivers and providers return it.
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// Why an operation could not be carried out.
///
/// An error means "we could not find out" or "we must refuse"; a wrong password is not an error
/// but a [`Verdict`](crate::password::Verdict), and an absent user is `None`.
///
/// [`Display`](fmt::Display) prints the kind and the sentence of the place that failed. The cause
/// is reached only through [`source`](StdError::source), so that a chain prints nothing twice.
/// None of them holds a password, hash, token, key or URL.
///
/// ```
/// use portcullis_core::{Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::Unavailable, "the user database does not answer");
/// assert_eq!(error.kind(), ErrorKind::Unavailable);
/// assert_eq!(error.to_string(), "unavailable: the user database does not answer");
/// ```
#[derive(thiserror::Error)]
#[error("{kind}: {message}")]
pub struct Error {
    kind: ErrorKind,
    message: Cow<'static, str>,
    retry_after: Option<Duration>,
    source: Option<BoxError>,
}

impl Error {
    /// Makes an error of `kind`. `message` is a sentence for the operator, without secrets.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            message: message.into(),
            retry_after: None,
            source: None,
        }
    }

    /// Keeps the cause, for whoever walks [`source`](StdError::source).
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Says when a retry is worth while; rendered as `Retry-After` in whole seconds.
    #[must_use]
    pub fn with_retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// Tells the operator, with every cause: what will pass as a warning, what must be repaired as
    /// an error.
    pub(crate) fn log(&self, what: &'static str) {
        let error: &(dyn StdError + 'static) = self;
        match self.kind {
            ErrorKind::Overloaded | ErrorKind::Unavailable => tracing::warn!(error, "{what}"),
            _ => tracing::error!(error, "{what}"),
        }
    }

    /// What happened, as far as a caller can act on it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The sentence for the operator, without the kind before it.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// How long to wait before a retry, if that is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind)
            .field("message", &self.message)
            .field("retry_after", &self.retry_after)
            .field("source", &self.source)
            .finish()
    }
}

/// The kinds of [`Error`], by what a caller does about them.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The name or id is taken; nothing was changed.
    AlreadyExists,
    /// What was stored cannot be read as what it should be: somebody must repair it.
    Corrupt,
    /// A fault of ours or of a plug-in; the log has the cause.
    Internal,
    /// The configuration cannot work; the message says what to change.
    InvalidConfig,
    /// The access token is not (or no longer) one of ours (RFC 6750 §3.1, `invalid_token`).
    InvalidToken,
    /// The queue is full, or its wait too long: refused before any work was done.
    Overloaded,
    /// A store or service does not answer; nothing is known about the request.
    Unavailable,
    /// The store cannot do this, or was told not to; nothing was changed.
    Unsupported,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AlreadyExists => "already exists",
            Self::Corrupt => "corrupt",
            Self::Internal => "internal",
            Self::InvalidConfig => "invalid configuration",
            Self::InvalidToken => "invalid token",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
            Self::Unsupported => "unsupported",
        })
    }
}
