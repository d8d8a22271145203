//! The Postgres store keeps the promises of its traits.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::sync::Arc;

use portcullis_core::{Credential, CredentialStore, PasswordHash, UserId, Username};
use portcullis_postgres::PostgresStore;
use portcullis_testkit::{Outcome, Subject, check, credential_store};

use crate::common::{Schema, run};

mod common;

mod of_one_process {
    portcullis_testkit::credential_store_suite!(super::handles(1));
}

mod of_two_processes {
    portcullis_testkit::credential_store_suite!(super::handles(2));
}

#[test]
fn a_closed_pool_is_unavailable() -> Outcome {
    check(
        async {
            let schema = Schema::new();
            let store = schema.migrated().await;
            store.pool().close().await;
            Subject::from(store).keeping(schema)
        },
        credential_store::an_unreachable_store_is_unavailable,
    )
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
        "internal: the user database refuses the statement"
    );
    let hidden = ["hidden", "68696464656e", "secret", "736563726574"];
    let shown = format!("{refused:?}");
    assert!(!hidden.iter().any(|hash| shown.contains(hash)), "{shown}");
}

/// A store in a new schema, through several pools: Postgres tells them from processes by nothing.
async fn handles(pools: usize) -> Subject<dyn CredentialStore> {
    let schema = Schema::new();
    let mut subject = Subject::from(schema.migrated().await);
    for _ in 1..pools {
        let store = PostgresStore::open(&schema.url()).await.unwrap();
        subject = subject.also(Arc::new(store));
    }
    subject.keeping(schema)
}
