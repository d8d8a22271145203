//! The store: where it is, and that its tables are there.

use std::time::Duration;

use portcullis_core::Error;
use sqlx::PgPool;

use crate::database::Database;
use crate::identifier::Identifier;
use crate::mapped::MappedTable;
use crate::mapping::TableMapping;
use crate::migration;

/// Everything that portcullis keeps, in tables of its own in a Postgres database. Clones share its
/// connections.
///
/// Its methods need a tokio runtime.
#[derive(Clone, Debug)]
pub struct PostgresStore {
    pub(crate) database: Database,
    pub(crate) schema: Identifier,
}

impl PostgresStore {
    /// Takes a pool that the application has, as it is: no table is made or looked for.
    ///
    /// Its connections need a `statement_timeout`, best of a second, and the default transaction
    /// isolation, `read committed`: [`check`](Self::check) and [`table`](Self::table) refuse it
    /// otherwise.
    ///
    /// With the pool's `test_before_acquire` every statement takes one round trip more than it
    /// needs: broken connections are found here without it.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self {
            database: Database {
                pool,
                timeout: DEFAULT_TIMEOUT,
            },
            schema: Identifier::known(DEFAULT_SCHEMA),
        }
    }

    /// Sets the schema with the tables. Default `portcullis`; 1 to 63 bytes.
    ///
    /// # Errors
    /// `InvalidConfig` if Postgres cannot have a schema of that name.
    pub fn with_schema(mut self, schema: &str) -> Result<Self, Error> {
        self.schema = Identifier::new(schema)?;
        Ok(self)
    }

    /// Sets how long a call may take before the store is unavailable: until there is a connection,
    /// the statement has run and the answer is there. Default 2 seconds.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.database.timeout = timeout;
        self
    }

    /// Creates the schema and its tables, or brings them up to date, in one transaction. May be
    /// called any number of times, by several processes at the same time, which wait for each other
    /// for up to a minute. Deletes nothing. Gives up after 5 minutes.
    ///
    /// # Errors
    /// `InvalidConfig` if a later version of portcullis migrated the schema, or the
    /// user of the connection has not the rights; `Unavailable` if the database does
    /// not answer or cannot be written now.
    pub async fn migrate(&self) -> Result<(), Error> {
        migration::run(&self.database, &self.schema).await
    }

    /// Makes sure that the tables are those of this version and the connections as
    /// [`new`](Self::new) says, and changes nothing.
    ///
    /// # Errors
    /// `InvalidConfig` if they are not; `Unavailable` if the database does not answer.
    pub async fn check(&self) -> Result<(), Error> {
        migration::check(&self.database, &self.schema).await
    }

    /// Takes the users from a table of the application instead of `users` in the schema, which then
    /// need not exist. Connections and time-out are those of this store.
    ///
    /// # Errors
    /// `InvalidConfig` if the table is not as `mapping` says, or the connections are not as
    /// [`new`](Self::new) does; `Unavailable` if the database does not answer.
    pub async fn table(&self, mapping: &TableMapping) -> Result<MappedTable, Error> {
        MappedTable::new(self.database.clone(), mapping).await
    }

    /// The connections, to be closed at the end or used for what is not portcullis's business.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.database.pool
    }

    /// A table in the schema, as it is named in a statement.
    pub(crate) fn own_table(&self, name: &str) -> String {
        format!("{}.{name}", self.schema)
    }
}

pub(crate) const DEFAULT_SCHEMA: &str = "portcullis";

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);
