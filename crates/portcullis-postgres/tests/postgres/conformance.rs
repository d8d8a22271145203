//! The Postgres store keeps the promises of its traits.

use std::sync::Arc;
use std::time::SystemTime;

use portcullis_core::password::PasswordHash;
use portcullis_core::store::{RefreshStore, ThrottleStore, TokenHash, TokenStore};
use portcullis_core::{Claims, Credential, CredentialStore, UserId, Username};
use portcullis_postgres::PostgresStore;
use portcullis_testkit::{
    Outcome, Subject, check, credential_store, race_of_processes_over_attempts,
    race_of_processes_over_families, race_of_processes_over_tokens, race_of_processes_over_users,
    refresh_store, throttle_store, token_store,
};
use portcullis_testservers::postgres;

use crate::schema::{Schema, run};

mod users_of_one_process {
    portcullis_testkit::credential_store_suite!(super::users(1));
}

mod users_of_two_processes {
    portcullis_testkit::credential_store_suite!(super::users(2));
}

mod tokens_of_one_process {
    portcullis_testkit::token_store_suite!(super::tokens(1));
}

mod tokens_of_two_processes {
    portcullis_testkit::token_store_suite!(super::tokens(2));
}

mod throttle_of_one_process {
    portcullis_testkit::throttle_store_suite!(super::throttle(1));
}

mod throttle_of_two_processes {
    portcullis_testkit::throttle_store_suite!(super::throttle(2));
}

mod refresh_of_one_process {
    portcullis_testkit::refresh_store_suite!(super::refresh(1));
}

mod refresh_of_two_processes {
    portcullis_testkit::refresh_store_suite!(super::refresh(2));
}

#[test]
fn of_processes_that_race_over_families_one_wins() -> Outcome {
    let schema = Schema::new();
    race_of_processes_over_families(
        "conformance::of_processes_that_race_over_families_one_wins",
        &schema.url(),
        open_migrated,
    )
}

#[test]
fn of_processes_that_race_over_users_one_wins() -> Outcome {
    let schema = Schema::new();
    race_of_processes_over_users(
        "conformance::of_processes_that_race_over_users_one_wins",
        &schema.url(),
        open_migrated,
    )
}

#[test]
fn of_processes_that_race_over_tokens_one_wins() -> Outcome {
    let schema = Schema::new();
    race_of_processes_over_tokens(
        "conformance::of_processes_that_race_over_tokens_one_wins",
        &schema.url(),
        open_migrated,
    )
}

#[test]
fn of_processes_that_race_over_attempts_one_wins() -> Outcome {
    let schema = Schema::new();
    race_of_processes_over_attempts(
        "conformance::of_processes_that_race_over_attempts_one_wins",
        &schema.url(),
        open_migrated,
    )
}

#[test]
fn a_closed_pool_is_unavailable() -> Outcome {
    // Nothing is asked of the server, so that it need not have the tables.
    let closed = async || {
        let store = PostgresStore::connect(&postgres::url()).await.unwrap();
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
        "password_hash = '\\xff'",
        "status = 'asleep'",
        "scopes = '{NULL}'",
        "scopes = '{\"\\\\xff\"}'",
        "scopes = '{{read},{write}}'",
        "tokens_valid_from = '-infinity'",
        "tokens_valid_from = '1969-12-31 23:59:59Z'",
    ] {
        let alice = Credential::new(UserId::new("1"), Username::new("alice"));
        check(
            async {
                let schema = Schema::new();
                let store = schema.migrated().await;
                store.create(&alice).await.unwrap();
                let sql = format!("UPDATE \"{}\".users SET {nonsense}", schema.name);
                run(store.pool(), sql).await;
                Subject::from(store).keeping(schema)
            },
            async |subject| credential_store::an_unreadable_user_is_corrupt(subject, &alice).await,
        )?;
    }
    for nonsense in [
        "iss = '\\xff'",
        "sub = '\\xff'",
        "aud = '{NULL}'",
        "exp = '-infinity'",
        "cut_off = '-infinity'",
        "extra = '[]'",
        "iat = '-infinity'",
        "jti = '\\xff'",
        "client_id = '\\xff'",
        "scopes = '{NULL}'",
    ] {
        let hash = TokenHash::of("token");
        check(
            async {
                let schema = Schema::new();
                let store = schema.migrated().await;
                TokenStore::insert(&store, &hash, &claims()).await.unwrap();
                let sql = format!("UPDATE \"{}\".tokens SET {nonsense}", schema.name);
                run(store.pool(), sql).await;
                Subject::from(store).keeping(schema)
            },
            async |subject| token_store::an_unreadable_token_is_corrupt(subject, &hash).await,
        )?;
    }
    Ok(())
}

#[tokio::test]
async fn errors_do_not_show_what_is_stored() {
    let schema = Schema::new();
    let store = schema.migrated().await;
    let alice = Credential::new(UserId::new("1"), Username::new("alice"))
        .with_password_hash(PasswordHash::new("$secret$"));
    store.create(&alice).await.unwrap();
    let taken = store.create(&alice).await.unwrap_err();
    assert_eq!(
        taken.to_string(),
        "already exists: the username or the user id is taken"
    );
    assert!(!format!("{taken:?}").contains("$secret$"));

    // The server quotes the whole row here.
    let sql = format!(
        "ALTER TABLE \"{}\".users ADD CHECK (password_hash = '$secret$')",
        schema.name
    );
    run(store.pool(), sql).await;
    let new = PasswordHash::new("$hidden$");
    let refused = store
        .replace_hash(&alice.user_id, &PasswordHash::new("$secret$"), &new)
        .await
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        "internal: the database refuses the statement"
    );
    let hidden = ["hidden", "68696464656e", "secret", "736563726574"];
    let shown = format!("{refused:?}");
    assert!(!hidden.iter().any(|hash| shown.contains(hash)), "{shown}");
}

/// As a node does at start-up.
async fn open_migrated(url: &str) -> Arc<PostgresStore> {
    let store = PostgresStore::connect(url).await.unwrap();
    store.migrate().await.unwrap();
    Arc::new(store)
}

fn claims() -> Claims {
    Claims::new(
        "https://login.example".to_owned(),
        UserId::new("alice"),
        vec!["https://api.example".to_owned()],
        SystemTime::UNIX_EPOCH,
        SystemTime::UNIX_EPOCH,
        "1".to_owned(),
    )
}

async fn users(pools: usize) -> Subject<dyn CredentialStore> {
    let (first, others, schema) = handles(pools).await;
    let mut subject: Subject<dyn CredentialStore> = first.into();
    for store in others {
        subject = subject.also(Arc::new(store));
    }
    subject.keeping(schema)
}

async fn refresh(pools: usize) -> Subject<dyn RefreshStore> {
    let (first, others, schema) = handles(pools).await;
    let mut subject: Subject<dyn RefreshStore> = first.into();
    for store in others {
        subject = subject.also(Arc::new(store));
    }
    subject.keeping(schema)
}

async fn throttle(pools: usize) -> Subject<dyn ThrottleStore> {
    let (first, others, schema) = handles(pools).await;
    let mut subject: Subject<dyn ThrottleStore> = first.into();
    for store in others {
        subject = subject.also(Arc::new(store));
    }
    subject.keeping(schema)
}

async fn tokens(pools: usize) -> Subject<dyn TokenStore> {
    let (first, others, schema) = handles(pools).await;
    let mut subject: Subject<dyn TokenStore> = first.into();
    for store in others {
        subject = subject.also(Arc::new(store));
    }
    subject.keeping(schema)
}

/// A store in a new schema, through several pools: Postgres tells them from processes by nothing.
async fn handles(pools: usize) -> (PostgresStore, Vec<PostgresStore>, Schema) {
    let schema = Schema::new();
    let first = schema.migrated().await;
    let mut others = Vec::new();
    for _ in 1..pools {
        others.push(PostgresStore::open(&schema.url()).await.unwrap());
    }
    (first, others, schema)
}
