//! The SQLite store keeps the promises of its trait.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::sync::Arc;
use std::time::Duration;

use portcullis_core::{Credential, CredentialStore, ErrorKind, PasswordHash, UserId, Username};
use portcullis_sqlite::{SqlitePool, SqliteStore};
use portcullis_testkit::{Outcome, Subject, check, credential_store};
use sqlx::sqlite::SqliteConnectOptions;
use tempfile::TempDir;

mod in_a_file {
    portcullis_testkit::credential_store_suite!(super::handles(1));
}

mod in_a_file_of_two_processes {
    portcullis_testkit::credential_store_suite!(super::handles(2));
}

mod in_memory {
    use portcullis_sqlite::SqliteStore;

    portcullis_testkit::credential_store_suite!(async {
        SqliteStore::open("sqlite::memory:").await.unwrap()
    });
}

#[test]
fn a_closed_pool_is_unavailable() -> Outcome {
    check(
        async {
            let store = SqliteStore::open("sqlite::memory:").await.unwrap();
            store.pool().close().await;
            store
        },
        credential_store::an_unreachable_store_is_unavailable,
    )
}

#[test]
fn a_row_that_makes_no_sense_is_corrupt() -> Outcome {
    for nonsense in [
        "password_hash = CAST(x'ff' AS TEXT)",
        "status = 'asleep'",
        "scopes = 'read write'",
        "scopes = '{}'",
        "scopes = '[1]'",
        "tokens_valid_from = -1",
    ] {
        let alice = Credential::new(UserId::new("1"), Username::new("alice"));
        check(
            async {
                let store = SqliteStore::open("sqlite::memory:").await.unwrap();
                store.create(&alice).await.unwrap();
                let sql = format!("UPDATE portcullis_users SET {nonsense}");
                sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
                    .execute(store.pool())
                    .await
                    .unwrap();
                store
            },
            async |subject| credential_store::an_unreadable_user_is_corrupt(subject, &alice).await,
        )?;
    }
    Ok(())
}

#[tokio::test]
async fn a_locked_database_is_unavailable_until_it_is_free() {
    let directory = tempfile::tempdir().unwrap();
    let other = SqliteStore::open(&url(&directory)).await.unwrap();
    let options = SqliteConnectOptions::new()
        .filename(directory.path().join("users.db"))
        .busy_timeout(Duration::ZERO);
    let store = SqliteStore::new(SqlitePool::connect_with(options).await.unwrap());
    let alice = Credential::new(UserId::new("1"), Username::new("alice"));

    let lock = other.pool().begin_with("BEGIN IMMEDIATE").await.unwrap();
    let refused = store.create(&alice).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert_eq!(store.find(&alice.username).await.unwrap(), None);

    lock.rollback().await.unwrap();
    store.create(&alice).await.unwrap();
}

#[tokio::test]
async fn an_exhausted_pool_is_unavailable() -> Outcome {
    let store = SqliteStore::open("sqlite::memory:").await.unwrap();
    let connection = store.pool().acquire().await.unwrap();
    // Time now jumps to the end of each wait.
    tokio::time::pause();
    let subject = Subject::from(store).keeping(connection);
    credential_store::an_unreachable_store_is_unavailable(&subject).await
}

#[tokio::test]
async fn errors_do_not_show_what_is_stored() {
    let store = SqliteStore::open("sqlite::memory:").await.unwrap();
    let alice = Credential::new(UserId::new("1"), Username::new("alice"))
        .with_password_hash(PasswordHash::new("$secret$"));
    store.create(&alice).await.unwrap();
    let taken = store.create(&alice).await.unwrap_err();
    assert_eq!(
        taken.to_string(),
        "already exists: the username or the user id is taken"
    );
    assert!(!format!("{taken:?}").contains("$secret$"));
}

/// A store in a new file, through several pools: SQLite tells them from processes by nothing.
async fn handles(pools: usize) -> Subject<dyn CredentialStore> {
    let directory = tempfile::tempdir().unwrap();
    let url = url(&directory);
    let mut subject = Subject::from(SqliteStore::open(&url).await.unwrap());
    for _ in 1..pools {
        subject = subject.also(Arc::new(SqliteStore::open(&url).await.unwrap()));
    }
    subject.keeping(directory)
}

fn url(directory: &TempDir) -> String {
    format!("sqlite://{}", directory.path().join("users.db").display())
}
