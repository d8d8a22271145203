//! What an error of the driver means.

use std::error::Error as _;

use portcullis_core::{Error, ErrorKind};

/// Chooses the kind by what the caller can do about it.
pub(crate) fn from_driver(error: sqlx::Error) -> Error {
    use sqlx::Error as E;

    let (kind, message) = match &error {
        E::Database(error) if error.is_unique_violation() => (
            ErrorKind::AlreadyExists,
            "the username or the user id is taken",
        ),
        E::ColumnDecode { .. } | E::Decode(_) => UNREADABLE,
        E::Io(_) | E::PoolClosed | E::PoolTimedOut | E::WorkerCrashed => NO_ANSWER,
        other => match primary_code(other) {
            Some(
                BUSY | CANT_OPEN | FULL | INTERRUPT | IO_ERROR | LOCKED | NO_MEMORY | PERMISSION
                | PROTOCOL | READ_ONLY,
            ) => NO_ANSWER,
            Some(CORRUPT | NOT_A_DATABASE) => UNREADABLE,
            _ => (
                ErrorKind::Internal,
                "the database refuses the statement; was it migrated?",
            ),
        },
    };
    Error::new(kind, message).with_source(error)
}

/// Tells whether this process may not read or write the file.
pub(crate) fn is_no_access(error: &Error) -> bool {
    matches!(driver_code(error), Some(CANT_OPEN | PERMISSION | READ_ONLY))
}

/// Tells whether the file is something else than a SQLite database.
pub(crate) fn is_not_a_database(error: &Error) -> bool {
    driver_code(error) == Some(NOT_A_DATABASE)
}

fn driver_code(error: &Error) -> Option<u32> {
    primary_code(error.source()?.downcast_ref()?)
}

fn primary_code(error: &sqlx::Error) -> Option<u32> {
    let extended: u32 = error.as_database_error()?.code()?.parse().ok()?;
    // "The least significant 8 bits of the result code define a broad category and are called
    // the primary result code" (https://www.sqlite.org/rescode.html).
    Some(extended & 0xff)
}

const NO_ANSWER: (ErrorKind, &str) = (ErrorKind::Unavailable, "the database cannot be used now");
const UNREADABLE: (ErrorKind, &str) =
    (ErrorKind::Corrupt, "the database holds what cannot be read");

// https://www.sqlite.org/rescode.html#primary_result_code_list
const PERMISSION: u32 = 3;
const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const NO_MEMORY: u32 = 7;
const READ_ONLY: u32 = 8;
const INTERRUPT: u32 = 9;
const IO_ERROR: u32 = 10;
const CORRUPT: u32 = 11;
const FULL: u32 = 13;
const CANT_OPEN: u32 = 14;
const PROTOCOL: u32 = 15;
const NOT_A_DATABASE: u32 = 26;
