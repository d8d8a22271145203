//! A look-up reads an index and no more.

use portcullis_core::{CredentialStore, UserId, Username};
use sqlx::{AssertSqlSafe, Row};

use crate::schema::{Schema, run};

#[tokio::test]
async fn finding_and_listing_use_an_index() {
    let schema = Schema::new();
    let name = &schema.name;
    // One connection, so that the statements which the store prepared can be explained on it.
    let url = format!("{}&pool_size=1", schema.url());
    schema.migrated().await;
    let store = portcullis_postgres::PostgresStore::open(&url)
        .await
        .unwrap();
    run(
        store.pool(),
        format!(
            "INSERT INTO \"{name}\".users \
             (user_id, username, status, scopes, tokens_valid_from) \
             SELECT n::text::bytea, ('user ' || n)::bytea, 'enabled', '{{}}', 'epoch' \
             FROM generate_series(1, 10000) n; \
             ANALYZE \"{name}\".users"
        ),
    )
    .await;
    store.find(&Username::new("user 7")).await.unwrap().unwrap();
    store.find_by_id(&UserId::new("7")).await.unwrap().unwrap();
    store.list(None, 10).await.unwrap();
    store
        .list(Some(&Username::new("user 7")), 10)
        .await
        .unwrap();

    let mut connection = store.pool().acquire().await.unwrap();
    let prepared = sqlx::query(
        "SELECT name, statement, cardinality(parameter_types) AS parameters \
         FROM pg_prepared_statements WHERE statement LIKE 'SELECT user_id%' ORDER BY prepare_time",
    )
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    assert_eq!(prepared.len(), 4);
    for (prepared, index) in prepared.iter().zip([
        "users_username_sha256_key",
        "users_pkey",
        "users_username_start",
        "users_username_start",
    ]) {
        let statement: &str = prepared.get("statement");
        let parameters = match prepared.get("parameters") {
            1 if statement.contains("LIMIT") => "10",
            1 => "'user 7'",
            _ => "10, 'user 7'",
        };
        let name: &str = prepared.get("name");
        let sql = format!("EXPLAIN EXECUTE \"{name}\" ({parameters})");
        let plan: Vec<String> = sqlx::raw_sql(AssertSqlSafe(sql))
            .fetch_all(&mut *connection)
            .await
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect();
        let plan = plan.join("\n");
        assert!(
            plan.contains(&format!("Index Scan using {index} ")),
            "{plan}"
        );
        assert!(!plan.contains("Seq Scan"), "{plan}");
    }
}
