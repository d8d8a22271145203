//! `timestamptz` as a [`SystemTime`].

use std::time::{Duration, SystemTime};

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Type};

/// A time from 1970 on, to the microsecond. On the wire it is a number of microseconds since 2000.
pub(crate) struct Timestamp(pub(crate) SystemTime);

impl Type<Postgres> for Timestamp {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(TIMESTAMPTZ)
    }
}

impl Encode<'_, Postgres> for Timestamp {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let since_1970 = self.0.duration_since(SystemTime::UNIX_EPOCH)?;
        let since_2000 = i64::try_from(since_1970.as_micros())? - FROM_1970_TO_2000;
        <i64 as Encode<Postgres>>::encode(since_2000, buffer)
    }
}

impl Decode<'_, Postgres> for Timestamp {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let since_2000 = <i64 as Decode<Postgres>>::decode(value)?;
        let since_1970 = u64::try_from(i128::from(since_2000) + i128::from(FROM_1970_TO_2000))?;
        SystemTime::UNIX_EPOCH
            .checked_add(Duration::from_micros(since_1970))
            .map(Self)
            .ok_or_else(|| "a time is out of range".into())
    }
}

/// As in `pg_type.dat`.
const TIMESTAMPTZ: Oid = Oid(1184);

/// In microseconds.
const FROM_1970_TO_2000: i64 = 946_684_800_000_000;
