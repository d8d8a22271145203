//! Turns what happened into a [`Reply`], in the shape that the application's clients know.

use std::fmt::Debug;

use crate::endpoint::{Login, TokenRefusal};
use crate::guard::BearerRefusal;

mod fastapi;
pub use fastapi::{FastApi, RefusalKind, Wording};

mod reply;
pub(crate) use reply::Detail;
pub use reply::Reply;

mod rfc6749;
pub use rfc6749::Rfc6749;

/// Decides in which shape everything is answered: [`FastApi`] (the default), [`Rfc6749`], or one of
/// your own.
///
/// Give the same responder to the [`TokenEndpoint`](crate::TokenEndpoint) and to each
/// [`BearerGuard`](crate::BearerGuard): then a service speaks with one voice. What does not belong to
/// the shape is added afterwards, so that no responder can forget it: `Cache-Control: no-store` and
/// the cookies of tokens.
///
/// One method takes every [`Answer`], so that a responder changes those that it cares about and hands
/// the others on:
///
/// ```
/// use portcullis_core::endpoint::TokenRefusal;
/// use portcullis_core::responder::{Answer, FastApi, Reply};
/// use portcullis_core::Responder;
///
/// #[derive(Debug, Default)]
/// struct Ours {
///     otherwise: FastApi,
/// }
///
/// impl Responder for Ours {
///     fn respond(&self, answer: Answer<'_>) -> Reply {
///         match answer {
///             Answer::Refused(TokenRefusal::BadCredentials) => {
///                 Reply::detail(400, "LOGIN_BAD_CREDENTIALS")
///             }
///             other => self.otherwise.respond(other),
///         }
///     }
/// }
/// ```
pub trait Responder: Debug + Send + Sync + 'static {
    /// Makes the reply. It is called on the request's own thread, and must not block.
    fn respond(&self, answer: Answer<'_>) -> Reply;
}

/// What a [`Responder`] is asked to put into words.
///
/// It is borrowed data, and says of a failure only what a client may know: an unknown user and a wrong
/// password are the same [`TokenRefusal::BadCredentials`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Answer<'a> {
    /// A request to a protected handler was refused.
    Bearer(&'a BearerRefusal),
    /// The user is logged out, or was not logged in.
    LoggedOut,
    /// The path is known, but not with this method.
    MethodNotAllowed {
        /// The methods of the path, separated by `, `, for the `Allow` header (RFC 9110 §10.2.1).
        allow: &'a str,
    },
    /// Nothing is known of the path.
    NotFound,
    /// A request to the token endpoint was refused.
    Refused(&'a TokenRefusal),
    /// The token is revoked, or was no good (RFC 7009 §2.2).
    Revoked,
    /// Somebody has logged in, has refreshed a login, or has changed their password and goes on.
    Token(&'a Login),
}

/// The challenge of RFC 6750 §3.1 for a token whose scope does not suffice.
fn insufficient_scope(scope: &str) -> String {
    // Only what may stand in a scope (RFC 6749 §3.3), none of which ends the quoted string.
    let scope: String = scope
        .chars()
        .filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\'))
        .collect();
    format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"")
}

const WWW_AUTHENTICATE: &str = "www-authenticate";
