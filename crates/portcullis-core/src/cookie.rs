//! The cookies in which a browser keeps tokens, out of reach of scripts.

use std::fmt::Write as _;
use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::secret::Secret;

/// How the cookie of a token is set: `HttpOnly` always, the rest as said here (RFC 6265bis §4.1.2).
///
/// ```
/// use portcullis_core::cookie::TokenCookie;
/// use portcullis_core::RefreshTransport;
///
/// let cookie = TokenCookie::refresh_token().of_this_host();
/// let transport = RefreshTransport::Cookie(cookie);
/// # let _ = transport;
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct TokenCookie {
    /// The name. With the prefix `__Host-` browsers take it only from this host, over HTTPS and for
    /// the path `/`, so that no other host of the domain can set one in its place (RFC 6265bis
    /// §4.1.3.2).
    pub name: String,
    /// Whether browsers send it over HTTPS alone. Default true; say false where a browser has to
    /// log in over plain HTTP, as in development.
    pub secure: bool,
    /// Whether browsers send it with requests from other sites.
    pub same_site: SameSite,
    /// The paths that browsers send it to. Default none, which is the directory of the login (RFC 6265
    /// §5.1.4): of `/v1/login`, all of `/v1`. Say it where the login is not in the same directory as
    /// what reads the cookie. Changed later, it ends logins: browsers go on sending the cookie of the
    /// old path too.
    pub path: Option<String>,
}

impl TokenCookie {
    /// The cookie `refresh_token`, with [`SameSite::Strict`]: so no other site can have a login
    /// refreshed or ended.
    #[must_use]
    pub fn refresh_token() -> Self {
        Self {
            name: "refresh_token".to_owned(),
            secure: true,
            same_site: SameSite::Strict,
            path: None,
        }
    }

    /// The cookie `access_token`, with [`SameSite::Lax`] and the path `/`: so a link from another site
    /// to a page of this one finds its user logged in.
    #[must_use]
    pub fn access_token() -> Self {
        Self {
            name: "access_token".to_owned(),
            secure: true,
            same_site: SameSite::Lax,
            path: Some("/".to_owned()),
        }
    }

    /// The same cookie with `__Host-` before its name, secure and with the path `/`: browsers take it from
    /// this host alone, so that no other host of the domain can set one in its place (RFC 6265bis
    /// §4.1.3.2).
    ///
    /// ```
    /// use portcullis_core::cookie::TokenCookie;
    ///
    /// let cookie = TokenCookie::refresh_token().of_this_host();
    /// assert_eq!(cookie.name, "__Host-refresh_token");
    /// ```
    #[must_use]
    pub fn of_this_host(mut self) -> Self {
        self.name.insert_str(0, "__Host-");
        self.secure = true;
        self.path = Some("/".to_owned());
        self
    }

    /// The same cookie with `__Secure-` before its name, and secure, for one that is to keep its path:
    /// other hosts of the domain can set one in its place, but over HTTPS alone (RFC 6265bis §4.1.3.1).
    #[must_use]
    pub fn over_https(mut self) -> Self {
        self.name.insert_str(0, "__Secure-");
        self.secure = true;
        self
    }

    /// The cookie `device` of [`DeviceCookies`](crate::device::DeviceCookies), with
    /// [`SameSite::Strict`].
    #[must_use]
    pub fn device() -> Self {
        Self {
            name: "device".to_owned(),
            secure: true,
            same_site: SameSite::Strict,
            path: None,
        }
    }

    /// Fails for what browsers would not take.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if self.name.is_empty() || !self.name.bytes().all(is_name) {
            return Err(invalid(
                "the name of the cookie must hold only letters, digits and characters such as `-` \
                 and `_`",
            ));
        }
        if self.same_site == SameSite::None && !self.secure {
            return Err(invalid(
                "browsers take a cookie for requests from other sites over HTTPS alone: make it \
                 secure, or of the same site",
            ));
        }
        let is_path = |path: &str| {
            let mut bytes = path.bytes();
            path.starts_with('/') && bytes.all(|byte| byte.is_ascii_graphic() && byte != b';')
        };
        if self.path.as_deref().is_some_and(|path| !is_path(path)) {
            return Err(invalid(
                "the path of the cookie must begin with `/` and hold only visible ASCII \
                 characters, and no `;`",
            ));
        }
        // Browsers compare the prefixes without regard to case (RFC 6265bis §5.7).
        let has_prefix = |prefix: &str| {
            let name = self.name.get(..prefix.len());
            name.is_some_and(|name| name.eq_ignore_ascii_case(prefix))
        };
        if has_prefix("__Host-") && !(self.secure && self.path.as_deref() == Some("/")) {
            return Err(invalid(
                "browsers take a cookie whose name begins with `__Host-` only if it is secure and \
                 its path is `/`",
            ));
        }
        if has_prefix("__Secure-") && !self.secure {
            return Err(invalid(
                "browsers take a cookie whose name begins with `__Secure-` only if it is secure",
            ));
        }
        Ok(())
    }

    /// The value of `Set-Cookie` that has a browser keep `token` for as long.
    pub(crate) fn keep(&self, token: &Secret, duration: Duration) -> String {
        self.set(token.expose(), duration)
    }

    /// That which has it forget what it keeps.
    pub(crate) fn forget(&self) -> String {
        self.set("", Duration::ZERO)
    }

    fn set(&self, value: &str, duration: Duration) -> String {
        let mut cookie = format!(
            "{}={value}; Max-Age={}; HttpOnly; SameSite={}",
            self.name,
            duration.as_secs(),
            match self.same_site {
                SameSite::Lax => "Lax",
                SameSite::None => "None",
                SameSite::Strict => "Strict",
            }
        );
        if let Some(path) = &self.path {
            // Writing to a `String` does not fail.
            let _ = write!(cookie, "; Path={path}");
        }
        if self.secure {
            cookie.push_str("; Secure");
        }
        cookie
    }
}

/// With which requests from other sites browsers send a cookie (RFC 6265bis §4.1.2.7).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum SameSite {
    /// Sent when the user follows a link from another site, which is a `GET`.
    Lax,
    /// Sent with every request from any site; requires [`TokenCookie::secure`]. Use it only when your
    /// pages are on another site, and then check a header that only they can send: any site can
    /// trigger requests with the cookie.
    None,
    /// Sent with requests from pages of the same site only.
    Strict,
}

/// How refresh tokens travel between the client and the endpoint. It is apart from the shape of
/// answers, which a [`Responder`](crate::Responder) decides.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RefreshTransport {
    /// In the body of the answer, for clients that keep them themselves. The login takes them as
    /// `grant_type=refresh_token` (RFC 6749 §6), and [`Operation::Revoke`](crate::adapter::Operation::Revoke)
    /// ends them.
    Body,
    /// In a cookie, for browsers: the body stays as it is, and no script can read them.
    /// [`Operation::Refresh`](crate::adapter::Operation::Refresh) takes them and
    /// [`Operation::LogOut`](crate::adapter::Operation::LogOut) ends them.
    Cookie(TokenCookie),
}

/// The values of the cookie `name` among the `Cookie` headers of a request, those of longer paths first
/// (RFC 6265bis §5.8.3). There are several where the path was another once, or another host of the
/// domain has set one too.
pub(crate) fn cookie_values<'a>(
    name: &str,
    headers: impl IntoIterator<Item = &'a [u8]>,
) -> impl Iterator<Item = &'a str> {
    headers
        .into_iter()
        .flat_map(|header| header.split(|&byte| byte == b';'))
        .filter_map(move |pair| {
            let pair = str::from_utf8(pair).ok()?;
            let (other, value) = pair.split_once('=')?;
            (other.trim() == name).then(|| value.trim())
        })
}

fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidConfig, message)
}
