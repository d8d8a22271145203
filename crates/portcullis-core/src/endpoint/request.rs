//! What is sent to the token endpoint.

use std::fmt;
use std::net::IpAddr;

use crate::refresh::SentToken;
use crate::throttle::LoginSource;

/// Where a login comes from, by [`TokenEndpoint::origin`](super::TokenEndpoint::origin).
#[derive(Debug)]
pub struct LoginOrigin {
    pub(super) source: LoginSource,
    /// The refresh tokens of sessions that the browser had.
    pub(super) sessions: Vec<SentToken>,
}

impl From<LoginSource> for LoginOrigin {
    fn from(source: LoginSource) -> Self {
        Self {
            source,
            sessions: Vec::new(),
        }
    }
}

impl From<Option<IpAddr>> for LoginOrigin {
    fn from(address: Option<IpAddr>) -> Self {
        LoginSource::from(address).into()
    }
}

/// A request to the token endpoint whose whole body is there.
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
    /// The `Cookie` headers, for devices that are known and sessions that a login ends.
    pub cookies: &'a [&'a [u8]],
}

impl<'a> LoginRequest<'a> {
    /// Takes the first `Content-Type` header, if there is one, and the body.
    #[must_use]
    pub fn new(content_type: Option<&'a [u8]>, body: &'a [u8]) -> Self {
        Self {
            content_type,
            body,
            remote_address: None,
            cookies: &[],
        }
    }

    /// Gives the `Cookie` headers.
    #[must_use]
    pub fn with_cookies(mut self, cookies: &'a [&'a [u8]]) -> Self {
        self.cookies = cookies;
        self
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
