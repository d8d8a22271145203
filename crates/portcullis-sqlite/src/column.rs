//! Turns what a column cannot hold into what it can, and back.

use std::time::SystemTime;

use portcullis_core::{Error, ErrorKind};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

/// Writes a list as a JSON array.
pub(crate) fn json(what: &str, list: &[String]) -> Result<String, Error> {
    serde_json::to_string(list).map_err(|error| cannot_store(what).with_source(error))
}

/// Reads a list that [`json`] wrote.
pub(crate) fn list(row: &SqliteRow, column: &str) -> Result<Vec<String>, sqlx::Error> {
    let json: &str = row.try_get(column)?;
    serde_json::from_str(json).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// Whole seconds since 1970; a fraction is dropped.
pub(crate) fn seconds(time: SystemTime) -> Result<i64, Error> {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .ok_or_else(|| cannot_store("the time"))
}

pub(crate) fn cannot_store(what: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("{what} cannot be stored"))
}
