//! What can be asked of a token endpoint.

/// What can be asked of a [`TokenEndpoint`](crate::TokenEndpoint). Each operation is a path of its
/// own, asked by POST.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Operation {
    /// Replaces the password of the bearer of an access token. Default path `/password`.
    ChangePassword,
    /// Logs a user in by password; with refresh tokens in the body it takes those too (RFC 6749
    /// §4.3.2 and §6). Default path `/login`.
    Login,
    /// Ends the login whose refresh token is in a cookie. Default path `/logout`.
    LogOut,
    /// Answers a new access token for the refresh token in a cookie. Default path `/refresh`.
    Refresh,
    /// Revokes the refresh token in the body (RFC 7009 §2). Default path `/revoke`.
    Revoke,
}

impl Operation {
    /// The method of requests for it.
    #[must_use]
    pub fn method(self) -> &'static str {
        "POST"
    }

    pub(crate) fn default_path(self) -> &'static str {
        match self {
            Self::ChangePassword => "/password",
            Self::Login => "/login",
            Self::LogOut => "/logout",
            Self::Refresh => "/refresh",
            Self::Revoke => "/revoke",
        }
    }
}
