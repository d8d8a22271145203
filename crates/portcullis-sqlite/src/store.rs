//! The store itself: a pool of connections to a database that has the tables.

use portcullis_core::Error;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Sqlite, SqlitePool};

use crate::error::from_driver;
use crate::{migration, open};

/// A [`CredentialStore`](portcullis_core::CredentialStore) and a
/// [`TokenStore`](portcullis_core::store::TokenStore) in a SQLite database. Clones share its connections.
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
    /// `InvalidConfig` if the URL makes no sense, or what it names cannot be read,
    /// written or created, or is not a SQLite database, or belongs to a later version of
    /// portcullis; nothing is left behind. `Unavailable` if the database is locked
    /// for too long, `Corrupt` if it is damaged.
    pub async fn open(url: &str) -> Result<Self, Error> {
        open::open(url).await.map(Self::new)
    }

    /// Creates the tables of portcullis or brings them up to date, in one transaction. May be
    /// called any number of times, by several processes at the same time.
    ///
    /// # Errors
    /// `InvalidConfig` if the database belongs to a later version of portcullis or
    /// is in UTF-16, `Unavailable` if it cannot be written now.
    pub async fn migrate(&self) -> Result<(), Error> {
        migration::run(&self.pool).await
    }

    /// The connections, to be closed at the end or used for what is not portcullis's business.
    #[must_use]
    pub fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    /// Executes a statement, and tells how many rows it changed.
    pub(crate) async fn execute(
        &self,
        statement: Query<'_, Sqlite, SqliteArguments>,
    ) -> Result<u64, Error> {
        let done = statement.execute(&self.pool).await.map_err(from_driver)?;
        Ok(done.rows_affected())
    }
}
