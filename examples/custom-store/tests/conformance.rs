//! The store has every property that the core relies on.

use std::fs::{self, File};
use std::sync::Arc;

use custom_store::JsonFileStore;
use portcullis_core::{Credential, CredentialStore, ErrorKind, UserId, Username};
use portcullis_testkit::{Outcome, Subject, check, credential_store, race_of_processes_over_users};

portcullis_testkit::credential_store_suite!(async {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("users.json");
    // Two handles, as two processes would have them.
    Subject::from(JsonFileStore::new(&path))
        .also(Arc::new(JsonFileStore::new(path)))
        .keeping(directory)
});

#[test]
fn of_processes_that_race_one_wins() -> Outcome {
    let directory = tempfile::tempdir().expect("a temporary directory");
    race_of_processes_over_users(
        "of_processes_that_race_one_wins",
        &directory.path().join("users.json").display().to_string(),
        async |path| Arc::new(JsonFileStore::new(path)),
    )
}

#[test]
fn a_directory_that_is_gone_is_unavailable() -> Outcome {
    check(
        async { JsonFileStore::new("/nowhere/users.json") },
        credential_store::an_unreachable_store_is_unavailable,
    )
}

// Time passes when all that is left is to wait.
#[tokio::test(start_paused = true)]
async fn a_file_that_another_process_keeps_locked_is_unavailable_until_it_is_free() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let store = JsonFileStore::new(directory.path().join("users.json"));
    let alice = Credential::new(UserId::new("1"), Username::new("alice"));
    let lock = File::create(directory.path().join("users.lock")).expect("a file");
    lock.lock().expect("a lock");
    let refused = store.create(&alice).await.expect_err("a refusal");
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    // A reader needs no lock.
    assert_eq!(store.find(&alice.username).await.ok(), Some(None));

    drop(lock);
    assert_eq!(store.create(&alice).await.ok(), Some(()));
}

#[test]
fn a_file_that_makes_no_sense_is_corrupt() -> Outcome {
    let alice = Credential::new(UserId::new("1"), Username::new("alice"));
    for nonsense in ["", "[]", r#"{"alice":{"user_id":"1"}}"#, "\u{0}"] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("users.json");
        fs::write(&path, nonsense).expect("a file");
        check(async { JsonFileStore::new(path) }, async |subject| {
            credential_store::an_unreadable_user_is_corrupt(subject, &alice).await
        })?;
    }
    Ok(())
}
