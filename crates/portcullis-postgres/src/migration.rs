//! Brings the tables up to date, and tells whether they are.

use std::time::Duration;

use portcullis_core::{Error, ErrorKind};
use sqlx::{AssertSqlSafe, Executor, PgConnection};
use tokio::time::timeout;

use crate::database::Database;
use crate::error::at_start;
use crate::identifier::Identifier;

/// Runs the migrations that have not run yet, all of them or none.
///
/// Changes nothing if there are none, so that a role which may create nothing can call this too.
pub(crate) async fn run(database: &Database, schema: &Identifier) -> Result<(), Error> {
    timeout(MIGRATION_TIMEOUT, migrate(database, schema))
        .await
        .unwrap_or_else(|_| Err(at_start(sqlx::Error::PoolTimedOut)))
}

async fn migrate(database: &Database, schema: &Identifier) -> Result<(), Error> {
    let mut transaction = database.pool.begin().await.map_err(at_start)?;
    lock(&mut transaction, schema).await.map_err(at_start)?;
    let applied = applied(&mut transaction, schema).await.map_err(at_start)?;
    refuse_later(applied)?;
    if applied < LATEST {
        apply(&mut transaction, schema, applied)
            .await
            .map_err(at_start)?;
    }
    transaction.commit().await.map_err(at_start)
}

/// Refuses a database whose tables are not those of this version.
pub(crate) async fn check(database: &Database, schema: &Identifier) -> Result<(), Error> {
    database.check().await?;
    let applied = timeout(database.timeout, async {
        let mut connection = database.pool.acquire().await?;
        applied(&mut connection, schema).await
    })
    .await
    .unwrap_or(Err(sqlx::Error::PoolTimedOut))
    .map_err(at_start)?;
    refuse_later(applied)?;
    if applied < LATEST {
        return Err(Error::new(
            ErrorKind::InvalidConfig,
            format!("the tables in the schema {schema} are not there or not up to date: migrate"),
        ));
    }
    Ok(())
}

/// Of several who migrate at the same time one does, until its transaction ends; the others wait,
/// and find nothing left to do.
async fn lock(connection: &mut PgConnection, schema: &Identifier) -> Result<(), sqlx::Error> {
    // In a stricter isolation one would go on seeing the database as it was before the wait.
    // Whoever is first may need longer than a statement otherwise may take.
    connection
        .execute(
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; \
             SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'",
        )
        .await?;
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('portcullis ' || $1, 0))")
        .bind(schema.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

/// The number of the last migration that ran; 0 if none did.
async fn applied(connection: &mut PgConnection, schema: &Identifier) -> Result<i64, sqlx::Error> {
    let table = format!("{schema}.migrations");
    let is_there: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(&table)
        .fetch_one(&mut *connection)
        .await?;
    if !is_there {
        return Ok(0);
    }
    let sql = format!("SELECT coalesce(max(version), 0) FROM {table}");
    sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_one(connection)
        .await
}

async fn apply(
    connection: &mut PgConnection,
    schema: &Identifier,
    applied: i64,
) -> Result<(), sqlx::Error> {
    // Asked for first: `CREATE SCHEMA IF NOT EXISTS` takes the right to create one even if it
    // exists, made by somebody who has the right.
    let is_there: bool = sqlx::query_scalar("SELECT to_regnamespace($1) IS NOT NULL")
        .bind(schema.to_string())
        .fetch_one(&mut *connection)
        .await?;
    if !is_there {
        let sql = format!("CREATE SCHEMA {schema}");
        connection.execute(AssertSqlSafe(sql)).await?;
    }
    // The files name no schema.
    let sql = format!("SET LOCAL search_path = {schema}");
    connection.execute(AssertSqlSafe(sql)).await?;
    connection
        .execute("CREATE TABLE IF NOT EXISTS migrations (version bigint PRIMARY KEY)")
        .await?;
    for (version, sql) in MIGRATIONS {
        if version > applied {
            connection.execute(sql).await?;
            sqlx::query("INSERT INTO migrations VALUES ($1)")
                .bind(version)
                .execute(&mut *connection)
                .await?;
        }
    }
    Ok(())
}

fn refuse_later(applied: i64) -> Result<(), Error> {
    if applied <= LATEST {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidConfig,
        "a later version of portcullis migrated the database: use that or a later one",
    ))
}

/// What has been released is never edited: databases have run it already.
const MIGRATIONS: [(i64, &str); 5] = [
    (1, include_str!("../migrations/0001_users.sql")),
    (2, include_str!("../migrations/0002_tokens.sql")),
    (3, include_str!("../migrations/0003_throttle.sql")),
    (4, include_str!("../migrations/0004_refresh.sql")),
    (5, include_str!("../migrations/0005_token_claims.sql")),
];

const LATEST: i64 = MIGRATIONS[MIGRATIONS.len() - 1].0;

/// For all of it. A server that answers nothing must not keep a node from telling so.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(5 * 60);
