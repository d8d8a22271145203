//! The table of an application as a [`CredentialStore`].

use std::sync::Arc;
use std::time::SystemTime;

use portcullis_core::password::PasswordHash;
use portcullis_core::store::UserStatus;
use portcullis_core::{
    Credential, CredentialStore, Error, ErrorKind, UserId, Username, async_trait,
};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::column::{self, cut_off, next_cut_off};
use crate::database::{Database, Query, query};
use crate::error::from_driver;
use crate::mapping::{CheckedMapping, TableAccess, TableMapping};

/// The users of an application, in the table where it keeps them: made by
/// [`PostgresStore::table`](crate::PostgresStore::table). Clones share its connections.
///
/// What the mapping does not allow is `Unsupported`; the crate's front page says what that is.
#[derive(Clone, Debug)]
pub struct MappedTable {
    database: Database,
    mapping: Arc<CheckedMapping>,
}

impl MappedTable {
    pub(crate) async fn new(database: Database, mapping: &TableMapping) -> Result<Self, Error> {
        database.check().await?;
        let mapping = Arc::new(mapping.check(&database).await?);
        Ok(Self { database, mapping })
    }

    /// Reads the user that a query finds.
    async fn select_one(&self, select: Query) -> Result<Option<Credential>, Error> {
        let rows = self.database.read(select).await.map_err(from_driver)?;
        if let [_, _, ..] = rows.as_slice() {
            // A view that repeats a row, say. Which of the two logs in must not be left to chance.
            let error = sqlx::Error::Decode("two users have the same name or id".into());
            return Err(from_driver(error));
        }
        let user = rows.first().map(credential).transpose();
        user.map_err(from_driver)
    }

    /// Changes one user, and tells whether there was such a user.
    async fn change(&self, statement: Query) -> Result<bool, Error> {
        Ok(self.database.write(statement).await.map_err(from_driver)? > 0)
    }

    /// A statement that moves the cut-off of the user `$1` at the time `$2`, and what else is said.
    fn moving_cut_off(&self, and_sets: &str, and_if: &str) -> Result<String, Error> {
        let to = &self.mapping;
        // Without that column, what was stolen with the old password would go on being good.
        let (TableAccess::Full, Some(cut_off)) = (to.access, &to.tokens_valid_from) else {
            return Err(unsupported(
                "changing a password or ending sessions takes a mapping with full access and \
                 `tokens_valid_from`",
            ));
        };
        Ok(format!(
            "UPDATE {} SET {cut_off} = {}{and_sets} WHERE {} {and_if} \
             RETURNING {cut_off} AS tokens_valid_from",
            to.table,
            next_cut_off(cut_off, "$2"),
            to.by_id,
        ))
    }

    /// Executes such a statement, and tells where the cut-off now stands.
    async fn cut_off(&self, statement: Query) -> Result<Option<SystemTime>, Error> {
        let rows = self.database.write_returning(statement).await;
        rows.and_then(|rows| rows.first().map(cut_off).transpose())
            .map_err(from_driver)
    }
}

/// Every method is one statement, so that it is atomic without a transaction.
///
/// No text in the table has a NUL, and so what has one is nobody's.
#[async_trait]
impl CredentialStore for MappedTable {
    async fn find(&self, username: &Username) -> Result<Option<Credential>, Error> {
        if has_nul(username.as_str()) {
            return Ok(None);
        }
        let to = &self.mapping;
        let sql = format!(
            "SELECT {} FROM {} WHERE {} = $1 LIMIT 2",
            to.select, to.table, to.username,
        );
        let found = self.select_one(query(sql).bind(username.as_str())).await?;
        // A collation of the column may take another name for the same.
        Ok(found.filter(|user| user.username == *username))
    }

    async fn find_by_id(&self, user_id: &UserId) -> Result<Option<Credential>, Error> {
        let to = &self.mapping;
        if !to.id_type.takes(user_id) {
            return Ok(None);
        }
        let sql = format!(
            "SELECT {} FROM {} WHERE {} AND {} IS NOT NULL LIMIT 2",
            to.select, to.table, to.by_id, to.username,
        );
        self.select_one(query(sql).bind(user_id.as_str())).await
    }

    async fn list(&self, after: Option<&Username>, limit: usize) -> Result<Vec<Credential>, Error> {
        let to = &self.mapping;
        let username = format!("{}::text COLLATE \"C\"", to.username);
        let from = after.map_or("IS NOT NULL", |_| "> $2");
        let sql = format!(
            "SELECT {} FROM {} WHERE {username} {from} ORDER BY {username} LIMIT $1",
            to.select, to.table,
        );
        let mut select = query(sql).bind(i64::try_from(limit).unwrap_or(i64::MAX));
        if let Some(after) = after {
            // As there are none with a NUL, what sorts after one sorts after what is before it.
            select = select.bind(after.as_str().split('\0').next());
        }
        let rows = self.database.read(select).await.map_err(from_driver)?;
        let users: Result<_, _> = rows.iter().map(credential).collect();
        users.map_err(from_driver)
    }

    async fn create(&self, _: &Credential) -> Result<(), Error> {
        Err(unsupported("the application creates its users itself"))
    }

    async fn replace_hash(
        &self,
        user_id: &UserId,
        old: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<bool, Error> {
        let to = &self.mapping;
        if to.access == TableAccess::Read {
            return Err(unsupported("the table is mapped to be read only"));
        }
        if !to.id_type.takes(user_id) || has_nul(old.expose()) {
            return Ok(false);
        }
        let sql = format!(
            "UPDATE {} SET {hash} = $3 WHERE {} AND {hash} = $2",
            to.table,
            to.by_id,
            hash = to.password_hash,
        );
        let update = query(sql)
            .bind(user_id.as_str())
            .bind(old.expose())
            .bind(new.expose());
        self.change(update).await
    }

    async fn change_password(
        &self,
        user_id: &UserId,
        old: &PasswordHash,
        new: &PasswordHash,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, Error> {
        let to = &self.mapping;
        let and_sets = format!(", {} = $3", to.password_hash);
        let and_if = format!("AND {} = $4", to.password_hash);
        let sql = self.moving_cut_off(&and_sets, &and_if)?;
        if !to.id_type.takes(user_id) || has_nul(old.expose()) {
            return Ok(None);
        }
        let update = query(sql)
            .bind(user_id.as_str())
            .bind(column::now(now))
            .bind(new.expose())
            .bind(old.expose());
        self.cut_off(update).await
    }

    async fn set_password(
        &self,
        user_id: &UserId,
        new: &PasswordHash,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, Error> {
        let to = &self.mapping;
        let sql = self.moving_cut_off(&format!(", {} = $3", to.password_hash), "")?;
        if !to.id_type.takes(user_id) {
            return Ok(None);
        }
        let update = query(sql)
            .bind(user_id.as_str())
            .bind(column::now(now))
            .bind(new.expose());
        self.cut_off(update).await
    }

    async fn end_sessions(
        &self,
        user_id: &UserId,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, Error> {
        let sql = self.moving_cut_off("", "")?;
        if !self.mapping.id_type.takes(user_id) {
            return Ok(None);
        }
        let update = query(sql).bind(user_id.as_str()).bind(column::now(now));
        self.cut_off(update).await
    }

    async fn set_status(&self, user_id: &UserId, status: UserStatus) -> Result<bool, Error> {
        let to = &self.mapping;
        let (TableAccess::Full, Some(active)) = (to.access, &to.active) else {
            return Err(unsupported(
                "disabling and enabling takes a mapping with full access and `active`",
            ));
        };
        if !to.id_type.takes(user_id) {
            return Ok(false);
        }
        let sql = format!("UPDATE {} SET {active} = $2 WHERE {}", to.table, to.by_id);
        let update = query(sql)
            .bind(user_id.as_str())
            .bind(status == UserStatus::Enabled);
        self.change(update).await
    }

    async fn delete(&self, user_id: &UserId) -> Result<bool, Error> {
        let to = &self.mapping;
        if to.access != TableAccess::Full {
            return Err(unsupported("deleting takes a mapping with full access"));
        }
        if !to.id_type.takes(user_id) {
            return Ok(false);
        }
        let sql = format!("DELETE FROM {} WHERE {}", to.table, to.by_id);
        self.change(query(sql).bind(user_id.as_str())).await
    }
}

fn credential(row: &PgRow) -> Result<Credential, sqlx::Error> {
    let user_id: String = row.try_get("user_id")?;
    let username: String = row.try_get("username")?;
    let password_hash: Option<String> = row.try_get("password_hash")?;

    let mut credential = Credential::new(UserId::new(user_id), Username::new(username));
    credential.password_hash = password_hash.map(PasswordHash::new);
    if !row.try_get("active")? {
        credential.status = UserStatus::Disabled;
    }
    credential.scopes = row.try_get("scopes")?;
    credential.tokens_valid_from = cut_off(row)?;
    Ok(credential)
}

fn has_nul(text: &str) -> bool {
    text.contains('\0')
}

fn unsupported(sentence: &'static str) -> Error {
    Error::new(ErrorKind::Unsupported, sentence)
}
