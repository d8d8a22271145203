//! Opening, checking and migrating databases.

use std::str::FromStr;

use portcullis_core::{Credential, CredentialStore, ErrorKind, UserId, Username};
use portcullis_postgres::{PgPool, PostgresStore, TableMapping};
use portcullis_testservers::postgres;
use sqlx::postgres::PgConnectOptions;
use tokio::task::JoinSet;

use crate::schema::{Schema, run};

#[tokio::test]
async fn opening_creates_nothing_and_says_that_migrating_is_due() {
    let schema = Schema::new();
    let error = PostgresStore::open(&schema.url()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "invalid configuration: the tables in the schema \"{}\" are not there or not up to \
             date: migrate",
            schema.name
        )
    );
    let store = PostgresStore::connect(&schema.url()).await.unwrap();
    assert_eq!(tables(store.pool(), &schema).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_who_migrate_at_the_same_time_find_the_tables_there() {
    let schema = Schema::new();
    let nodes: Vec<_> = (0..16)
        .map(|number: usize| {
            let url = schema.url();
            tokio::spawn(async move {
                let store = PostgresStore::connect(&url).await.unwrap();
                store.migrate().await.unwrap();
                let name = number.to_string();
                let user = Credential::new(UserId::new(&*name), Username::new(&*name));
                store.create(&user).await.unwrap();
            })
        })
        .collect();
    for node in nodes {
        node.await.unwrap();
    }
    let store = PostgresStore::open(&schema.url()).await.unwrap();
    assert_eq!(store.list(None, 100).await.unwrap().len(), 16);
}

#[tokio::test]
async fn nodes_migrate_at_the_same_time_in_a_database_of_stricter_isolation() {
    let schema = Schema::new();
    let strict = PgConnectOptions::from_str(&postgres::url())
        .unwrap()
        .options([("default_transaction_isolation", "serializable")]);
    let pool = PgPool::connect_with(strict).await.unwrap();
    let store = PostgresStore::new(pool).with_schema(&schema.name).unwrap();
    let mut nodes = JoinSet::new();
    for _ in 0..8 {
        let node = store.clone();
        nodes.spawn(async move { node.migrate().await.unwrap() });
    }
    nodes.join_all().await;
    PostgresStore::open(&schema.url()).await.unwrap();
}

#[tokio::test]
async fn a_pool_that_would_let_statements_pile_up_or_fail_is_refused() {
    let schema = Schema::new();
    schema.migrated().await;
    for (timeout, isolation, sentence) in [
        (
            "0",
            "read committed",
            "the connections have no `statement_timeout`, and statements that nobody waits for \
             would pile up at the server: give them one, such as a second",
        ),
        (
            "1000",
            "serializable",
            "the connections do not have the transaction isolation `read committed`, and changes \
             at the same time would fail: set `default_transaction_isolation`",
        ),
    ] {
        let server = PgConnectOptions::from_str(&postgres::url()).unwrap();
        let server = server.options([
            ("statement_timeout", timeout),
            ("default_transaction_isolation", isolation),
        ]);
        let pool = PgPool::connect_with(server).await.unwrap();
        let store = PostgresStore::new(pool).with_schema(&schema.name).unwrap();
        let errors = [
            store.check().await.unwrap_err(),
            store.table(&TableMapping::new("users")).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            assert_eq!(error.message(), sentence);
        }
    }
}

#[tokio::test]
async fn migrating_again_changes_nothing() {
    let schema = Schema::new();
    let store = schema.migrated().await;
    store.create(&alice()).await.unwrap();
    let before = tables(store.pool(), &schema).await;
    store.migrate().await.unwrap();
    assert_eq!(tables(store.pool(), &schema).await, before);
    let found = store.find(&alice().username).await.unwrap();
    assert_eq!(found, Some(alice()));
}

#[tokio::test]
async fn a_schema_that_an_application_uses_too_keeps_what_is_in_it() {
    let schema = Schema::new();
    let store = PostgresStore::connect(&schema.url()).await.unwrap();
    let sql = format!(
        "CREATE SCHEMA \"{0}\"; CREATE TABLE \"{0}\".articles (id bigint)",
        schema.name
    );
    run(store.pool(), sql).await;
    store.migrate().await.unwrap();
    assert_eq!(
        tables(store.pool(), &schema).await,
        [
            "articles",
            "migrations",
            "refresh",
            "throttle",
            "tokens",
            "users"
        ]
    );
}

#[tokio::test]
async fn a_role_that_may_create_nothing_migrates_what_is_migrated() {
    let schema = Schema::new();
    let name = &schema.name;
    let store = schema.migrated().await;
    run(
        store.pool(),
        format!(
            "CREATE ROLE \"{name}\"; GRANT USAGE ON SCHEMA \"{name}\" TO \"{name}\"; \
             GRANT ALL ON ALL TABLES IN SCHEMA \"{name}\" TO \"{name}\""
        ),
    )
    .await;
    let other = Schema::new();
    let role = PgConnectOptions::from_str(&postgres::url())
        .unwrap()
        .options([("role", &**name), ("statement_timeout", "1000")]);
    let limited = PostgresStore::new(PgPool::connect_with(role).await.unwrap());

    let here = limited.clone().with_schema(name).unwrap();
    here.check().await.unwrap();
    here.migrate().await.unwrap();
    here.create(&alice()).await.unwrap();

    let there = limited.clone().with_schema(&other.name).unwrap();
    let error = there.migrate().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid configuration: this user of Postgres may not do what is needed: grant it the \
         rights, or use another"
    );

    limited.pool().close().await;
    let sql = format!("DROP OWNED BY \"{name}\"; DROP ROLE \"{name}\"");
    run(store.pool(), sql).await;
}

#[tokio::test]
async fn a_database_of_a_later_version_is_refused() {
    let schema = Schema::new();
    let store = schema.migrated().await;
    let sql = format!("INSERT INTO \"{}\".migrations VALUES (99)", schema.name);
    run(store.pool(), sql).await;
    for refused in [store.migrate().await, store.check().await] {
        assert_eq!(
            refused.unwrap_err().to_string(),
            "invalid configuration: a later version of portcullis migrated the database: use \
             that or a later one"
        );
    }
}

#[tokio::test]
async fn a_name_is_taken_as_it_is() {
    let schema = Schema::new();
    let store = PostgresStore::new(PgPool::connect(&postgres::url()).await.unwrap());
    let name = format!("{}\"; DROP", schema.name);
    let store = store.with_schema(&name).unwrap();
    store.migrate().await.unwrap();
    store.create(&alice()).await.unwrap();
    let found = store.find(&alice().username).await.unwrap();
    assert_eq!(found, Some(alice()));
    let sql = format!("DROP SCHEMA \"{}\" CASCADE", name.replace('"', "\"\""));
    run(store.pool(), sql).await;

    for name in ["", "a\0b", &"a".repeat(64)] {
        let error = store.clone().with_schema(name).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    }
}

#[tokio::test]
async fn a_url_that_makes_no_sense_is_said_in_a_sentence() {
    let options = "a Postgres URL has no other options than `acquire_timeout_ms`, \
                   `application_name`, `host`, `pool_size`, `schema`, `sslcert`, `sslkey`, \
                   `sslmode`, `sslrootcert` and `statement_timeout_ms`";
    let timeout = "a time-out is a number of milliseconds from 1 to 60000";
    let nonsense = "the Postgres URL makes no sense: escape special characters in the user name \
                    and the password with `%`, and check the options";
    for (url, sentence) in [
        (
            "sqlite://users.db",
            "a Postgres URL is `postgres://USER:PASSWORD@HOST:PORT/DATABASE`",
        ),
        (
            "postgres:users",
            "a Postgres URL is `postgres://USER:PASSWORD@HOST:PORT/DATABASE`",
        ),
        ("postgres://a:secret/1@localhost/b", nonsense),
        ("postgres://a:7?secret@localhost/b", options),
        ("postgres://localhost/b?cache=1", options),
        ("postgres://localhost/b?schema", options),
        ("postgres://localhost/b?password=secret", options),
        ("postgres://localhost/b?sslmode=secret", nonsense),
        (
            "postgres://localhost/b?schema=",
            "the name of a schema, table or column has 1 to 63 bytes",
        ),
        ("postgres://localhost/b?schema=%ff", "`schema` is not UTF-8"),
        (
            "postgres://localhost/b?pool_size=0",
            "`pool_size` is a number from 1 to 1000",
        ),
        ("postgres://localhost/b?acquire_timeout_ms=0", timeout),
        ("postgres://localhost/b?statement_timeout_ms=60001", timeout),
    ] {
        let error = PostgresStore::open(url).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{url}");
        assert_eq!(error.message(), sentence);
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }
}

#[tokio::test]
async fn the_time_outs_and_the_size_of_the_pool_are_those_of_the_url() {
    let schema = Schema::new();
    let url = format!(
        "{}&pool_size=3&acquire_timeout_ms=250&statement_timeout_ms=1234&application_name=here",
        schema.url()
    );
    let store = PostgresStore::connect(&url).await.unwrap();
    let options = store.pool().options();
    assert_eq!(options.get_max_connections(), 3);
    assert_eq!(options.get_acquire_timeout().as_millis(), 250);
    let settings: (String, String) = sqlx::query_as(
        "SELECT current_setting('statement_timeout'), current_setting('application_name')",
    )
    .fetch_one(store.pool())
    .await
    .unwrap();
    assert_eq!(settings, ("1234ms".to_owned(), "here".to_owned()));
}

fn alice() -> Credential {
    Credential::new(UserId::new("1"), Username::new("alice"))
}

async fn tables(pool: &PgPool, schema: &Schema) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT tablename::text FROM pg_tables WHERE schemaname = $1 ORDER BY tablename",
    )
    .bind(&schema.name)
    .fetch_all(pool)
    .await
    .unwrap()
}
