//! The table of refresh tokens as a [`RefreshStore`].

use std::time::SystemTime;

use portcullis_core::store::{FamilyKey, FamilyRecord, RefreshStore};
use portcullis_core::{Error, ErrorKind, UserId, async_trait};

use crate::column::seconds;
use crate::error::from_driver;
use crate::store::SqliteStore;

/// Every method is one statement, so that it is atomic without a transaction.
#[async_trait]
impl RefreshStore for SqliteStore {
    async fn insert(
        &self,
        key: &FamilyKey,
        subject: &UserId,
        record: &FamilyRecord,
        expires_at: SystemTime,
        _: SystemTime,
    ) -> Result<(), Error> {
        let statement = sqlx::query(
            "INSERT INTO portcullis_refresh (key, sub, record, expires_at) VALUES (?, ?, ?, ?) \
             ON CONFLICT (key) DO NOTHING",
        )
        .bind(key.as_bytes().as_slice())
        .bind(subject.as_str())
        .bind(record.as_str())
        .bind(seconds(expires_at)?);
        match self.execute(statement).await? {
            0 => Err(Error::new(
                ErrorKind::AlreadyExists,
                "the key of the family is taken",
            )),
            _ => Ok(()),
        }
    }

    async fn find(&self, key: &FamilyKey) -> Result<Option<FamilyRecord>, Error> {
        let record: Option<String> =
            sqlx::query_scalar("SELECT record FROM portcullis_refresh WHERE key = ?")
                .bind(key.as_bytes().as_slice())
                .fetch_optional(self.pool())
                .await
                .map_err(from_driver)?;
        Ok(record.map(FamilyRecord::new))
    }

    async fn list(
        &self,
        subject: &UserId,
        limit: u32,
    ) -> Result<Vec<(FamilyKey, FamilyRecord)>, Error> {
        let rows: Vec<(Vec<u8>, String)> =
            sqlx::query_as("SELECT key, record FROM portcullis_refresh WHERE sub = ? LIMIT ?")
                .bind(subject.as_str())
                .bind(limit)
                .fetch_all(self.pool())
                .await
                .map_err(from_driver)?;
        let family = |(key, record): (Vec<u8>, String)| {
            let key = key.try_into().map_err(|_| {
                Error::new(ErrorKind::Corrupt, "the key of a family has another length")
            })?;
            Ok((FamilyKey::from_bytes(key), FamilyRecord::new(record)))
        };
        rows.into_iter().map(family).collect()
    }

    async fn replace(
        &self,
        key: &FamilyKey,
        old: &FamilyRecord,
        new: &FamilyRecord,
        expires_at: SystemTime,
    ) -> Result<bool, Error> {
        let statement = sqlx::query(
            "UPDATE portcullis_refresh SET record = ?, expires_at = ? WHERE key = ? AND record = ?",
        )
        .bind(new.as_str())
        .bind(seconds(expires_at)?)
        .bind(key.as_bytes().as_slice())
        .bind(old.as_str());
        Ok(self.execute(statement).await? > 0)
    }

    async fn revoke(&self, key: &FamilyKey) -> Result<bool, Error> {
        let statement = sqlx::query("DELETE FROM portcullis_refresh WHERE key = ?")
            .bind(key.as_bytes().as_slice());
        Ok(self.execute(statement).await? > 0)
    }

    async fn revoke_all(&self, subject: &UserId) -> Result<u64, Error> {
        let statement =
            sqlx::query("DELETE FROM portcullis_refresh WHERE sub = ?").bind(subject.as_str());
        self.execute(statement).await
    }

    async fn delete_expired(&self, now: SystemTime, limit: u32) -> Result<u32, Error> {
        let statement = sqlx::query(
            "DELETE FROM portcullis_refresh WHERE key IN \
             (SELECT key FROM portcullis_refresh WHERE expires_at <= ? LIMIT ?)",
        )
        .bind(seconds(now)?)
        .bind(limit);
        let deleted = self.execute(statement).await?;
        Ok(u32::try_from(deleted).unwrap_or(limit))
    }
}
