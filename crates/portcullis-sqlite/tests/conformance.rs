//! The SQLite store keeps the promises of its traits.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portcullis_core::password::PasswordHash;
use portcullis_core::store::{RefreshStore, ThrottleStore, TokenHash, TokenStore};
use portcullis_core::{Claims, Credential, CredentialStore, ErrorKind, UserId, Username};
use portcullis_sqlite::{SqlitePool, SqliteStore};
use portcullis_testkit::{
    Outcome, Subject, check, credential_store, race_of_processes_over_attempts,
    race_of_processes_over_families, race_of_processes_over_tokens, race_of_processes_over_users,
    refresh_store, throttle_store, token_store,
};
use sqlx::sqlite::SqliteConnectOptions;
use tempfile::TempDir;

mod users_in_a_file {
    portcullis_testkit::credential_store_suite!(super::users(1));
}

mod users_in_a_file_of_two_processes {
    portcullis_testkit::credential_store_suite!(super::users(2));
}

mod users_in_memory {
    portcullis_testkit::credential_store_suite!(super::in_memory());
}

mod tokens_in_a_file {
    portcullis_testkit::token_store_suite!(super::tokens(1));
}

mod tokens_in_a_file_of_two_processes {
    portcullis_testkit::token_store_suite!(super::tokens(2));
}

mod tokens_in_memory {
    portcullis_testkit::token_store_suite!(super::in_memory());
}

mod throttle_in_a_file {
    portcullis_testkit::throttle_store_suite!(super::throttle(1));
}

mod throttle_in_a_file_of_two_processes {
    portcullis_testkit::throttle_store_suite!(super::throttle(2));
}

mod throttle_in_memory {
    portcullis_testkit::throttle_store_suite!(super::in_memory());
}

mod refresh_in_a_file {
    portcullis_testkit::refresh_store_suite!(super::refresh(1));
}

mod refresh_in_a_file_of_two_processes {
    portcullis_testkit::refresh_store_suite!(super::refresh(2));
}

mod refresh_in_memory {
    portcullis_testkit::refresh_store_suite!(super::in_memory());
}

#[test]
fn of_processes_that_race_over_families_one_wins() -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    race_of_processes_over_families(
        "of_processes_that_race_over_families_one_wins",
        &url(&directory),
        async |url| Arc::new(SqliteStore::open(url).await.unwrap()),
    )
}

#[test]
fn of_processes_that_race_over_users_one_wins() -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    race_of_processes_over_users(
        "of_processes_that_race_over_users_one_wins",
        &url(&directory),
        async |url| Arc::new(SqliteStore::open(url).await.unwrap()),
    )
}

#[test]
fn of_processes_that_race_over_tokens_one_wins() -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    race_of_processes_over_tokens(
        "of_processes_that_race_over_tokens_one_wins",
        &url(&directory),
        async |url| Arc::new(SqliteStore::open(url).await.unwrap()),
    )
}

#[test]
fn of_processes_that_race_over_attempts_one_wins() -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    race_of_processes_over_attempts(
        "of_processes_that_race_over_attempts_one_wins",
        &url(&directory),
        async |url| Arc::new(SqliteStore::open(url).await.unwrap()),
    )
}

#[test]
fn a_closed_pool_is_unavailable() -> Outcome {
    let closed = async || {
        let store = in_memory().await;
        store.pool().close().await;
        store
    };
    check(
        closed(),
        credential_store::an_unreachable_store_is_unavailable,
    )?;
    check(
        closed(),
        throttle_store::an_unreachable_store_is_unavailable,
    )?;
    check(closed(), refresh_store::an_unreachable_store_is_unavailable)?;
    check(closed(), token_store::an_unreachable_store_is_unavailable)
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
                let store = in_memory().await;
                store.create(&alice).await.unwrap();
                run(&store, format!("UPDATE portcullis_users SET {nonsense}")).await;
                store
            },
            async |subject| credential_store::an_unreadable_user_is_corrupt(subject, &alice).await,
        )?;
    }
    for nonsense in [
        "iss = CAST(x'ff' AS TEXT)",
        "sub = CAST(x'ff' AS TEXT)",
        "aud = 'api'",
        "exp = -1",
        "cut_off = -1",
        "extra = '[]'",
        "iat = -1",
        "jti = CAST(x'ff' AS TEXT)",
        "client_id = CAST(x'ff' AS TEXT)",
        "scopes = 'read write'",
    ] {
        let hash = TokenHash::of("token");
        check(
            async {
                let store = in_memory().await;
                TokenStore::insert(&store, &hash, &claims()).await.unwrap();
                run(&store, format!("UPDATE portcullis_tokens SET {nonsense}")).await;
                store
            },
            async |subject| token_store::an_unreadable_token_is_corrupt(subject, &hash).await,
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
    let found = CredentialStore::find(&store, &alice.username).await;
    assert_eq!(found.unwrap(), None);

    lock.rollback().await.unwrap();
    store.create(&alice).await.unwrap();
}

#[tokio::test]
async fn an_exhausted_pool_is_unavailable() -> Outcome {
    let store = in_memory().await;
    let connection = store.pool().acquire().await.unwrap();
    // Time now jumps to the end of each wait.
    tokio::time::pause();
    let subject = Subject::from(store).keeping(connection);
    credential_store::an_unreachable_store_is_unavailable(&subject).await
}

#[tokio::test]
async fn errors_do_not_show_what_is_stored() {
    let store = in_memory().await;
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

async fn users(pools: usize) -> Subject<dyn CredentialStore> {
    in_a_file::<dyn CredentialStore>(pools, |store| Arc::new(store)).await
}

async fn refresh(pools: usize) -> Subject<dyn RefreshStore> {
    in_a_file::<dyn RefreshStore>(pools, |store| Arc::new(store)).await
}

async fn throttle(pools: usize) -> Subject<dyn ThrottleStore> {
    in_a_file::<dyn ThrottleStore>(pools, |store| Arc::new(store)).await
}

async fn tokens(pools: usize) -> Subject<dyn TokenStore> {
    in_a_file::<dyn TokenStore>(pools, |store| Arc::new(store)).await
}

/// A store in a new file, through several pools: SQLite tells them from processes by nothing.
async fn in_a_file<T: ?Sized>(pools: usize, handle: fn(SqliteStore) -> Arc<T>) -> Subject<T> {
    let directory = tempfile::tempdir().unwrap();
    let url = url(&directory);
    let mut subject = Subject::of(handle(SqliteStore::open(&url).await.unwrap()));
    for _ in 1..pools {
        subject = subject.also(handle(SqliteStore::open(&url).await.unwrap()));
    }
    subject.keeping(directory)
}

async fn in_memory() -> SqliteStore {
    SqliteStore::open("sqlite::memory:").await.unwrap()
}

async fn run(store: &SqliteStore, sql: String) {
    let sql = sqlx::raw_sql(sqlx::AssertSqlSafe(sql));
    sql.execute(store.pool()).await.unwrap();
}

fn claims() -> Claims {
    Claims::new(
        "iss".to_owned(),
        UserId::new("1"),
        vec!["aud".to_owned()],
        SystemTime::UNIX_EPOCH,
        SystemTime::UNIX_EPOCH,
        "jti".to_owned(),
    )
}

fn url(directory: &TempDir) -> String {
    format!("sqlite://{}", directory.path().join("users.db").display())
}
