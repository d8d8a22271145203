//! What a find costs among a thousand users and among a million, in turn on the same server.
//!
//! Run by `scripts/bench-find`, and fails if the ratio is over 1.3. With `--test` there are fewer
//! users, and any ratio will do.

#![expect(clippy::unwrap_used, reason = "a benchmark may")]
#![expect(clippy::print_stdout, reason = "a benchmark says what it measured")]

use std::env;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use portcullis_core::{CredentialStore, Username};
use portcullis_postgres::PostgresStore;
use portcullis_testservers::postgres;
use sqlx::AssertSqlSafe;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let is_test = env::args().any(|argument| argument == "--test");
    let many = if is_test { 10_000 } else { 1_000_000 };
    let few = 1_000;
    let small = store("portcullis_bench_small", few).await;
    let large = store("portcullis_bench_large", many).await;

    // The first round warms up connections and caches.
    find(&small, few, 0).await;
    find(&large, many, 0).await;
    let (mut in_small, mut in_large) = (Duration::ZERO, Duration::ZERO);
    for round in 1..=ROUNDS {
        in_small += find(&small, few, round).await;
        in_large += find(&large, many, round).await;
    }
    drop_schema(&small, "portcullis_bench_small").await;
    drop_schema(&large, "portcullis_bench_large").await;

    let ratio = in_large.as_secs_f64() / in_small.as_secs_f64();
    let finds = ROUNDS * FINDS;
    println!("find among {few} users: {:?}", in_small / finds);
    println!("find among {many} users: {:?}", in_large / finds);
    println!("ratio: {ratio:.2} (at most {MOST})");
    if is_test || ratio <= MOST {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// A store of so many users, on one connection.
async fn store(schema: &str, users: u32) -> PostgresStore {
    let base = postgres::url();
    let joint = if base.contains('?') { '&' } else { '?' };
    let url = format!("{base}{joint}pool_size=1&schema={schema}");
    let store = PostgresStore::connect(&url).await.unwrap();
    drop_schema(&store, schema).await;
    store.migrate().await.unwrap();
    let table = format!("{schema}.users");
    for sql in [
        "SET statement_timeout = 0".to_owned(),
        format!(
            "INSERT INTO {table} \
             (user_id, username, password_hash, status, scopes, tokens_valid_from) \
             SELECT gen_random_uuid()::text::bytea, ('user-' || n || '@example.com')::bytea, \
             repeat('x', 97)::bytea, 'enabled', '{{}}', 'epoch' \
             FROM generate_series(1, {users}) n"
        ),
        format!("VACUUM ANALYZE {table}"),
        "RESET statement_timeout".to_owned(),
    ] {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql));
        sql.execute(store.pool()).await.unwrap();
    }
    store
}

/// Finds users here and there, others in each round, and tells how long that took.
async fn find(store: &PostgresStore, users: u32, round: u32) -> Duration {
    let names: Vec<_> = (round * FINDS..(round + 1) * FINDS)
        // Far apart from one to the next.
        .map(|n| n.wrapping_mul(2_654_435_761) % users + 1)
        .map(|n| Username::new(format!("user-{n}@example.com")))
        .collect();
    let start = Instant::now();
    for name in &names {
        assert!(store.find(name).await.unwrap().is_some());
    }
    start.elapsed()
}

async fn drop_schema(store: &PostgresStore, schema: &str) {
    let sql = format!("DROP SCHEMA IF EXISTS {schema} CASCADE");
    let sql = sqlx::raw_sql(AssertSqlSafe(sql));
    sql.execute(store.pool()).await.unwrap();
}

const FINDS: u32 = 2_000;
const ROUNDS: u32 = 10;
const MOST: f64 = 1.3;
