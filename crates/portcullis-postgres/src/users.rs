//! The table of users as a [`CredentialStore`].

use std::time::SystemTime;

use portcullis_core::password::PasswordHash;
use portcullis_core::store::UserStatus;
use portcullis_core::{
    Credential, CredentialStore, Error, ErrorKind, UserId, Username, async_trait,
};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::column::{self, Timestamp, bytes, cut_off, next_cut_off, optional_text, text, texts};
use crate::database::{Query, query};
use crate::error::from_driver;
use crate::store::PostgresStore;

/// Every method is one statement, so that it is atomic without a transaction.
#[async_trait]
impl CredentialStore for PostgresStore {
    async fn find(&self, username: &Username) -> Result<Option<Credential>, Error> {
        let users = self.own_table("users");
        let sql = format!("SELECT {COLUMNS} FROM {users} WHERE username_sha256 = sha256($1)");
        let found = self.select(query(sql).bind(username.as_str().as_bytes()));
        Ok(found.await?.into_iter().next())
    }

    async fn find_by_id(&self, user_id: &UserId) -> Result<Option<Credential>, Error> {
        let users = self.own_table("users");
        let sql = format!("SELECT {COLUMNS} FROM {users} WHERE {BY_ID}");
        let found = self.select(query(sql).bind(user_id.as_str().as_bytes()));
        Ok(found.await?.into_iter().next())
    }

    async fn list(&self, after: Option<&Username>, limit: usize) -> Result<Vec<Credential>, Error> {
        let users = self.own_table("users");
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        // There is an index of how usernames begin.
        let order = "ORDER BY substr(username, 1, 64), username LIMIT $1";
        let select = match after {
            Some(after) => query(format!(
                "SELECT {COLUMNS} FROM {users} \
                 WHERE (substr(username, 1, 64), username) > (substr($2, 1, 64), $2) {order}"
            ))
            .bind(limit)
            .bind(after.as_str().as_bytes()),
            None => query(format!("SELECT {COLUMNS} FROM {users} {order}")).bind(limit),
        };
        self.select(select).await
    }

    async fn create(&self, credential: &Credential) -> Result<(), Error> {
        let users = self.own_table("users");
        let sql = format!("INSERT INTO {users} ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6)");
        let insert = query(sql)
            .bind(credential.user_id.as_str().as_bytes())
            .bind(credential.username.as_str().as_bytes())
            .bind(credential.password_hash.as_ref().map(hash_bytes))
            .bind(status_text(credential.status)?)
            .bind(bytes(&credential.scopes))
            .bind(Timestamp(credential.tokens_valid_from));
        self.database.write(insert).await.map_err(from_driver)?;
        Ok(())
    }

    async fn replace_hash(
        &self,
        user_id: &UserId,
        old: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<bool, Error> {
        let users = self.own_table("users");
        let sql =
            format!("UPDATE {users} SET password_hash = $3 WHERE {BY_ID} AND password_hash = $2");
        let update = query(sql)
            .bind(user_id.as_str().as_bytes())
            .bind(hash_bytes(old))
            .bind(hash_bytes(new));
        self.change(update).await
    }

    async fn change_password(
        &self,
        user_id: &UserId,
        old: &PasswordHash,
        new: &PasswordHash,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, Error> {
        let sql = self.moving_cut_off(", password_hash = $3", "AND password_hash = $4");
        let update = query(sql)
            .bind(user_id.as_str().as_bytes())
            .bind(column::now(now))
            .bind(hash_bytes(new))
            .bind(hash_bytes(old));
        self.cut_off(update).await
    }

    async fn set_password(
        &self,
        user_id: &UserId,
        new: &PasswordHash,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, Error> {
        let update = query(self.moving_cut_off(", password_hash = $3", ""))
            .bind(user_id.as_str().as_bytes())
            .bind(column::now(now))
            .bind(hash_bytes(new));
        self.cut_off(update).await
    }

    async fn end_sessions(
        &self,
        user_id: &UserId,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, Error> {
        let update = query(self.moving_cut_off("", ""))
            .bind(user_id.as_str().as_bytes())
            .bind(column::now(now));
        self.cut_off(update).await
    }

    async fn set_status(&self, user_id: &UserId, status: UserStatus) -> Result<bool, Error> {
        let users = self.own_table("users");
        let update = query(format!("UPDATE {users} SET status = $2 WHERE {BY_ID}"))
            .bind(user_id.as_str().as_bytes())
            .bind(status_text(status)?);
        self.change(update).await
    }

    async fn delete(&self, user_id: &UserId) -> Result<bool, Error> {
        let users = self.own_table("users");
        let delete =
            query(format!("DELETE FROM {users} WHERE {BY_ID}")).bind(user_id.as_str().as_bytes());
        self.change(delete).await
    }
}

impl PostgresStore {
    /// Reads the users that a query finds.
    async fn select(&self, select: Query) -> Result<Vec<Credential>, Error> {
        let rows = self.database.read(select).await.map_err(from_driver)?;
        let users: Result<_, _> = rows.iter().map(credential).collect();
        users.map_err(from_driver)
    }

    /// Changes one user, and tells whether there was such a user.
    async fn change(&self, statement: Query) -> Result<bool, Error> {
        Ok(self.database.write(statement).await.map_err(from_driver)? > 0)
    }

    /// A statement that moves the cut-off of the user `$1` at the time `$2`, and what else is said.
    fn moving_cut_off(&self, and_sets: &str, and_if: &str) -> String {
        format!(
            "UPDATE {} SET tokens_valid_from = {}{and_sets} WHERE {BY_ID} {and_if} \
             RETURNING tokens_valid_from",
            self.own_table("users"),
            next_cut_off("tokens_valid_from", "$2"),
        )
    }

    /// Executes such a statement, and tells where the cut-off now stands.
    async fn cut_off(&self, statement: Query) -> Result<Option<SystemTime>, Error> {
        let rows = self.database.write_returning(statement).await;
        rows.and_then(|rows| rows.first().map(cut_off).transpose())
            .map_err(from_driver)
    }
}

fn credential(row: &PgRow) -> Result<Credential, sqlx::Error> {
    let user_id = UserId::new(text(row, "user_id")?);
    let mut credential = Credential::new(user_id, Username::new(text(row, "username")?));
    credential.password_hash = optional_text(row, "password_hash")?.map(PasswordHash::new);
    credential.status = match row.try_get("status")? {
        DISABLED => UserStatus::Disabled,
        ENABLED => UserStatus::Enabled,
        _ => return Err(sqlx::Error::Decode("the status is unknown".into())),
    };
    credential.scopes = texts(row, "scopes")?;
    credential.tokens_valid_from = cut_off(row)?;
    Ok(credential)
}

fn hash_bytes(hash: &PasswordHash) -> &[u8] {
    hash.expose().as_bytes()
}

fn status_text(status: UserStatus) -> Result<&'static str, Error> {
    match status {
        UserStatus::Disabled => Ok(DISABLED),
        UserStatus::Enabled => Ok(ENABLED),
        _ => Err(Error::new(
            ErrorKind::Internal,
            "the status cannot be stored",
        )),
    }
}

/// Every query reads whole users.
const COLUMNS: &str = "user_id, username, password_hash, status, scopes, tokens_valid_from";

const BY_ID: &str = "user_id_sha256 = sha256($1)";

const DISABLED: &str = "disabled";
const ENABLED: &str = "enabled";
