//! The users table as a [`CredentialStore`].

use std::time::SystemTime;

use portcullis_core::clock::UnixTime;
use portcullis_core::password::PasswordHash;
use portcullis_core::store::UserStatus;
use portcullis_core::{Credential, CredentialStore, Error, UserId, Username, async_trait};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Row, Sqlite};

use crate::column::{cannot_store, json, list, micros, saturating_micros, time};
use crate::error::from_driver;
use crate::store::SqliteStore;

/// Every method is one statement, so that it is atomic without a transaction.
#[async_trait]
impl CredentialStore for SqliteStore {
    async fn find(&self, username: &Username) -> Result<Option<Credential>, Error> {
        sqlx::query(select!("WHERE username = ?"))
            .bind(username.as_str())
            .try_map(|row| credential(&row))
            .fetch_optional(self.pool())
            .await
            .map_err(from_driver)
    }

    async fn find_by_id(&self, user_id: &UserId) -> Result<Option<Credential>, Error> {
        sqlx::query(select!("WHERE user_id = ?"))
            .bind(user_id.as_str())
            .try_map(|row| credential(&row))
            .fetch_optional(self.pool())
            .await
            .map_err(from_driver)
    }

    async fn list(&self, after: Option<&Username>, limit: usize) -> Result<Vec<Credential>, Error> {
        let query = match after {
            Some(after) => sqlx::query(select!("WHERE username > ? ORDER BY username LIMIT ?"))
                .bind(after.as_str()),
            None => sqlx::query(select!("ORDER BY username LIMIT ?")),
        };
        query
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .try_map(|row| credential(&row))
            .fetch_all(self.pool())
            .await
            .map_err(from_driver)
    }

    async fn create(&self, credential: &Credential) -> Result<(), Error> {
        let statement = sqlx::query(
            "INSERT INTO portcullis_users \
             (user_id, username, password_hash, status, scopes, tokens_valid_from) \
             VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(credential.user_id.as_str())
        .bind(credential.username.as_str())
        .bind(credential.password_hash.as_ref().map(PasswordHash::expose))
        .bind(status_text(credential.status)?)
        .bind(json("the scopes", &credential.scopes)?)
        .bind(micros(credential.tokens_valid_from)?);
        self.execute(statement).await?;
        Ok(())
    }

    async fn replace_hash(
        &self,
        user_id: &UserId,
        old: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<bool, Error> {
        let statement = sqlx::query(
            "UPDATE portcullis_users SET password_hash = ? \
             WHERE user_id = ? AND password_hash = ?",
        )
        .bind(new.expose())
        .bind(user_id.as_str())
        .bind(old.expose());
        Ok(self.execute(statement).await? > 0)
    }

    async fn change_password(
        &self,
        user_id: &UserId,
        old: &PasswordHash,
        new: &PasswordHash,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, Error> {
        let statement = sqlx::query(move_cut_off!(
            ", password_hash = ? WHERE user_id = ? AND password_hash = ?"
        ))
        .bind(saturating_micros(now))
        .bind(new.expose())
        .bind(user_id.as_str())
        .bind(old.expose());
        self.cut_off(statement).await
    }

    async fn set_password(
        &self,
        user_id: &UserId,
        new: &PasswordHash,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, Error> {
        let statement = sqlx::query(move_cut_off!(", password_hash = ? WHERE user_id = ?"))
            .bind(saturating_micros(now))
            .bind(new.expose())
            .bind(user_id.as_str());
        self.cut_off(statement).await
    }

    async fn end_sessions(
        &self,
        user_id: &UserId,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, Error> {
        let statement = sqlx::query(move_cut_off!(" WHERE user_id = ?"))
            .bind(saturating_micros(now))
            .bind(user_id.as_str());
        self.cut_off(statement).await
    }

    async fn set_status(&self, user_id: &UserId, status: UserStatus) -> Result<bool, Error> {
        let statement = sqlx::query("UPDATE portcullis_users SET status = ? WHERE user_id = ?")
            .bind(status_text(status)?)
            .bind(user_id.as_str());
        Ok(self.execute(statement).await? > 0)
    }

    async fn delete(&self, user_id: &UserId) -> Result<bool, Error> {
        let statement =
            sqlx::query("DELETE FROM portcullis_users WHERE user_id = ?").bind(user_id.as_str());
        Ok(self.execute(statement).await? > 0)
    }
}

impl SqliteStore {
    /// Executes what [`move_cut_off`] makes, and tells where the cut-off now stands.
    async fn cut_off(
        &self,
        statement: Query<'_, Sqlite, SqliteArguments>,
    ) -> Result<Option<SystemTime>, Error> {
        // All rows, though there is one at most: the change is made when the statement has ended.
        let rows = statement
            .try_map(|row| time(&row, "tokens_valid_from", UnixTime::from_micros))
            .fetch_all(self.pool())
            .await
            .map_err(from_driver)?;
        Ok(rows.into_iter().next())
    }
}

/// Every query reads whole users.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT user_id, username, password_hash, status, scopes, tokens_valid_from \
             FROM portcullis_users ",
            $rest,
        )
    };
}
use select;

/// Moves the cut-off as `Credential::next_cut_off` does: the first value bound is `now`, and the
/// number is `UnixTime::MAX`.
macro_rules! move_cut_off {
    ($rest:literal) => {
        concat!(
            "UPDATE portcullis_users SET tokens_valid_from = \
             min(max(?, tokens_valid_from + 1), 253402300799999999)",
            $rest,
            " RETURNING tokens_valid_from",
        )
    };
}
use move_cut_off;

fn credential(row: &SqliteRow) -> Result<Credential, sqlx::Error> {
    let user_id: String = row.try_get("user_id")?;
    let username: String = row.try_get("username")?;
    let password_hash: Option<String> = row.try_get("password_hash")?;

    let mut credential = Credential::new(UserId::new(user_id), Username::new(username));
    credential.password_hash = password_hash.map(PasswordHash::new);
    credential.status = match row.try_get("status")? {
        DISABLED => UserStatus::Disabled,
        ENABLED => UserStatus::Enabled,
        _ => return Err(sqlx::Error::Decode("the status is unknown".into())),
    };
    credential.scopes = list(row, "scopes")?;
    credential.tokens_valid_from = time(row, "tokens_valid_from", UnixTime::from_micros)?;
    Ok(credential)
}

fn status_text(status: UserStatus) -> Result<&'static str, Error> {
    match status {
        UserStatus::Disabled => Ok(DISABLED),
        UserStatus::Enabled => Ok(ENABLED),
        _ => Err(cannot_store("the status")),
    }
}

const DISABLED: &str = "disabled";
const ENABLED: &str = "enabled";
