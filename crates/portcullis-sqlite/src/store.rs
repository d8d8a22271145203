//! The users table as a [`CredentialStore`].

use std::time::{Duration, SystemTime};

use portcullis_core::{
    Credential, CredentialStore, Error, ErrorKind, PasswordHash, UserId, UserStatus, Username,
    async_trait,
};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Row, Sqlite, SqlitePool};

use crate::error::from_driver;
use crate::{migration, open};

/// A [`CredentialStore`] in a SQLite database. Clones share its connections.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    pool: SqlitePool,
}

impl SqliteStore {
    /// Takes a pool that the application has, as it is: no table is made.
    ///
    /// Its connections should have a `busy_timeout`, and `synchronous = FULL` if a password
    /// change must survive a power cut.
    #[must_use]
    pub fn new(pool: SqlitePool) -> Self {
        Self { pool }
    }

    /// Opens the database that a URL names, creates it if it is absent, and brings its tables up
    /// to date. The crate's front page describes the URLs.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if the URL makes no sense, or what it names cannot be read,
    /// written or created, or is not a SQLite database, or belongs to a later version of
    /// portcullis; nothing is left behind. [`ErrorKind::Unavailable`] if the database is locked
    /// for too long, [`ErrorKind::Corrupt`] if it is damaged.
    pub async fn open(url: &str) -> Result<Self, Error> {
        open::open(url).await.map(Self::new)
    }

    /// Creates the tables of portcullis or brings them up to date, in one transaction. May be
    /// called any number of times, by several processes at the same time.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if the database belongs to a later version of portcullis or
    /// is in UTF-16, [`ErrorKind::Unavailable`] if it cannot be written now.
    pub async fn migrate(&self) -> Result<(), Error> {
        migration::run(&self.pool).await
    }

    /// The connections, to be closed at the end or used for what is not portcullis's business.
    #[must_use]
    pub fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    /// Executes a statement that changes one user, and tells whether there was such a user.
    async fn change(&self, statement: Query<'_, Sqlite, SqliteArguments>) -> Result<bool, Error> {
        let done = statement.execute(&self.pool).await.map_err(from_driver)?;
        Ok(done.rows_affected() > 0)
    }
}

/// Every method is one statement, so that it is atomic without a transaction.
#[async_trait]
impl CredentialStore for SqliteStore {
    async fn find(&self, username: &Username) -> Result<Option<Credential>, Error> {
        sqlx::query(select!("WHERE username = ?"))
            .bind(username.as_str())
            .try_map(|row| credential(&row))
            .fetch_optional(&self.pool)
            .await
            .map_err(from_driver)
    }

    async fn find_by_id(&self, user_id: &UserId) -> Result<Option<Credential>, Error> {
        sqlx::query(select!("WHERE user_id = ?"))
            .bind(user_id.as_str())
            .try_map(|row| credential(&row))
            .fetch_optional(&self.pool)
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
            .fetch_all(&self.pool)
            .await
            .map_err(from_driver)
    }

    async fn create(&self, credential: &Credential) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO portcullis_users \
             (user_id, username, password_hash, status, scopes, tokens_valid_from) \
             VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(credential.user_id.as_str())
        .bind(credential.username.as_str())
        .bind(credential.password_hash.as_ref().map(PasswordHash::expose))
        .bind(status_text(credential.status)?)
        .bind(scopes_json(&credential.scopes)?)
        .bind(microseconds(credential.tokens_valid_from)?)
        .execute(&self.pool)
        .await
        .map_err(from_driver)?;
        Ok(())
    }

    async fn replace_hash(
        &self,
        user_id: &UserId,
        old: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<bool, Error> {
        self.change(
            sqlx::query(
                "UPDATE portcullis_users SET password_hash = ? \
                 WHERE user_id = ? AND password_hash = ?",
            )
            .bind(new.expose())
            .bind(user_id.as_str())
            .bind(old.expose()),
        )
        .await
    }

    async fn set_password(
        &self,
        user_id: &UserId,
        new: &PasswordHash,
        tokens_valid_from: SystemTime,
    ) -> Result<bool, Error> {
        self.change(
            sqlx::query(
                "UPDATE portcullis_users SET password_hash = ?, tokens_valid_from = ? \
                 WHERE user_id = ?",
            )
            .bind(new.expose())
            .bind(microseconds(tokens_valid_from)?)
            .bind(user_id.as_str()),
        )
        .await
    }

    async fn set_status(&self, user_id: &UserId, status: UserStatus) -> Result<bool, Error> {
        self.change(
            sqlx::query("UPDATE portcullis_users SET status = ? WHERE user_id = ?")
                .bind(status_text(status)?)
                .bind(user_id.as_str()),
        )
        .await
    }

    async fn delete(&self, user_id: &UserId) -> Result<bool, Error> {
        self.change(
            sqlx::query("DELETE FROM portcullis_users WHERE user_id = ?").bind(user_id.as_str()),
        )
        .await
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

fn credential(row: &SqliteRow) -> Result<Credential, sqlx::Error> {
    let user_id: String = row.try_get("user_id")?;
    let username: String = row.try_get("username")?;
    let password_hash: Option<String> = row.try_get("password_hash")?;
    let scopes: &str = row.try_get("scopes")?;

    let mut credential = Credential::new(UserId::new(user_id), Username::new(username));
    credential.password_hash = password_hash.map(PasswordHash::new);
    credential.status = match row.try_get("status")? {
        DISABLED => UserStatus::Disabled,
        ENABLED => UserStatus::Enabled,
        _ => return Err(sqlx::Error::Decode("the status is unknown".into())),
    };
    credential.scopes =
        serde_json::from_str(scopes).map_err(|error| sqlx::Error::Decode(error.into()))?;
    credential.tokens_valid_from = u64::try_from(row.try_get::<i64, _>("tokens_valid_from")?)
        .ok()
        .and_then(|since| SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(since)))
        .ok_or_else(|| sqlx::Error::Decode("tokens_valid_from is out of range".into()))?;
    Ok(credential)
}

fn status_text(status: UserStatus) -> Result<&'static str, Error> {
    match status {
        UserStatus::Disabled => Ok(DISABLED),
        UserStatus::Enabled => Ok(ENABLED),
        _ => Err(cannot_store("the status")),
    }
}

fn scopes_json(scopes: &[String]) -> Result<String, Error> {
    serde_json::to_string(scopes).map_err(|error| cannot_store("the scopes").with_source(error))
}

fn microseconds(time: SystemTime) -> Result<i64, Error> {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_micros()).ok())
        .ok_or_else(|| cannot_store("tokens_valid_from"))
}

fn cannot_store(what: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("{what} cannot be stored"))
}

const DISABLED: &str = "disabled";
const ENABLED: &str = "enabled";
