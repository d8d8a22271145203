//! Turns what a column cannot hold into what it can, and back.

use std::time::SystemTime;

use portcullis_core::clock::UnixTime;
use portcullis_core::{Error, ErrorKind};
use serde_json::{Map, Value};
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

/// Writes a JSON object; `None` if it is empty.
pub(crate) fn object(what: &str, object: &Map<String, Value>) -> Result<Option<String>, Error> {
    let json = (!object.is_empty()).then(|| serde_json::to_string(object));
    json.transpose()
        .map_err(|error| cannot_store(what).with_source(error))
}

/// Reads an object that [`object`] wrote.
pub(crate) fn optional_object(
    row: &SqliteRow,
    column: &str,
) -> Result<Map<String, Value>, sqlx::Error> {
    match row.try_get(column)? {
        None => Ok(Map::new()),
        Some(json) => serde_json::from_str(json).map_err(|error| sqlx::Error::Decode(error.into())),
    }
}

/// Whole seconds since 1970; a fraction is dropped.
pub(crate) fn seconds(time: SystemTime) -> Result<i64, Error> {
    Ok(unix_time(time)?.seconds().cast_signed())
}

/// Microseconds since 1970; a smaller fraction is dropped.
pub(crate) fn micros(time: SystemTime) -> Result<i64, Error> {
    Ok(unix_time(time)?.micros().cast_signed())
}

/// As [`micros`], but with the next time that there is a number for where there is none.
pub(crate) fn saturating_micros(time: SystemTime) -> i64 {
    UnixTime::saturating_from_system(time)
        .micros()
        .cast_signed()
}

/// Reads a number that [`seconds`] or [`micros`] wrote: `from` is of the unit.
pub(crate) fn time(
    row: &SqliteRow,
    column: &str,
    from: fn(u64) -> Option<UnixTime>,
) -> Result<SystemTime, sqlx::Error> {
    read_time(row.try_get(column)?, from)
}

/// The same of a number that may be NULL.
pub(crate) fn optional_time(
    row: &SqliteRow,
    column: &str,
    from: fn(u64) -> Option<UnixTime>,
) -> Result<Option<SystemTime>, sqlx::Error> {
    let number: Option<i64> = row.try_get(column)?;
    number.map(|number| read_time(number, from)).transpose()
}

fn read_time(number: i64, from: fn(u64) -> Option<UnixTime>) -> Result<SystemTime, sqlx::Error> {
    let time = u64::try_from(number).ok().and_then(from);
    time.map(UnixTime::to_system)
        .ok_or_else(|| sqlx::Error::Decode("a time is out of range".into()))
}

fn unix_time(time: SystemTime) -> Result<UnixTime, Error> {
    UnixTime::from_system(time).ok_or_else(|| cannot_store("the time"))
}

pub(crate) fn cannot_store(what: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("{what} cannot be stored"))
}
