//! Turns a request line into the route that answers it, by the rules of FastAPI's router.
//!
//! A web framework's own router differs from FastAPI's in what it decodes, normalises and
//! redirects, so an adapter asks here.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::percent;

/// The paths a service answers on, each with its method.
///
/// As in FastAPI 0.165.0 (Starlette 1.10.0), the path of a request is percent-decoded once and
/// then compared exactly, dot segments and double slashes included; a path that is only a
/// trailing slash away is redirected to; and one line feed after the path is overlooked.
///
/// ```
/// use portcullis_core::adapter::{Origin, Route, Routes, Scheme};
///
/// let routes = Routes::new([("POST", "/v1/login"), ("GET", "/v1/me")]);
/// let origin = Origin::new(Scheme::Https, Some(b"api.example.com"), None);
///
/// assert_eq!(routes.find("GET", b"/v1/m%65?x=y", &origin), Route::Matched(1));
/// assert_eq!(
///     routes.find("GET", b"/v1/login", &origin),
///     Route::MethodNotAllowed { allow: "POST".to_owned() },
/// );
/// assert_eq!(
///     routes.find("POST", b"/v1/login/?x=y", &origin),
///     Route::Redirect { location: "https://api.example.com/v1/login?x=y".to_owned() },
/// );
/// ```
#[derive(Clone, Debug)]
pub struct Routes {
    known: Vec<KnownRoute>,
}

impl Routes {
    /// Takes pairs of a method and a path. Paths are literal: absolute, not percent-encoded and
    /// without parameters.
    pub fn new<M, P>(routes: impl IntoIterator<Item = (M, P)>) -> Self
    where
        M: Into<String>,
        P: Into<String>,
    {
        let known = routes
            .into_iter()
            .map(|(method, path)| KnownRoute {
                method: method.into(),
                path: path.into(),
            })
            .collect();
        Self { known }
    }

    /// Finds what answers a request for `target`, which is the path and query as they stand on
    /// the request line. Only a redirect looks at `origin`.
    #[must_use]
    pub fn find(&self, method: &str, target: &[u8], origin: &Origin<'_>) -> Route {
        let mut parts = target.splitn(2, |&byte| byte == b'?');
        let path = percent::decode(parts.next().unwrap_or_default());
        let query = parts.next().unwrap_or_default();
        let path = String::from_utf8_lossy(&path);
        if let Some(route) = self.at(method, &path) {
            return route;
        }
        let other = match path.as_ref() {
            "/" => return Route::NotFound,
            path if path.ends_with('/') => Cow::from(path.trim_end_matches('/')),
            path => Cow::from(format!("{path}/")),
        };
        if self.at(method, &other).is_none() {
            return Route::NotFound;
        }
        Route::Redirect {
            location: origin.location(&other, query),
        }
    }

    /// The answer at exactly this path, if it is one of ours.
    fn at(&self, method: &str, path: &str) -> Option<Route> {
        let mut allow = Vec::new();
        for (index, route) in self.known.iter().enumerate() {
            if !route.is_at(path) {
                continue;
            }
            if route.method == method {
                return Some(Route::Matched(index));
            }
            allow.push(route.method.as_str());
        }
        if allow.is_empty() {
            return None;
        }
        allow.sort_unstable();
        Some(Route::MethodNotAllowed {
            allow: allow.join(", "),
        })
    }
}

/// What answers a request.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Route {
    /// The route with this index in the order given to [`Routes::new`].
    Matched(usize),
    /// The path is known, but not with this method, which is compared case-sensitively.
    MethodNotAllowed {
        /// The methods of the path, for the `Allow` header (RFC 9110 §10.2.1).
        allow: String,
    },
    /// Nothing is known of this path.
    NotFound,
    /// The path is known once its trailing slashes are dropped (or one is added).
    Redirect {
        /// For the `Location` header (RFC 9110 §10.2.2): printable ASCII, whatever was sent.
        location: String,
    },
}

/// Where a client believes it is, for absolute redirects.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    scheme: Scheme,
    host: Option<&'a [u8]>,
    local_addr: Option<SocketAddr>,
}

impl<'a> Origin<'a> {
    /// Takes the `Host` header (or `:authority`) as it was sent, and the address the server
    /// listens on.
    ///
    /// As in FastAPI, a redirect leads to any well-formed host the client names: whoever makes
    /// a client, or a cache in front of the service, send a false `Host` chooses where it goes.
    /// Behind a proxy that lets such requests through, pass the service's own name instead.
    ///
    /// A host that is absent or malformed is replaced by `local_addr`; without that, the
    /// redirect is relative.
    #[must_use]
    pub fn new(scheme: Scheme, host: Option<&'a [u8]>, local_addr: Option<SocketAddr>) -> Self {
        Self {
            scheme,
            host,
            local_addr,
        }
    }

    /// Names no origin: the redirect is to a path, which a client resolves against what it asked for
    /// (RFC 9110 §10.2.2).
    #[must_use]
    pub fn unnamed() -> Self {
        Self::new(Scheme::Http, None, None)
    }

    fn location(&self, path: &str, query: &[u8]) -> String {
        let mut location = match self.authority() {
            Some(authority) => format!("{}://{authority}", self.scheme.name()),
            None => String::new(),
        };
        push_quoted(&mut location, path.as_bytes(), |byte| {
            // Unquoted, these would begin a query or a fragment.
            !matches!(byte, b'?' | b'#') && may_stand_in_url(byte)
        });
        if !query.is_empty() {
            location.push('?');
            push_quoted(&mut location, query, may_stand_in_url);
        }
        location
    }

    fn authority(&self) -> Option<Cow<'a, str>> {
        if let Some(host) = self.host.and_then(well_formed_host) {
            return Some(Cow::from(host));
        }
        let addr = self.local_addr?;
        let host = match addr.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Some(Cow::from(if addr.port() == self.scheme.default_port() {
            host
        } else {
            format!("{host}:{}", addr.port())
        }))
    }
}

/// The scheme a request came by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// RFC 9110 §4.2.
    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

#[derive(Clone, Debug)]
struct KnownRoute {
    method: String,
    path: String,
}

impl KnownRoute {
    /// FastAPI compiles a path to a regular expression that ends in `$`, which in Python also
    /// matches before a final line feed.
    fn is_at(&self, path: &str) -> bool {
        path == self.path || path.strip_suffix('\n') == Some(&self.path)
    }
}

/// The host as text, if Starlette would build a URL with it: a name or an IP literal of RFC 3986
/// §3.2.2, not empty, and perhaps a port. Nothing in it can end the authority of that URL.
fn well_formed_host(host: &[u8]) -> Option<&str> {
    let host = str::from_utf8(host).ok()?;
    let name_len = match host.find(']') {
        Some(bracket) => bracket + 1,
        None => host.find(':').unwrap_or(host.len()),
    };
    let (name, port) = host.split_at(name_len);
    let is_name = match name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
    {
        Some(literal) => is_ip_literal(literal),
        None => !name.is_empty() && name.bytes().all(|byte| byte == b'%' || is_unescaped(byte)),
    };
    let is_port = |digits: &str| {
        // `parse` alone would take a sign.
        digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok()
    };
    let has_port = port.strip_prefix(':').is_some_and(is_port);
    (is_name && (port.is_empty() || has_port)).then_some(host)
}

fn is_ip_literal(literal: &str) -> bool {
    let Some(future) = literal.strip_prefix('v') else {
        return literal.parse::<Ipv6Addr>().is_ok();
    };
    future.split_once('.').is_some_and(|(version, address)| {
        !version.is_empty()
            && version.bytes().all(|byte| byte.is_ascii_hexdigit())
            && !address.is_empty()
            && address
                .bytes()
                .all(|byte| byte == b':' || is_unescaped(byte))
    })
}

/// The unreserved characters and sub-delimiters of RFC 3986 §2.
fn is_unescaped(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte)
}

/// What Starlette leaves as it is in a `Location`.
fn may_stand_in_url(byte: u8) -> bool {
    is_unescaped(byte) || b":/?#[]@%".contains(&byte)
}

/// Appends `bytes` with each one percent-encoded that is not to be kept.
fn push_quoted(text: &mut String, bytes: &[u8], keep: impl Fn(u8) -> bool) {
    for &byte in bytes {
        if keep(byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
}
