//! A schema for each test, on the server of the whole run.

use std::thread;

use portcullis_core::{OsRandom, UserId};
use portcullis_postgres::{PgPool, PostgresStore};
use portcullis_testservers::postgres;
use sqlx::AssertSqlSafe;
use tokio::runtime::Runtime;

/// The name of a schema that no other test has. Whatever is in it is deleted at the end.
pub(crate) struct Schema {
    pub(crate) name: String,
}

impl Schema {
    pub(crate) fn new() -> Self {
        let id = UserId::random(&OsRandom).unwrap();
        Self {
            name: format!("test {id}"),
        }
    }

    /// The URL of a store in it.
    pub(crate) fn url(&self) -> String {
        let base = postgres::url();
        let joint = if base.contains('?') { '&' } else { '?' };
        let name = self.name.replace(' ', "%20");
        format!("{base}{joint}schema={name}")
    }

    pub(crate) async fn migrated(&self) -> PostgresStore {
        let store = PostgresStore::connect(&self.url()).await.unwrap();
        store.migrate().await.unwrap();
        store
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let sql = format!("DROP SCHEMA IF EXISTS \"{}\" CASCADE", self.name);
        // The runtime of the test may be about to end.
        let dropping = thread::spawn(|| {
            Runtime::new().unwrap().block_on(async {
                let pool = PgPool::connect(&postgres::url()).await.unwrap();
                run(&pool, sql).await;
                pool.close().await;
            });
        });
        // A test that failed already says more than this would.
        let _ = dropping.join();
    }
}

pub(crate) async fn run(pool: &PgPool, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(pool)
        .await
        .unwrap();
}
