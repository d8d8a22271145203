//! Turns outcomes into HTTP replies. Only this module names a status code.

use std::borrow::Cow;
use std::fmt;

/// An HTTP reply, as data: an adapter copies it out and decides nothing.
#[derive(Clone, Eq, PartialEq)]
pub struct Reply {
    status: u16,
    headers: Vec<(&'static str, Cow<'static, str>)>,
    body: Vec<u8>,
}

impl Reply {
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
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .field("body_len", &self.body.len())
            .finish()
    }
}
