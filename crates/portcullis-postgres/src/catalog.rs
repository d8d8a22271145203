//! What the server knows of a table of the application, and whether that will do.

use portcullis_core::{Error, ErrorKind};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::database::{Database, query};
use crate::error::{at_start, is_cancelled};
use crate::identifier::Identifier;

/// A table or a view.
pub(crate) struct Table {
    /// As it is named in a statement.
    pub(crate) name: String,
    columns: Vec<Column>,
}

pub(crate) struct Column {
    pub(crate) name: Identifier,
    pub(crate) type_name: String,
    /// In characters.
    max_len: Option<i32>,
    is_readable: bool,
    is_writable: bool,
    /// Whether no two rows have the same here, as far as the catalogue knows; see `is_of_view`.
    is_unique: bool,
    /// Of a view, or of a foreign table, for which nobody vouches.
    is_of_view: bool,
}

impl Table {
    pub(crate) async fn look_up(
        database: &Database,
        schema: Option<&str>,
        table: &str,
    ) -> Result<Self, Error> {
        let table = Identifier::new(table)?;
        let name = match schema {
            Some(schema) => format!("{}.{table}", Identifier::new(schema)?),
            None => table.to_string(),
        };
        let rows = database.read(query(COLUMNS.to_owned()).bind(&*name)).await;
        let columns: Vec<_> = rows
            .and_then(|rows| rows.iter().map(column).collect())
            .map_err(at_start)?;
        if columns.is_empty() {
            return Err(invalid(format!("there is no table or view {name}")));
        }
        Ok(Self { name, columns })
    }

    /// A column, of one of `types`, that may be read.
    pub(crate) fn column(&self, name: &str, types: &[&str]) -> Result<&Column, Error> {
        let table = &self.name;
        let name = Identifier::new(name)?;
        let column = self.columns.iter().find(|column| column.name == name);
        let column =
            column.ok_or_else(|| invalid(format!("the table {table} has no column {name}")))?;
        if !types.contains(&&*column.type_name) {
            return Err(invalid(format!(
                "the column {name} of {table} is of the type {}: it must be one of {}",
                column.type_name,
                types.join(", "),
            )));
        }
        if !column.is_readable {
            return Err(invalid(format!(
                "this user of Postgres may not read the column {name} of {table}: grant it SELECT"
            )));
        }
        Ok(column)
    }
}

impl Column {
    /// A table has an index for it; a view is read.
    pub(crate) async fn must_be_unique(
        &self,
        table: &Table,
        database: &Database,
    ) -> Result<(), Error> {
        if self.is_of_view {
            return self.must_have_no_twins(table, database).await;
        }
        if self.is_unique {
            return Ok(());
        }
        Err(invalid(format!(
            "the column {} has no unique index of its own: two users could have the same, and \
             finding one would read the whole table",
            self.name,
        )))
    }

    async fn must_have_no_twins(&self, table: &Table, database: &Database) -> Result<(), Error> {
        let (name, table) = (&self.name, &table.name);
        let twins = format!(
            "SELECT FROM {table} WHERE {name} IS NOT NULL GROUP BY {name} HAVING count(*) > 1 LIMIT 1"
        );
        match database.read(query(twins)).await {
            Ok(rows) if rows.is_empty() => Ok(()),
            Ok(_) => Err(invalid(format!(
                "the view {table} has several rows with the same {name}, and which of them logs in would \
                 be left to chance: have it leave out all but one"
            ))),
            // A login that finds two of a name is refused all the same.
            Err(error) if is_cancelled(&error) => {
                tracing::warn!(
                    %table,
                    "the view is too large to look for users that it has twice"
                );
                Ok(())
            }
            Err(error) => Err(at_start(error)),
        }
    }

    pub(crate) fn must_be_writable(&self) -> Result<(), Error> {
        if self.is_writable {
            return Ok(());
        }
        Err(invalid(format!(
            "this user of Postgres may not write the column {}: grant it UPDATE, or map the table \
             to be read only",
            self.name,
        )))
    }

    pub(crate) fn must_hold(&self, len: i32) -> Result<(), Error> {
        if self.max_len.is_none_or(|max_len| max_len >= len) {
            return Ok(());
        }
        Err(invalid(format!(
            "the column {} is too short for a new hash: widen it to {len} characters, or map the \
             table to be read only",
            self.name,
        )))
    }
}

fn column(row: &PgRow) -> Result<Column, sqlx::Error> {
    let name: &str = row.try_get("name")?;
    Ok(Column {
        name: Identifier::known(name),
        type_name: row.try_get("type_name")?,
        max_len: row.try_get("max_len")?,
        is_readable: row.try_get("is_readable")?,
        is_writable: row.try_get("is_writable")?,
        is_unique: row.try_get("is_unique")?,
        is_of_view: row.try_get("is_of_view")?,
    })
}

fn invalid(sentence: String) -> Error {
    Error::new(ErrorKind::InvalidConfig, sentence)
}

/// A `varchar(n)` has n and 4 for its `atttypmod`.
const COLUMNS: &str = "
    SELECT attname::text AS name,
        format_type(atttypid, NULL) AS type_name,
        CASE WHEN atttypmod > 4 THEN atttypmod - 4 END AS max_len,
        has_column_privilege(pg_class.oid, attnum, 'SELECT') AS is_readable,
        has_column_privilege(pg_class.oid, attnum, 'UPDATE') AS is_writable,
        relkind IN ('f', 'm', 'v') AS is_of_view,
        EXISTS (
            SELECT FROM pg_index
            WHERE indrelid = pg_class.oid AND indisunique AND indisvalid AND indpred IS NULL
                AND indnkeyatts = 1 AND indkey[0] = attnum
        ) AS is_unique
    FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
    WHERE pg_class.oid = to_regclass($1) AND attnum > 0 AND NOT attisdropped";
