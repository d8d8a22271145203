//! What an error of the driver means.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use portcullis_core::{Error, ErrorKind};
use redis::{ErrorKind as Driver, RedisError, ServerErrorKind as Server};

/// Chooses the kind by what the caller can do about it.
pub(crate) fn from_driver(error: &RedisError) -> Error {
    let (kind, message) = match error.kind() {
        _ if is_refused(error) => (
            ErrorKind::Unavailable,
            "the Redis server refuses the username or the password",
        ),
        _ if is_forbidden(error) => (ErrorKind::Unavailable, FORBIDDEN),
        Driver::ClusterConnectionNotFound
        | Driver::Io
        | Driver::Parse
        | Driver::Server(
            Server::Ask
            | Server::BusyLoading
            | Server::ClusterDown
            | Server::MasterDown
            | Server::Moved
            | Server::ReadOnly
            | Server::TryAgain,
        ) => NO_ANSWER,
        Driver::Server(Server::ResponseError) if is_crowded(error) => NO_ANSWER,
        _ => match error.code() {
            Some("BUSY" | "MISCONF" | "NOREPLICAS" | "OOM" | "UNKILLABLE") => NO_ANSWER,
            Some("WRONGTYPE") => UNREADABLE,
            _ => (
                ErrorKind::Internal,
                "the Redis server does not understand a command",
            ),
        },
    };
    Error::new(kind, message).with_source(cause(error))
}

/// Like [`from_driver`], when a store is opened: what will not pass by itself can be corrected
/// now.
pub(crate) fn at_opening(error: &RedisError) -> Error {
    let meaning = from_driver(error);
    let message = match error.kind() {
        _ if is_refused(error) => {
            "the Redis server refuses the username or the password: check both in the URL"
        }
        Driver::Parse | Driver::RESP3NotSupported => {
            "what answers is not Redis 7 or later: check host and port"
        }
        _ if is_forbidden(error) => FORBIDDEN,
        _ if is_untrusted(error) => {
            "the Redis server has no certificate that is trusted: check it, and the host"
        }
        _ if meaning.kind() == ErrorKind::Unavailable => return meaning,
        _ => "the Redis server refuses the connection: check the database number and the ACL",
    };
    Error::new(ErrorKind::InvalidConfig, message).with_source(cause(error))
}

/// What is stored is not what a user or a token is made of. `what` names the part.
pub(crate) fn corrupt(what: &'static str) -> Error {
    Error::new(UNREADABLE.0, UNREADABLE.1).with_source(what)
}

/// A value that has no place in Redis. `what` names it.
pub(crate) fn cannot_store(what: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("{what} cannot be stored"))
}

/// Tells whether the server refuses since it is not, or not yet, the one to ask. It keeps its
/// connections, while a name or a proxy may lead new ones to another that has taken over.
pub(crate) fn is_misdirected(error: &RedisError) -> bool {
    matches!(
        error.code(),
        Some("CLUSTERDOWN" | "LOADING" | "MASTERDOWN" | "NOREPLICAS" | "READONLY")
    )
}

fn is_refused(error: &RedisError) -> bool {
    error.kind() == Driver::AuthenticationFailed
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS"))
}

/// Tells whether the ACL is against it; in a script, that is an error like any other.
pub(crate) fn is_forbidden(error: &RedisError) -> bool {
    let in_script = |detail: &str| {
        detail.starts_with("The user executing the script can't")
            || detail.starts_with("ACL failure in script") // since Redis 7.2
    };
    error.code() == Some("NOPERM") || error.detail().is_some_and(in_script)
}

fn is_crowded(error: &RedisError) -> bool {
    error
        .detail()
        .is_some_and(|detail| detail.starts_with("max number of clients"))
}

/// Tells whether TLS failed, most likely since the certificate is none that is trusted.
fn is_untrusted(error: &RedisError) -> bool {
    io_error(error).is_some_and(|error| error.kind() == io::ErrorKind::InvalidData)
}

/// What may be told of an error. The rest of a server's sentence quotes commands, and a driver's
/// quotes replies: both may hold passwords and hashes.
fn cause(error: &RedisError) -> String {
    match (error.code(), io_error(error)) {
        (Some(code), _) => format!("the server answered {code}"),
        (None, Some(error)) => error.to_string(),
        (None, None) => error.category().to_owned(),
    }
}

fn io_error(error: &RedisError) -> Option<&io::Error> {
    let shared: &Arc<dyn StdError + Send + Sync> = error.source()?.downcast_ref()?;
    shared.downcast_ref()
}

const FORBIDDEN: &str = "the Redis user may not do what portcullis needs: allow it in the ACL";
const NO_ANSWER: (ErrorKind, &str) = (
    ErrorKind::Unavailable,
    "the Redis server cannot be used now",
);
const UNREADABLE: (ErrorKind, &str) = (
    ErrorKind::Corrupt,
    "the Redis server holds what cannot be read",
);
