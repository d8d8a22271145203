//! The throttle table as a [`ThrottleStore`].

use std::time::SystemTime;

use portcullis_core::store::{ThrottleKey, ThrottleRecord, ThrottleStore};
use portcullis_core::{Error, async_trait};

use crate::column::seconds;
use crate::error::from_driver;
use crate::store::SqliteStore;

/// Every method is one statement, so that it is atomic without a transaction.
#[async_trait]
impl ThrottleStore for SqliteStore {
    async fn find(&self, key: &ThrottleKey) -> Result<Option<ThrottleRecord>, Error> {
        let record: Option<String> =
            sqlx::query_scalar("SELECT record FROM portcullis_throttle WHERE key = ?")
                .bind(key.as_bytes().as_slice())
                .fetch_optional(self.pool())
                .await
                .map_err(from_driver)?;
        Ok(record.map(ThrottleRecord::new))
    }

    async fn replace(
        &self,
        key: &ThrottleKey,
        old: Option<&ThrottleRecord>,
        new: &ThrottleRecord,
        expires_at: SystemTime,
    ) -> Result<bool, Error> {
        let expires_at = seconds(expires_at)?;
        let statement = match old {
            None => sqlx::query(
                "INSERT INTO portcullis_throttle (record, expires_at, key) VALUES (?, ?, ?) \
                 ON CONFLICT (key) DO NOTHING",
            ),
            Some(_) => sqlx::query(
                "UPDATE portcullis_throttle SET record = ?, expires_at = ? \
                 WHERE key = ? AND record = ?",
            ),
        };
        let mut statement = statement
            .bind(new.as_str())
            .bind(expires_at)
            .bind(key.as_bytes().as_slice());
        if let Some(old) = old {
            statement = statement.bind(old.as_str());
        }
        Ok(self.execute(statement).await? > 0)
    }

    async fn delete_expired(&self, now: SystemTime, limit: u32) -> Result<u32, Error> {
        let statement = sqlx::query(
            "DELETE FROM portcullis_throttle WHERE key IN \
             (SELECT key FROM portcullis_throttle WHERE expires_at <= ? LIMIT ?)",
        )
        .bind(seconds(now)?)
        .bind(limit);
        let deleted = self.execute(statement).await?;
        Ok(u32::try_from(deleted).unwrap_or(limit))
    }
}
