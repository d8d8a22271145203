//! What an adapter copies out of a request: everything before its body.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::adapter::{Origin, RemoteAddress, Scheme};

/// The head of a request, borrowed from the framework: an adapter copies it in and decides nothing.
#[derive(Clone)]
pub struct RequestHead<'a> {
    method: &'a str,
    target: &'a [u8],
    headers: Vec<(&'a str, &'a [u8])>,
    remote_address: Option<IpAddr>,
    scheme: Option<Scheme>,
    authority: Option<&'a [u8]>,
    local_addr: Option<SocketAddr>,
}

impl<'a> RequestHead<'a> {
    /// Takes the method and the target: the path and query as they stand on the request line.
    #[must_use]
    pub fn new(method: &'a str, target: &'a [u8]) -> Self {
        Self {
            method,
            target,
            headers: Vec::new(),
            remote_address: None,
            scheme: None,
            authority: None,
            local_addr: None,
        }
    }

    /// Takes all headers, in the order in which they were sent.
    #[must_use]
    pub fn with_headers(mut self, headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        self.headers.extend(headers);
        self
    }

    /// Says where the client is: what a middleware has found out, or else where the connection comes
    /// from. Without it, a throttle cannot tell clients apart.
    #[must_use]
    pub fn with_remote_address(
        mut self,
        said: Option<RemoteAddress>,
        connected: Option<SocketAddr>,
    ) -> Self {
        let said = said.map(|RemoteAddress(address)| address);
        self.remote_address = said.or_else(|| connected.map(|address| address.ip()));
        self
    }

    /// Says by which scheme the request came, if the framework knows. Default: plain HTTP.
    #[must_use]
    pub fn with_scheme(mut self, scheme: Option<Scheme>) -> Self {
        self.scheme = scheme;
        self
    }

    /// Says the authority of the request's URI (`:authority`), for a request without a `Host` header.
    #[must_use]
    pub fn with_authority(mut self, authority: Option<&'a str>) -> Self {
        self.authority = authority.map(str::as_bytes);
        self
    }

    /// Says the address that the server listens on, for redirects of requests without a usable host.
    #[must_use]
    pub fn with_local_addr(mut self, local_addr: Option<SocketAddr>) -> Self {
        self.local_addr = local_addr;
        self
    }

    /// The method, which is compared with regard to case.
    #[must_use]
    pub fn method(&self) -> &'a str {
        self.method
    }

    /// The path and query, as sent.
    #[must_use]
    pub fn target(&self) -> &'a [u8] {
        self.target
    }

    /// The first header of that name, as sent. `name` is in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.header_values(name).next()
    }

    /// All headers of that name, in the order in which they were sent.
    pub fn header_values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.headers
            .iter()
            .filter(move |(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }

    /// Where the client is, if the adapter knows.
    #[must_use]
    pub fn remote_address(&self) -> Option<IpAddr> {
        self.remote_address
    }

    /// The host that the client names: the `Host` header, or else the authority of the URI.
    #[must_use]
    pub fn host(&self) -> Option<&'a [u8]> {
        self.header("host").or(self.authority)
    }

    /// Where the client believes it is. `scheme` is what the application says of it.
    #[must_use]
    pub fn origin(&self, scheme: Option<Scheme>) -> Origin<'a> {
        let scheme = scheme.or(self.scheme).unwrap_or(Scheme::Http);
        Origin::new(scheme, self.host(), self.local_addr)
    }
}

/// Headers hold tokens, and a target may hold what was typed into the wrong field.
impl fmt::Debug for RequestHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("method", &self.method)
            .field("headers", &self.headers.len())
            .finish_non_exhaustive()
    }
}
