//! What is in Redis, and what others make of it.

use portcullis_core::CredentialStore;
use portcullis_testkit::{Outcome, check, credential_store};
use portcullis_testservers::redis::Server;

use crate::common::{alice, is_discreet, open};

#[test]
fn a_user_that_makes_no_sense_is_corrupt() -> Outcome {
    let key = "{portcullis}:user:alice";
    let nonsense: [&[&str]; 10] = [
        &["HDEL", key, "user_id"],
        &["HDEL", key, "status"],
        &["HDEL", key, "scopes"],
        &["HDEL", key, "tokens_valid_from"],
        &["HSET", key, "status", "asleep"],
        &["HSET", key, "scopes", "read write"],
        &["HSET", key, "scopes", "[1]"],
        &["HSET", key, "tokens_valid_from", "-1"],
        &[
            "EVAL",
            "return redis.call('HSET', KEYS[1], 'password_hash', '\\255')",
            "1",
            key,
        ],
        &["SET", key, "a text"],
    ];
    for command in nonsense {
        let server = Server::start().unwrap();
        let alice = alice();
        check(
            async {
                let store = open(&server.url()).await;
                store.create(&alice).await.unwrap();
                server.command(command.iter().copied()).unwrap();
                store
            },
            async |subject| {
                credential_store::an_unreadable_user_is_corrupt(subject, &alice).await?;
                is_discreet(&subject.handle().find(&alice.username).await.unwrap_err());
                Ok(())
            },
        )?;
    }
    Ok(())
}
