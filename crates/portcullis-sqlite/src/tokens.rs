//! The tokens table as a [`TokenStore`].

use std::time::SystemTime;

use portcullis_core::clock::UnixTime;
use portcullis_core::store::{TokenHash, TokenStore};
use portcullis_core::{Claims, Error, ErrorKind, UserId, async_trait};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::column::{json, list, micros, object, optional_object, optional_time, seconds, time};
use crate::error::from_driver;
use crate::store::SqliteStore;

/// Every method is one statement, so that it is atomic without a transaction.
#[async_trait]
impl TokenStore for SqliteStore {
    async fn insert(&self, hash: &TokenHash, claims: &Claims) -> Result<(), Error> {
        let statement = sqlx::query(
            "INSERT INTO portcullis_tokens \
             (token_hash, iss, sub, aud, exp, iat, jti, client_id, scopes, sid, cut_off, extra) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
             ON CONFLICT (token_hash) DO NOTHING",
        )
        .bind(hash.as_bytes().as_slice())
        .bind(claims.iss.as_str())
        .bind(claims.sub.as_str())
        .bind(json("aud", &claims.aud)?)
        .bind(seconds(claims.exp)?)
        .bind(seconds(claims.iat)?)
        .bind(claims.jti.as_str())
        .bind(claims.client_id.as_deref())
        .bind(json("the scopes", &claims.scopes)?)
        .bind(claims.sid.as_deref())
        .bind(claims.cut_off.map(micros).transpose()?)
        .bind(object("the further claims", &claims.extra)?);
        match self.execute(statement).await? {
            0 => Err(Error::new(
                ErrorKind::AlreadyExists,
                "the hash of the token is taken",
            )),
            _ => Ok(()),
        }
    }

    async fn find(&self, hash: &TokenHash) -> Result<Option<Claims>, Error> {
        sqlx::query(
            "SELECT iss, sub, aud, exp, iat, jti, client_id, scopes, sid, cut_off, extra \
             FROM portcullis_tokens WHERE token_hash = ?",
        )
        .bind(hash.as_bytes().as_slice())
        .try_map(|row| claims(&row))
        .fetch_optional(self.pool())
        .await
        .map_err(from_driver)
    }

    async fn revoke(&self, hash: &TokenHash) -> Result<bool, Error> {
        let statement = sqlx::query("DELETE FROM portcullis_tokens WHERE token_hash = ?")
            .bind(hash.as_bytes().as_slice());
        Ok(self.execute(statement).await? > 0)
    }

    async fn revoke_all(&self, subject: &UserId) -> Result<u64, Error> {
        let statement =
            sqlx::query("DELETE FROM portcullis_tokens WHERE sub = ?").bind(subject.as_str());
        self.execute(statement).await
    }

    async fn delete_expired(&self, now: SystemTime, limit: u32) -> Result<u32, Error> {
        let statement = sqlx::query(
            "DELETE FROM portcullis_tokens WHERE token_hash IN \
             (SELECT token_hash FROM portcullis_tokens WHERE exp <= ? LIMIT ?)",
        )
        .bind(seconds(now)?)
        .bind(limit);
        let deleted = self.execute(statement).await?;
        Ok(u32::try_from(deleted).unwrap_or(limit))
    }
}

fn claims(row: &SqliteRow) -> Result<Claims, sqlx::Error> {
    let mut claims = Claims::new(
        row.try_get("iss")?,
        UserId::new(row.try_get::<String, _>("sub")?),
        list(row, "aud")?,
        time(row, "iat", UnixTime::from_seconds)?,
        time(row, "exp", UnixTime::from_seconds)?,
        row.try_get("jti")?,
    );
    claims.client_id = row.try_get("client_id")?;
    claims.scopes = list(row, "scopes")?;
    claims.sid = row.try_get("sid")?;
    claims.cut_off = optional_time(row, "cut_off", UnixTime::from_micros)?;
    claims.extra = optional_object(row, "extra")?;
    Ok(claims)
}
