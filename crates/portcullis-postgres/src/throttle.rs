//! The table of attempts as a [`ThrottleStore`].

use std::time::SystemTime;

use portcullis_core::store::{ThrottleKey, ThrottleRecord, ThrottleStore};
use portcullis_core::{Error, async_trait};

use crate::column::{Timestamp, text};
use crate::database::query;
use crate::error::from_driver;
use crate::store::PostgresStore;

/// Every statement is atomic without a transaction.
#[async_trait]
impl ThrottleStore for PostgresStore {
    async fn find(&self, key: &ThrottleKey) -> Result<Option<ThrottleRecord>, Error> {
        let throttle = self.own_table("throttle");
        let sql = format!("SELECT record FROM {throttle} WHERE key = $1");
        let rows = self.database.read(query(sql).bind(key.as_bytes())).await;
        let record = rows.and_then(|rows| rows.first().map(|row| text(row, "record")).transpose());
        Ok(record.map_err(from_driver)?.map(ThrottleRecord::new))
    }

    async fn replace(
        &self,
        key: &ThrottleKey,
        old: Option<&ThrottleRecord>,
        new: &ThrottleRecord,
        expires_at: SystemTime,
    ) -> Result<bool, Error> {
        let throttle = self.own_table("throttle");
        let sql = match old {
            None => format!(
                "INSERT INTO {throttle} (key, record, expires_at) VALUES ($1, $2, $3) \
                 ON CONFLICT (key) DO NOTHING"
            ),
            // One that waits for another looks at the record again once that is done.
            Some(_) => format!(
                "UPDATE {throttle} SET record = $2, expires_at = $3 \
                 WHERE key = $1 AND record = $4"
            ),
        };
        let mut statement = query(sql)
            .bind(key.as_bytes())
            .bind(new.as_str().as_bytes())
            .bind(Timestamp(expires_at));
        if let Some(old) = old {
            statement = statement.bind(old.as_str().as_bytes());
        }
        let replaced = self.database.write(statement).await.map_err(from_driver)?;
        Ok(replaced > 0)
    }

    async fn delete_expired(&self, now: SystemTime, limit: u32) -> Result<u32, Error> {
        let throttle = self.own_table("throttle");
        // As of tokens: what is locked is being changed by somebody else.
        let delete = query(format!(
            "DELETE FROM {throttle} WHERE key = ANY(ARRAY(SELECT key FROM {throttle} \
             WHERE expires_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED))"
        ))
        .bind(Timestamp(now))
        .bind(i64::from(limit));
        let deleted = self.database.write(delete).await.map_err(from_driver)?;
        Ok(u32::try_from(deleted).unwrap_or(limit))
    }
}
