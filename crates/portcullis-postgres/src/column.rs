//! Turns values into what a column holds, and back.

use std::fmt::Display;
use std::time::SystemTime;

use portcullis_core::clock::UnixTime;
use portcullis_core::{Error, ErrorKind};
use serde_json::{Map, Value};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgRow, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Row, Type};

/// Texts as their UTF-8 bytes, for a `bytea[]`.
pub(crate) fn bytes(texts: &[String]) -> Vec<&[u8]> {
    texts.iter().map(String::as_bytes).collect()
}

/// The text whose UTF-8 bytes a `bytea` holds.
pub(crate) fn text(row: &PgRow, column: &str) -> Result<String, sqlx::Error> {
    utf_8(row.try_get(column)?)
}

/// The text of a `bytea` that may be NULL.
pub(crate) fn optional_text(row: &PgRow, column: &str) -> Result<Option<String>, sqlx::Error> {
    row.try_get::<Option<_>, _>(column)?.map(utf_8).transpose()
}

/// The texts of a `bytea[]`.
pub(crate) fn texts(row: &PgRow, column: &str) -> Result<Vec<String>, sqlx::Error> {
    let texts: Vec<_> = row.try_get(column)?;
    texts.into_iter().map(utf_8).collect()
}

/// A JSON object, for a `bytea`; `None` if it is empty.
pub(crate) fn object(what: &str, object: &Map<String, Value>) -> Result<Option<Vec<u8>>, Error> {
    let json = (!object.is_empty()).then(|| serde_json::to_vec(object));
    json.transpose().map_err(|error| {
        Error::new(ErrorKind::Internal, format!("{what} cannot be stored")).with_source(error)
    })
}

/// The object that [`object`] wrote.
pub(crate) fn optional_object(
    row: &PgRow,
    column: &str,
) -> Result<Map<String, Value>, sqlx::Error> {
    match row.try_get(column)? {
        None => Ok(Map::new()),
        Some(json) => {
            serde_json::from_slice(json).map_err(|error| sqlx::Error::Decode(error.into()))
        }
    }
}

/// A time from 1970 to 9999, to the microsecond, for a `timestamptz`.
pub(crate) struct Timestamp(pub(crate) SystemTime);

impl Type<Postgres> for Timestamp {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(TIMESTAMPTZ)
    }
}

/// On the wire it is a number of microseconds since 2000.
impl Encode<'_, Postgres> for Timestamp {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let time = UnixTime::from_system(self.0).ok_or("a time is out of range")?;
        let since_2000 = time.micros().cast_signed() - FROM_1970_TO_2000;
        <i64 as Encode<Postgres>>::encode(since_2000, buffer)
    }
}

impl Decode<'_, Postgres> for Timestamp {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let since_2000 = <i64 as Decode<Postgres>>::decode(value)?;
        // What an application has put beyond 9999, `infinity` too, is as good as the end of that.
        let micros = u64::try_from(since_2000.saturating_add(FROM_1970_TO_2000))?;
        let time = UnixTime::from_micros(micros).unwrap_or(UnixTime::MAX);
        Ok(Self(time.to_system()))
    }
}

/// Reads the column `tokens_valid_from`.
pub(crate) fn cut_off(row: &PgRow) -> Result<SystemTime, sqlx::Error> {
    Ok(row.try_get::<Timestamp, _>("tokens_valid_from")?.0)
}

/// Moves a cut-off as `Credential::next_cut_off` does. `now` is a placeholder for a [`now`](now()).
///
/// What an application has put beyond 9999 is left as it is, `infinity` too, and never overflows.
pub(crate) fn next_cut_off(column: impl Display, now: &str) -> String {
    format!(
        "greatest({column}, {now}, least(coalesce({column}, 'epoch'), \
         timestamptz '9999-12-31 23:59:59.999998Z') + interval '1 microsecond')"
    )
}

/// The time of a change. One before 1970 or after 9999 is as good as the first or the last.
pub(crate) fn now(now: SystemTime) -> Timestamp {
    Timestamp(UnixTime::saturating_from_system(now).to_system())
}

fn utf_8(bytes: Vec<u8>) -> Result<String, sqlx::Error> {
    // Not with the error of the conversion: it holds the bytes.
    String::from_utf8(bytes).map_err(|_| sqlx::Error::Decode("a text is not UTF-8".into()))
}

/// As in `pg_type.dat`.
const TIMESTAMPTZ: Oid = Oid(1184);

/// In microseconds.
const FROM_1970_TO_2000: i64 = 946_684_800_000_000;
