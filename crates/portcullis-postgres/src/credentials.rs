//! The table of users as a [`CredentialStore`].

use std::time::SystemTime;

use portcullis_core::{
    Credential, CredentialStore, Error, ErrorKind, PasswordHash, UserId, UserStatus, Username,
    async_trait,
};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::database::{Query, query};
use crate::error::from_driver;
use crate::store::PostgresStore;
use crate::timestamp::Timestamp;

/// Every method is one statement, so that it is atomic without a transaction.
#[async_trait]
impl CredentialStore for PostgresStore {
    async fn find(&self, username: &Username) -> Result<Option<Credential>, Error> {
        let users = self.users();
        let select = query(format!(
            "SELECT {COLUMNS} FROM {users} WHERE username_sha256 = sha256($1)"
        ));
        let found = self
            .select(select.bind(username.as_str().as_bytes()))
            .await?;
        Ok(found.into_iter().next())
    }

    async fn find_by_id(&self, user_id: &UserId) -> Result<Option<Credential>, Error> {
        let users = self.users();
        let select = query(format!("SELECT {COLUMNS} FROM {users} WHERE {BY_ID}"));
        let found = self
            .select(select.bind(user_id.as_str().as_bytes()))
            .await?;
        Ok(found.into_iter().next())
    }

    async fn list(&self, after: Option<&Username>, limit: usize) -> Result<Vec<Credential>, Error> {
        let users = self.users();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        // There is an index for the first 64 bytes.
        let (start, order) = (
            "substr(username, 1, 64)",
            "ORDER BY substr(username, 1, 64), username",
        );
        let select = match after {
            Some(after) => query(format!(
                "SELECT {COLUMNS} FROM {users} \
                 WHERE ({start}, username) > (substr($2, 1, 64), $2) {order} LIMIT $1"
            ))
            .bind(limit)
            .bind(after.as_str().as_bytes()),
            None => query(format!("SELECT {COLUMNS} FROM {users} {order} LIMIT $1")).bind(limit),
        };
        self.select(select).await
    }

    async fn create(&self, credential: &Credential) -> Result<(), Error> {
        let users = self.users();
        let scopes: Vec<_> = credential.scopes.iter().map(String::as_bytes).collect();
        let insert = query(format!(
            "INSERT INTO {users} ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6)"
        ))
        .bind(credential.user_id.as_str().as_bytes())
        .bind(credential.username.as_str().as_bytes())
        .bind(credential.password_hash.as_ref().map(bytes))
        .bind(status_text(credential.status)?)
        .bind(scopes)
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
        let users = self.users();
        let update = query(format!(
            "UPDATE {users} SET password_hash = $3 WHERE {BY_ID} AND password_hash = $2 RETURNING 1"
        ));
        self.change(
            update
                .bind(user_id.as_str().as_bytes())
                .bind(bytes(old))
                .bind(bytes(new)),
        )
        .await
    }

    async fn set_password(
        &self,
        user_id: &UserId,
        new: &PasswordHash,
        tokens_valid_from: SystemTime,
    ) -> Result<bool, Error> {
        let users = self.users();
        let update = query(format!(
            "UPDATE {users} SET password_hash = $2, tokens_valid_from = $3 \
             WHERE {BY_ID} RETURNING 1"
        ));
        self.change(
            update
                .bind(user_id.as_str().as_bytes())
                .bind(bytes(new))
                .bind(Timestamp(tokens_valid_from)),
        )
        .await
    }

    async fn set_status(&self, user_id: &UserId, status: UserStatus) -> Result<bool, Error> {
        let users = self.users();
        let update = query(format!(
            "UPDATE {users} SET status = $2 WHERE {BY_ID} RETURNING 1"
        ));
        self.change(
            update
                .bind(user_id.as_str().as_bytes())
                .bind(status_text(status)?),
        )
        .await
    }

    async fn delete(&self, user_id: &UserId) -> Result<bool, Error> {
        let users = self.users();
        let delete = query(format!("DELETE FROM {users} WHERE {BY_ID} RETURNING 1"));
        self.change(delete.bind(user_id.as_str().as_bytes())).await
    }
}

impl PostgresStore {
    fn users(&self) -> String {
        format!("{}.users", self.schema)
    }

    /// Finds the users that a query finds.
    async fn select(&self, select: Query) -> Result<Vec<Credential>, Error> {
        let rows = self.database.read(select).await.map_err(from_driver)?;
        rows.iter()
            .map(credential)
            .collect::<Result<_, _>>()
            .map_err(from_driver)
    }

    /// Changes one user, and tells whether there was such a user.
    async fn change(&self, statement: Query) -> Result<bool, Error> {
        let changed = self.database.write(statement).await.map_err(from_driver)?;
        Ok(!changed.is_empty())
    }
}

fn credential(row: &PgRow) -> Result<Credential, sqlx::Error> {
    let user_id = UserId::new(text(row.try_get("user_id")?)?);
    let username = Username::new(text(row.try_get("username")?)?);
    let password_hash: Option<Vec<u8>> = row.try_get("password_hash")?;
    let scopes: Vec<Vec<u8>> = row.try_get("scopes")?;
    let Timestamp(tokens_valid_from) = row.try_get("tokens_valid_from")?;

    let mut credential = Credential::new(user_id, username);
    credential.password_hash = password_hash.map(text).transpose()?.map(PasswordHash::new);
    credential.status = match row.try_get("status")? {
        DISABLED => UserStatus::Disabled,
        ENABLED => UserStatus::Enabled,
        _ => return Err(sqlx::Error::Decode("the status is unknown".into())),
    };
    credential.scopes = scopes.into_iter().map(text).collect::<Result<_, _>>()?;
    credential.tokens_valid_from = tokens_valid_from;
    Ok(credential)
}

fn text(bytes: Vec<u8>) -> Result<String, sqlx::Error> {
    // Not with the error of the conversion: it holds the bytes.
    String::from_utf8(bytes).map_err(|_| sqlx::Error::Decode("a text is not UTF-8".into()))
}

fn bytes(hash: &PasswordHash) -> &[u8] {
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
