//! The table of tokens as a [`TokenStore`].

use std::time::SystemTime;

use portcullis_core::store::{TokenHash, TokenStore};
use portcullis_core::{Claims, Error, ErrorKind, UserId, async_trait};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::column::{Timestamp, bytes, object, optional_object, optional_text, text, texts};
use crate::database::query;
use crate::error::from_driver;
use crate::store::PostgresStore;

/// Every statement is atomic without a transaction.
#[async_trait]
impl TokenStore for PostgresStore {
    async fn insert(&self, hash: &TokenHash, claims: &Claims) -> Result<(), Error> {
        let tokens = self.own_table("tokens");
        let sql = format!(
            "INSERT INTO {tokens} (token_hash, {COLUMNS}) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
             ON CONFLICT (token_hash) DO NOTHING"
        );
        let insert = query(sql)
            .bind(hash.as_bytes())
            .bind(claims.iss.as_bytes())
            .bind(claims.sub.as_str().as_bytes())
            .bind(bytes(&claims.aud))
            .bind(Timestamp(claims.exp))
            .bind(Timestamp(claims.iat))
            .bind(claims.jti.as_bytes())
            .bind(claims.client_id.as_deref().map(str::as_bytes))
            .bind(bytes(&claims.scopes))
            .bind(claims.sid.as_deref().map(str::as_bytes))
            .bind(claims.cut_off.map(Timestamp))
            .bind(object("the further claims", &claims.extra)?);
        if self.database.write(insert).await.map_err(from_driver)? == 0 {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                "the hash of the token is taken",
            ));
        }
        Ok(())
    }

    async fn find(&self, hash: &TokenHash) -> Result<Option<Claims>, Error> {
        let tokens = self.own_table("tokens");
        let sql = format!("SELECT {COLUMNS} FROM {tokens} WHERE token_hash = $1");
        let rows = self.database.read(query(sql).bind(hash.as_bytes())).await;
        rows.and_then(|rows| rows.first().map(claims).transpose())
            .map_err(from_driver)
    }

    async fn revoke(&self, hash: &TokenHash) -> Result<bool, Error> {
        let tokens = self.own_table("tokens");
        let delete =
            query(format!("DELETE FROM {tokens} WHERE token_hash = $1")).bind(hash.as_bytes());
        Ok(self.database.write(delete).await.map_err(from_driver)? > 0)
    }

    async fn revoke_all(&self, subject: &UserId) -> Result<u64, Error> {
        let tokens = self.own_table("tokens");
        let delete = query(format!(
            "DELETE FROM {tokens} WHERE sha256(sub) = sha256($1)"
        ))
        .bind(subject.as_str().as_bytes());
        self.database.write(delete).await.map_err(from_driver)
    }

    async fn delete_expired(&self, now: SystemTime, limit: u32) -> Result<u32, Error> {
        let tokens = self.own_table("tokens");
        // What is locked is being deleted by somebody else. The array is made once: a join with the
        // selection might make that again, and delete more.
        let delete = query(format!(
            "DELETE FROM {tokens} WHERE token_hash = ANY(ARRAY(SELECT token_hash FROM {tokens} \
             WHERE exp <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED))"
        ))
        .bind(Timestamp(now))
        .bind(i64::from(limit));
        let deleted = self.database.write(delete).await.map_err(from_driver)?;
        Ok(u32::try_from(deleted).unwrap_or(limit))
    }
}

fn claims(row: &PgRow) -> Result<Claims, sqlx::Error> {
    let mut claims = Claims::new(
        text(row, "iss")?,
        UserId::new(text(row, "sub")?),
        texts(row, "aud")?,
        row.try_get::<Timestamp, _>("iat")?.0,
        row.try_get::<Timestamp, _>("exp")?.0,
        text(row, "jti")?,
    );
    claims.client_id = optional_text(row, "client_id")?;
    claims.scopes = texts(row, "scopes")?;
    claims.sid = optional_text(row, "sid")?;
    let cut_off: Option<Timestamp> = row.try_get("cut_off")?;
    claims.cut_off = cut_off.map(|cut_off| cut_off.0);
    claims.extra = optional_object(row, "extra")?;
    Ok(claims)
}

const COLUMNS: &str = "iss, sub, aud, exp, iat, jti, client_id, scopes, sid, cut_off, extra";
