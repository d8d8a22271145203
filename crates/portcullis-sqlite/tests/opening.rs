//! Opening, creating and migrating databases.

#![cfg(unix)] // Permissions are looked at.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use portcullis_core::store::TokenStore;
use portcullis_core::{Credential, CredentialStore, ErrorKind, UserId, Username};
use portcullis_sqlite::{SqlitePool, SqliteStore};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

#[tokio::test]
async fn a_new_database_is_for_its_owner_only_and_alone_in_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&url(directory.path())).await.unwrap();
    store.create(&alice()).await.unwrap();
    for name in ["users.db", "users.db-wal", "users.db-shm"] {
        let metadata = fs::metadata(directory.path().join(name)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{name}");
    }

    store.pool().close().await;
    assert_eq!(names_in(directory.path()), ["users.db"]);
}

#[tokio::test]
async fn a_database_keeps_its_users_when_it_is_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&url(directory.path())).await.unwrap();
    store.create(&alice()).await.unwrap();
    store.pool().close().await;

    let store = SqliteStore::open(&format!("{}?mode=rw", url(directory.path())))
        .await
        .unwrap();
    store.migrate().await.unwrap();
    let found = CredentialStore::find(&store, &alice().username).await;
    assert_eq!(found.unwrap(), Some(alice()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_who_create_one_database_at_the_same_time_use_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let url = url(directory.path());
    let openers: Vec<_> = (0..16)
        .map(|number: usize| {
            let url = url.clone();
            tokio::spawn(async move {
                let store = SqliteStore::open(&url).await.unwrap();
                let name = number.to_string();
                let user = Credential::new(UserId::new(&*name), Username::new(&*name));
                store.create(&user).await.unwrap();
                store.pool().close().await;
            })
        })
        .collect();
    for opener in openers {
        opener.await.unwrap();
    }
    let store = SqliteStore::open(&url).await.unwrap();
    assert_eq!(store.list(None, 100).await.unwrap().len(), 16);
    store.pool().close().await;
    assert_eq!(names_in(directory.path()), ["users.db"]);
}

#[tokio::test]
async fn a_path_is_taken_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    for (path, name) in [
        ("50%25%20?mode=rwc", "50% "),
        ("a%3Fb", "a?b"),
        ("%23", "#"),
    ] {
        let url = format!("sqlite://{}/{path}", directory.path().display());
        SqliteStore::open(&url).await.unwrap().pool().close().await;
        let path = directory.path().join(name);
        fs::remove_file(&path).unwrap();
    }
}

#[tokio::test]
async fn what_cannot_be_opened_is_said_in_a_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path().display();
    fs::write(
        directory.path().join("notes.txt"),
        "not a database\n".repeat(99),
    )
    .unwrap();
    fs::write(directory.path().join("gone.db-wal"), "committed work").unwrap();
    let before = names_in(directory.path());

    for (url, sentence) in [
        (
            "postgres://alice:secret@localhost".to_owned(),
            "a SQLite URL is `sqlite://PATH` or `sqlite::memory:`".to_owned(),
        ),
        (
            "sqlite://".to_owned(),
            "a SQLite URL is `sqlite://PATH` or `sqlite::memory:`".to_owned(),
        ),
        (
            "sqlite://%ff".to_owned(),
            "the path is not UTF-8".to_owned(),
        ),
        (
            format!("sqlite://{here}/a.db?cache=shared"),
            "a SQLite URL has no other options than `mode` and `timeout_ms`".to_owned(),
        ),
        (
            format!("sqlite://{here}/a.db?mode=ro"),
            "`mode` is `rw` or `rwc`".to_owned(),
        ),
        (
            format!("sqlite://{here}/a.db?timeout_ms=0"),
            "`timeout_ms` is a number from 1 to 60000".to_owned(),
        ),
        (
            format!("sqlite://{here}/a.db?mode=rw"),
            format!("{here}/a.db does not exist: check the path, or create it with `mode=rwc`"),
        ),
        (
            format!("sqlite://{here}/absent/a.db"),
            format!("there is no directory {here}/absent: create it, or choose another path"),
        ),
        (
            format!("sqlite://{here}/notes.txt/a.db"),
            format!("there is no directory {here}/notes.txt: create it, or choose another path"),
        ),
        (
            format!("sqlite://{here}/notes.txt"),
            format!("{here}/notes.txt is not a SQLite database: choose another path"),
        ),
        (
            format!("sqlite://{here}"),
            format!(
                "{here} cannot be read and written: allow it, for the file and its directory, \
                 or choose another path"
            ),
        ),
        (
            format!("sqlite://{here}/gone.db"),
            format!(
                "{here}/gone.db-wal is left over from a database that is gone: bring that back, \
                 or move this away"
            ),
        ),
    ] {
        let error = SqliteStore::open(&url).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{url}");
        assert_eq!(error.message(), sentence);
    }
    assert_eq!(names_in(directory.path()), before);
}

/// Nobody can make a file there, root included.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_directory_that_cannot_be_written_is_said_in_a_sentence() {
    let error = SqliteStore::open("sqlite:///proc/users.db")
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid configuration: /proc/users.db cannot be read and written: allow it, for the \
         file and its directory, or choose another path"
    );
}

#[tokio::test]
async fn a_damaged_database_is_corrupt() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&url(directory.path())).await.unwrap();
    store.create(&alice()).await.unwrap();
    store.pool().close().await;

    let path = directory.path().join("users.db");
    let mut bytes = fs::read(&path).unwrap();
    bytes[100..].fill(0xff);
    fs::write(&path, bytes).unwrap();
    let error = SqliteStore::open(&url(directory.path())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn an_application_database_is_not_touched_beyond_its_own_tables() {
    let pool = in_memory().await;
    run(&pool, "CREATE TABLE users (id INTEGER PRIMARY KEY)").await;
    run(&pool, "CREATE TABLE _sqlx_migrations (version INTEGER)").await;
    run(&pool, "INSERT INTO _sqlx_migrations VALUES (7)").await;
    run(&pool, "PRAGMA user_version = 3").await;

    let store = SqliteStore::new(pool.clone());
    assert_eq!(
        store
            .find_by_id(&alice().user_id)
            .await
            .unwrap_err()
            .to_string(),
        "internal: the database refuses the statement; was it migrated?"
    );
    store.migrate().await.unwrap();
    store.migrate().await.unwrap();
    store.create(&alice()).await.unwrap();

    let tables: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(
        tables,
        [
            "_sqlx_migrations",
            "portcullis_migrations",
            "portcullis_refresh",
            "portcullis_throttle",
            "portcullis_tokens",
            "portcullis_users",
            "users"
        ]
    );
    let theirs: (i64, i64) =
        sqlx::query_as("SELECT version, user_version FROM _sqlx_migrations, pragma_user_version")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(theirs, (7, 3));
}

#[tokio::test]
async fn a_database_of_the_first_version_is_brought_up_to_date() {
    let pool = in_memory().await;
    run(&pool, include_str!("../migrations/0001_users.sql")).await;
    run(
        &pool,
        "CREATE TABLE portcullis_migrations (version INTEGER PRIMARY KEY) STRICT",
    )
    .await;
    run(&pool, "INSERT INTO portcullis_migrations VALUES (1)").await;
    let store = SqliteStore::new(pool);
    store.create(&alice()).await.unwrap();

    store.migrate().await.unwrap();
    assert_eq!(store.revoke_all(&alice().user_id).await.unwrap(), 0);
    let found = CredentialStore::find(&store, &alice().username).await;
    assert_eq!(found.unwrap(), Some(alice()));
}

#[tokio::test]
async fn a_database_of_a_later_version_or_in_utf_16_is_refused() {
    let later = SqliteStore::open("sqlite::memory:").await.unwrap();
    run(
        later.pool(),
        "INSERT INTO portcullis_migrations VALUES (99)",
    )
    .await;
    assert_eq!(
        later.migrate().await.unwrap_err().to_string(),
        "invalid configuration: a later version of portcullis migrated the database: use that \
         or a later one"
    );

    let pool = in_memory().await;
    run(&pool, "PRAGMA encoding = 'UTF-16le'").await;
    let utf_16 = SqliteStore::new(pool);
    assert_eq!(
        utf_16.migrate().await.unwrap_err().to_string(),
        "invalid configuration: the database is not in UTF-8: use one made with `PRAGMA \
         encoding = 'UTF-8'`"
    );
}

#[tokio::test]
async fn a_database_that_cannot_be_written_any_more_is_unavailable() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&url(directory.path())).await.unwrap();
    let options = SqliteConnectOptions::new()
        .filename(directory.path().join("users.db"))
        .read_only(true);
    let read_only = SqliteStore::new(SqlitePool::connect_with(options).await.unwrap());

    store.create(&alice()).await.unwrap();
    let found = CredentialStore::find(&read_only, &alice().username).await;
    assert_eq!(found.unwrap(), Some(alice()));
    let error = read_only.delete(&alice().user_id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

fn alice() -> Credential {
    Credential::new(UserId::new("1"), Username::new("alice"))
}

fn url(directory: &Path) -> String {
    format!("sqlite://{}/users.db", directory.display())
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

async fn in_memory() -> SqlitePool {
    let options = SqliteConnectOptions::new();
    let pool = SqlitePoolOptions::new().max_connections(1);
    pool.connect_with(options).await.unwrap()
}

async fn run(pool: &SqlitePool, sql: &'static str) {
    sqlx::raw_sql(sql).execute(pool).await.unwrap();
}
