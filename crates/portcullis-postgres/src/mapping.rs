//! Says which table of an application holds its users, and makes sure that it can.

use portcullis_core::{Error, UserId};

use crate::catalog::{Column, Table};
use crate::database::Database;
use crate::identifier::Identifier;

/// The table or view where an application keeps its users, its columns, and what may be done to
/// it. Names are taken as they are, upper and lower case included.
///
/// ```
/// use portcullis_postgres::TableMapping;
///
/// let mut mapping = TableMapping::new("accounts");
/// mapping.username = "login".to_owned();
/// mapping.active = Some("enabled".to_owned());
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TableMapping {
    /// The schema of the table; `None` if it is found by the `search_path` of the connection.
    pub schema: Option<String>,
    /// The table or view.
    pub table: String,
    /// Who it is: `uuid`, `bigint`, `integer`, `smallint`, `text` or `varchar`.
    pub user_id: String,
    /// What the user types: `text` or `varchar`.
    pub username: String,
    /// The password hash, `text` or `varchar`; NULL while there is none.
    pub password_hash: String,
    /// Whether the user may log in: `boolean`. NULL is no; without the column, all may.
    pub active: Option<String>,
    /// The scopes the user may have: `text[]`, or a `text` with spaces between them (RFC 6749
    /// §3.3). NULL is none; without the column, nobody has any.
    pub scopes: Option<String>,
    /// Access tokens issued before this are dead: `timestamptz`. NULL is 1970, as without the
    /// column.
    pub tokens_valid_from: Option<String>,
    /// What may be done to it.
    pub access: TableAccess,
}

impl TableMapping {
    /// Maps a table with the columns `id`, `username` and `password_hash`, to be read only. Each
    /// can then be set otherwise.
    #[must_use]
    pub fn new(table: impl Into<String>) -> Self {
        Self {
            schema: None,
            table: table.into(),
            user_id: "id".to_owned(),
            username: "username".to_owned(),
            password_hash: "password_hash".to_owned(),
            active: None,
            scopes: None,
            tokens_valid_from: None,
            access: TableAccess::Read,
        }
    }

    /// Maps the table that fastapi-users makes with SQLAlchemy: `user`, with `email` for a
    /// username. Obsolete hashes are replaced at login, as fastapi-users does.
    ///
    /// `is_superuser` and `is_verified` mean nothing here.
    #[must_use]
    pub fn fastapi_users() -> Self {
        Self {
            username: "email".to_owned(),
            password_hash: "hashed_password".to_owned(),
            active: Some("is_active".to_owned()),
            access: TableAccess::Rehash,
            ..Self::new("user")
        }
    }

    /// Makes sure that the table is as the mapping says.
    pub(crate) async fn check(&self, database: &Database) -> Result<CheckedMapping, Error> {
        let table = Table::look_up(database, self.schema.as_deref(), &self.table).await?;
        let optional = |name: &Option<String>, types: &[&str]| {
            let column = name.as_ref().map(|name| table.column(name, types));
            column.transpose()
        };
        let user_id = table.column(&self.user_id, &ID_TYPES)?;
        let username = table.column(&self.username, &TEXT_TYPES)?;
        let password_hash = table.column(&self.password_hash, &TEXT_TYPES)?;
        let active = optional(&self.active, &["boolean"])?;
        let scopes = optional(&self.scopes, &SCOPES_TYPES)?;
        let tokens_valid_from = optional(&self.tokens_valid_from, &["timestamp with time zone"])?;

        user_id.must_be_unique(&table, database).await?;
        username.must_be_unique(&table, database).await?;
        if self.access != TableAccess::Read {
            password_hash.must_be_writable()?;
            password_hash.must_hold(HASH_LEN)?;
        }
        if self.access == TableAccess::Full {
            for column in [active, tokens_valid_from].into_iter().flatten() {
                column.must_be_writable()?;
            }
        }

        let id_type = match &*user_id.type_name {
            "uuid" => IdType::Uuid,
            "bigint" | "integer" | "smallint" => IdType::Integer,
            _ => IdType::Text,
        };
        let active_or = active.map_or("true".to_owned(), |column| {
            format!("coalesce({}, false)", column.name)
        });
        let scopes_or = match scopes {
            None => "'{}'::text[]".to_owned(),
            Some(Column {
                name, type_name, ..
            }) if type_name.ends_with("[]") => {
                format!("coalesce({name}, '{{}}')::text[]")
            }
            Some(Column { name, .. }) => {
                format!("array_remove(string_to_array(coalesce({name}, ''), ' '), '')")
            }
        };
        let tokens_valid_from_or = tokens_valid_from
            .map_or("timestamptz 'epoch'".to_owned(), |column| {
                format!("coalesce({}, 'epoch')", column.name)
            });
        Ok(CheckedMapping {
            access: self.access,
            table: table.name.clone(),
            select: format!(
                "{}::text AS user_id, {}::text AS username, {}::text AS password_hash, \
                 {active_or} AS active, {scopes_or} AS scopes, \
                 {tokens_valid_from_or} AS tokens_valid_from",
                user_id.name, username.name, password_hash.name,
            ),
            by_id: format!("{} = $1::{}", user_id.name, id_type.sql()),
            id_type,
            username: username.name.clone(),
            password_hash: password_hash.name.clone(),
            active: active.map(|column| column.name.clone()),
            tokens_valid_from: tokens_valid_from.map(|column| column.name.clone()),
        })
    }
}

/// What may be done to the table of an application.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TableAccess {
    /// Users may be changed and deleted too. They are created by the application all the same: it
    /// knows what else a user of its has.
    Full,
    /// Nothing is written.
    Read,
    /// Nothing is written but a new hash of the same password, in place of an obsolete one.
    Rehash,
}

/// A mapping that fits its table. Names are as they stand in a statement.
#[derive(Debug)]
pub(crate) struct CheckedMapping {
    pub(crate) access: TableAccess,
    pub(crate) table: String,
    /// What to select, under the names of the fields of a `Credential`.
    pub(crate) select: String,
    /// The condition that the user has the id `$1`.
    pub(crate) by_id: String,
    pub(crate) id_type: IdType,
    pub(crate) username: Identifier,
    pub(crate) password_hash: Identifier,
    pub(crate) active: Option<Identifier>,
    pub(crate) tokens_valid_from: Option<Identifier>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum IdType {
    Integer,
    Text,
    Uuid,
}

impl IdType {
    /// Tells whether an id could be one of this type, written as Postgres writes it: other ways to
    /// write the same are nobody's.
    pub(crate) fn takes(self, user_id: &UserId) -> bool {
        let id = user_id.as_str();
        match self {
            Self::Integer => id.parse().is_ok_and(|number: i64| number.to_string() == id),
            Self::Text => !id.contains('\0'),
            Self::Uuid => {
                id.len() == 36
                    && id.bytes().enumerate().all(|(index, byte)| match index {
                        8 | 13 | 18 | 23 => byte == b'-',
                        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
                    })
            }
        }
    }

    fn sql(self) -> &'static str {
        match self {
            Self::Integer => "bigint",
            Self::Text => "text",
            Self::Uuid => "uuid",
        }
    }
}

const ID_TYPES: [&str; 6] = [
    "uuid",
    "bigint",
    "integer",
    "smallint",
    "text",
    "character varying",
];
const TEXT_TYPES: [&str; 2] = ["text", "character varying"];
const SCOPES_TYPES: [&str; 4] = ["text[]", "character varying[]", "text", "character varying"];

/// Longer than any hash made here: those of Argon2id have about 100 characters.
const HASH_LEN: i32 = 128;
