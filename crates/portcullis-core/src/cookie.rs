//! The cookie in which a browser keeps a refresh token, out of reach of scripts.

use std::fmt::Write as _;
use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::refresh::is_refresh_token;
use crate::secret::Secret;

/// How the cookie `refresh_token` is set: `HttpOnly` always, the rest as said here (RFC 6265bis
/// §4.1.2).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RefreshCookie {
    /// Whether browsers send it over HTTPS alone. Default true; say false where a browser has to
    /// log in over plain HTTP, as in development.
    pub secure: bool,
    /// Whether browsers send it with requests from other sites. Default [`SameSite::Strict`]: so
    /// no other site can have a session refreshed or ended.
    pub same_site: SameSite,
    /// The paths that browsers send it to. Default none, which is the directory of the login (RFC 6265
    /// §5.1.4): of `/v1/login`, all of `/v1`. Say it where the login is not in the same directory as
    /// [`Operation::Refresh`](crate::Operation). Changed later, it ends logins: browsers go on
    /// sending the cookie of the old path too.
    pub path: Option<String>,
}

impl Default for RefreshCookie {
    fn default() -> Self {
        Self {
            secure: true,
            same_site: SameSite::Strict,
            path: None,
        }
    }
}

impl RefreshCookie {
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.same_site == SameSite::None && !self.secure {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                "browsers take a cookie for requests from other sites over HTTPS alone: make it \
                 secure, or of the same site",
            ));
        }
        let is_path = |path: &str| {
            let mut bytes = path.bytes();
            path.starts_with('/') && bytes.all(|byte| byte.is_ascii_graphic() && byte != b';')
        };
        if self.path.as_deref().is_some_and(|path| !is_path(path)) {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                "the path of the cookie must begin with `/` and hold only visible ASCII \
                 characters, and no `;`",
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
            "{NAME}={value}; Max-Age={}; HttpOnly; SameSite={}",
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
    /// With links to this site, which no request here is.
    Lax,
    /// With all, which takes [`RefreshCookie::secure`]. Where the pages are of another site than
    /// this; have them send a header that other sites cannot, and check it.
    None,
    /// With none.
    Strict,
}

/// Finds what can be refresh tokens among the `Cookie` headers of a request, those of longer paths
/// first (RFC 6265bis §5.8.3). There are several where the path was another once, or another host of
/// the domain has set one too: none of them hides the others.
pub(crate) fn refresh_tokens<'a>(headers: impl IntoIterator<Item = &'a [u8]>) -> Vec<Secret> {
    headers
        .into_iter()
        .flat_map(|header| header.split(|&byte| byte == b';'))
        .filter_map(|pair| {
            let pair = str::from_utf8(pair).ok()?;
            let (name, value) = pair.split_once('=')?;
            (name.trim() == NAME).then(|| value.trim())
        })
        .filter(|value| is_refresh_token(value))
        .map(|value| Secret::from(value.to_owned()))
        .take(MAX_TOKENS)
        .collect()
}

/// More than a browser has reason to send; each costs a look-up.
const MAX_TOKENS: usize = 4;

const NAME: &str = "refresh_token";
