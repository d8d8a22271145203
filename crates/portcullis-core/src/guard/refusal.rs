//! What becomes of requests that the guard does not let through.

use std::fmt;

use thiserror::Error as ThisError;

use crate::error::{Error, ErrorKind};
use crate::responder::{Answer, FastApi, Reply, Responder};

/// Why a [`BearerGuard`](super::BearerGuard) did not let a request through.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum BearerRefusal {
    /// The token is in a cookie, and the request comes from another site.
    #[error("the request comes from another site")]
    CrossSite,
    /// Whether the token is good could not be found out.
    #[error("the access token could not be checked")]
    Failed(#[source] Error),
    /// The token is good, but not for this (RFC 6750 §3.1, `insufficient_scope`).
    #[error("the access token does not have the scope that is needed")]
    InsufficientScope {
        /// The scope that is needed.
        scope: String,
    },
    /// There is a token, but it is not (or no longer) good (RFC 6750 §3.1, `invalid_token`).
    #[error("the access token is not valid")]
    InvalidToken,
    /// There is no token.
    #[error("no access token was sent")]
    NotAuthenticated,
}

impl BearerRefusal {
    pub(super) fn of(error: Error) -> Self {
        if error.kind() == ErrorKind::InvalidToken {
            return Self::InvalidToken;
        }
        error.log("an access token could not be checked");
        Self::Failed(error)
    }
}

/// A refusal of a [`BearerGuard`](super::BearerGuard), and the reply that its [`Responder`] has for it.
#[derive(Debug)]
pub struct BearerRejection {
    refusal: BearerRefusal,
    reply: Reply,
}

impl BearerRejection {
    pub(super) fn new(refusal: BearerRefusal, responder: &dyn Responder) -> Self {
        let reply = responder.respond(Answer::Bearer(&refusal));
        Self { refusal, reply }
    }

    /// For an adapter that is asked for a [`Bearer`](super::Bearer) by an app without a [`BearerGuard`](super::BearerGuard): a failure,
    /// which is logged with the `advice` to the developer.
    #[must_use]
    pub fn without_guard(advice: &'static str) -> Self {
        let refusal = BearerRefusal::of(Error::new(ErrorKind::InvalidConfig, advice));
        Self::new(refusal, &FastApi::new())
    }

    /// Why the request was refused.
    #[must_use]
    pub fn refusal(&self) -> &BearerRefusal {
        &self.refusal
    }

    /// The reply for the client.
    #[must_use]
    pub fn reply(&self) -> &Reply {
        &self.reply
    }
}

impl fmt::Display for BearerRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.refusal.fmt(f)
    }
}

impl std::error::Error for BearerRejection {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.refusal.source()
    }
}
