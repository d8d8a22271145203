//! What an error of the driver or the server means.

use std::error::Error as StdError;
use std::fmt;

use portcullis_core::{Error, ErrorKind};
use sqlx::postgres::PgDatabaseError;

/// Chooses the kind by what the caller can do about it.
pub(crate) fn from_driver(error: sqlx::Error) -> Error {
    use sqlx::Error as E;

    let (kind, message) = match (&error, sqlstate(&error)) {
        (_, Some("23505")) => (
            ErrorKind::AlreadyExists,
            "the username or the user id is taken",
        ),
        (_, Some("3F000" | "42501" | "42703" | "42P01")) => (
            ErrorKind::Unavailable,
            "the database lacks a table or the right to use it; was it migrated?",
        ),
        (_, Some(code)) if code.starts_with("XX") => UNREADABLE,
        (_, Some(code)) if may_pass(code) => NO_ANSWER,
        (E::ColumnDecode { .. } | E::Decode(_), _) => UNREADABLE,
        (E::Io(_) | E::PoolClosed | E::PoolTimedOut | E::Protocol(_) | E::Tls(_), _)
        | (E::WorkerCrashed, _) => NO_ANSWER,
        _ => (ErrorKind::Internal, "the database refuses the statement"),
    };
    with_source(Error::new(kind, message), error)
}

/// An error at start-up, where somebody looks on who can change the configuration.
pub(crate) fn at_start(error: sqlx::Error) -> Error {
    let sentence = match (&error, sqlstate(&error)) {
        (_, Some("28000" | "28P01")) => {
            "the Postgres server refuses this user or password: check both, and its pg_hba.conf"
        }
        (_, Some("3D000")) => "the Postgres server has no such database: create it",
        (_, Some("42501")) => {
            "this user of Postgres may not do what is needed: grant it the rights, or use another"
        }
        (sqlx::Error::Tls(_), _) => {
            "the connection cannot be encrypted as `sslmode` says: check that, the certificates, \
             and that a TLS feature is enabled"
        }
        _ => return from_driver(error),
    };
    with_source(Error::new(ErrorKind::InvalidConfig, sentence), error)
}

/// Tells whether the connection broke, so that nothing more can be done with it.
pub(crate) fn is_disconnected(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        error => {
            sqlstate(error).is_some_and(|code| code.starts_with("08") || code.starts_with("57P"))
        }
    }
}

/// Tells whether the server takes no changes, as a standby does not, so that this one did nothing.
pub(crate) fn is_read_only(error: &sqlx::Error) -> bool {
    sqlstate(error) == Some(READ_ONLY)
}

/// Tells whether the server gave up since the statement took too long.
pub(crate) fn is_cancelled(error: &sqlx::Error) -> bool {
    sqlstate(error) == Some("57014")
}

/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
fn sqlstate(error: &sqlx::Error) -> Option<&str> {
    Some(reported(error)?.code())
}

/// Tells whether the same statement may succeed later: when there are fewer connections, or more are
/// allowed, or a lock, a shutdown or a fail-over is over, or there is room on the disk again.
fn may_pass(code: &str) -> bool {
    let classes = ["08", "28", "3D", "40", "53", "57", "58"];
    classes.iter().any(|class| code.starts_with(class))
        || [READ_ONLY, NOT_NOW, "55P03"].contains(&code)
}

fn with_source(error: Error, source: sqlx::Error) -> Error {
    match reported(&source) {
        Some(reported) => error.with_source(ServerError {
            code: reported.code().to_owned(),
            message: reported.message().to_owned(),
        }),
        None => error.with_source(source),
    }
}

fn reported(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error()?.try_downcast_ref()
}

/// What the server reported, without the details: these may quote a row, and with it a hash.
#[derive(Debug)]
struct ServerError {
    code: String,
    message: String,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SQLSTATE {})", self.message, self.code)
    }
}

impl StdError for ServerError {}

const READ_ONLY: &str = "25006";
/// A database with `allow_connections` false, for one.
const NOT_NOW: &str = "55000";

const NO_ANSWER: (ErrorKind, &str) = (ErrorKind::Unavailable, "the database cannot be used now");
const UNREADABLE: (ErrorKind, &str) =
    (ErrorKind::Corrupt, "the database holds what cannot be read");
