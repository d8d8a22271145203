//! Brings the tables up to date.

use portcullis_core::{Error, ErrorKind};
use sqlx::{Executor, SqlitePool};

use crate::error::from_driver;

/// Runs the migrations that have not run yet, all of them or none.
///
/// sqlx's own migrator takes no lock on SQLite, so that two which start together collide.
pub(crate) async fn run(pool: &SqlitePool) -> Result<(), Error> {
    // With the write lock from the first moment, one migrates; the others wait for it, and find
    // nothing left to do.
    let mut transaction = pool
        .begin_with("BEGIN IMMEDIATE")
        .await
        .map_err(from_driver)?;

    let encoding: String = sqlx::query_scalar("PRAGMA encoding")
        .fetch_one(&mut *transaction)
        .await
        .map_err(from_driver)?;
    if encoding != "UTF-8" {
        // The driver reads text as UTF-8 whatever it is, and UTF-16 would sort differently.
        return Err(Error::new(
            ErrorKind::InvalidConfig,
            "the database is not in UTF-8: use one made with `PRAGMA encoding = 'UTF-8'`",
        ));
    }

    transaction
        .execute(
            "CREATE TABLE IF NOT EXISTS portcullis_migrations (version INTEGER PRIMARY KEY) STRICT",
        )
        .await
        .map_err(from_driver)?;
    let applied: i64 =
        sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM portcullis_migrations")
            .fetch_one(&mut *transaction)
            .await
            .map_err(from_driver)?;
    if MIGRATIONS.iter().all(|(version, _)| *version < applied) {
        return Err(Error::new(
            ErrorKind::InvalidConfig,
            "a later version of portcullis migrated the database: use that or a later one",
        ));
    }

    for (version, sql) in MIGRATIONS {
        if version > applied {
            transaction.execute(sql).await.map_err(from_driver)?;
            sqlx::query("INSERT INTO portcullis_migrations VALUES (?)")
                .bind(version)
                .execute(&mut *transaction)
                .await
                .map_err(from_driver)?;
        }
    }
    transaction.commit().await.map_err(from_driver)
}

/// What has been released is never edited: databases have run it already.
const MIGRATIONS: [(i64, &str); 5] = [
    (1, include_str!("../migrations/0001_users.sql")),
    (2, include_str!("../migrations/0002_tokens.sql")),
    (3, include_str!("../migrations/0003_throttle.sql")),
    (4, include_str!("../migrations/0004_refresh.sql")),
    (5, include_str!("../migrations/0005_token_claims.sql")),
];
