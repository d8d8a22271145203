//! The table of refresh tokens as a [`RefreshStore`].

use std::time::SystemTime;

use portcullis_core::store::{FamilyKey, FamilyRecord, RefreshStore};
use portcullis_core::{Error, ErrorKind, UserId, async_trait};

use crate::column::{Timestamp, text};
use crate::database::query;
use crate::error::from_driver;
use crate::store::PostgresStore;

/// Every statement is atomic without a transaction.
#[async_trait]
impl RefreshStore for PostgresStore {
    async fn insert(
        &self,
        key: &FamilyKey,
        subject: &UserId,
        record: &FamilyRecord,
        expires_at: SystemTime,
        _: SystemTime,
    ) -> Result<(), Error> {
        let refresh = self.own_table("refresh");
        let insert = query(format!(
            "INSERT INTO {refresh} (key, sub, record, expires_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (key) DO NOTHING"
        ))
        .bind(key.as_bytes())
        .bind(subject.as_str().as_bytes())
        .bind(record.as_str().as_bytes())
        .bind(Timestamp(expires_at));
        match self.database.write(insert).await.map_err(from_driver)? {
            0 => Err(Error::new(
                ErrorKind::AlreadyExists,
                "the key of the family is taken",
            )),
            _ => Ok(()),
        }
    }

    async fn find(&self, key: &FamilyKey) -> Result<Option<FamilyRecord>, Error> {
        let refresh = self.own_table("refresh");
        let sql = format!("SELECT record FROM {refresh} WHERE key = $1");
        let rows = self.database.read(query(sql).bind(key.as_bytes())).await;
        let record = rows.and_then(|rows| rows.first().map(|row| text(row, "record")).transpose());
        Ok(record.map_err(from_driver)?.map(FamilyRecord::new))
    }

    async fn list(
        &self,
        subject: &UserId,
        limit: u32,
    ) -> Result<Vec<(FamilyKey, FamilyRecord)>, Error> {
        let refresh = self.own_table("refresh");
        let select = query(format!(
            "SELECT key, record FROM {refresh} WHERE sha256(sub) = sha256($1) LIMIT $2"
        ))
        .bind(subject.as_str().as_bytes())
        .bind(i64::from(limit));
        let rows = self.database.read(select).await.map_err(from_driver)?;
        let family = |row| {
            let key: Vec<u8> = sqlx::Row::try_get(row, "key").map_err(from_driver)?;
            let key = key.try_into().map_err(|_| {
                Error::new(ErrorKind::Corrupt, "the key of a family has another length")
            })?;
            let record = text(row, "record").map_err(from_driver)?;
            Ok((FamilyKey::from_bytes(key), FamilyRecord::new(record)))
        };
        rows.iter().map(family).collect()
    }

    async fn replace(
        &self,
        key: &FamilyKey,
        old: &FamilyRecord,
        new: &FamilyRecord,
        expires_at: SystemTime,
    ) -> Result<bool, Error> {
        let refresh = self.own_table("refresh");
        // One that waits for another looks at the record again once that is done.
        let update = query(format!(
            "UPDATE {refresh} SET record = $3, expires_at = $4 WHERE key = $1 AND record = $2"
        ))
        .bind(key.as_bytes())
        .bind(old.as_str().as_bytes())
        .bind(new.as_str().as_bytes())
        .bind(Timestamp(expires_at));
        Ok(self.database.write(update).await.map_err(from_driver)? > 0)
    }

    async fn revoke(&self, key: &FamilyKey) -> Result<bool, Error> {
        let refresh = self.own_table("refresh");
        let delete = query(format!("DELETE FROM {refresh} WHERE key = $1")).bind(key.as_bytes());
        Ok(self.database.write(delete).await.map_err(from_driver)? > 0)
    }

    async fn revoke_all(&self, subject: &UserId) -> Result<u64, Error> {
        let refresh = self.own_table("refresh");
        let delete = query(format!(
            "DELETE FROM {refresh} WHERE sha256(sub) = sha256($1)"
        ))
        .bind(subject.as_str().as_bytes());
        self.database.write(delete).await.map_err(from_driver)
    }

    async fn delete_expired(&self, now: SystemTime, limit: u32) -> Result<u32, Error> {
        let refresh = self.own_table("refresh");
        // As of tokens: what is locked is being changed by somebody else.
        let delete = query(format!(
            "DELETE FROM {refresh} WHERE key = ANY(ARRAY(SELECT key FROM {refresh} \
             WHERE expires_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED))"
        ))
        .bind(Timestamp(now))
        .bind(i64::from(limit));
        let deleted = self.database.write(delete).await.map_err(from_driver)?;
        Ok(u32::try_from(deleted).unwrap_or(limit))
    }
}
