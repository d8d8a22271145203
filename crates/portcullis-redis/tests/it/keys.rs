//! What is in Redis, and what others make of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, SystemTime};

use portcullis_core::store::{TokenHash, TokenStore};
use portcullis_core::throttle::{Admission, LoginSource};
use portcullis_core::token::TokenRequest;
use portcullis_core::{Claims, CredentialStore, RefreshTokens, Throttle, UserId};
use portcullis_redis::RedisStore;
use portcullis_testkit::{Outcome, check, credential_store, token_store};
use portcullis_testservers::redis::Server;

use crate::common::{Logins, alice, is_discreet, open};
use crate::forward::forward;

#[test]
fn a_user_that_makes_no_sense_is_corrupt() -> Outcome {
    let key = "{portcullis}:user:alice";
    let not_utf_8 = "return redis.call('HSET', KEYS[1], 'password_hash', '\\255')";
    let nonsense: [&[&str]; 10] = [
        &["HDEL", key, "user_id"],
        &["HDEL", key, "status"],
        &["HDEL", key, "scopes"],
        &["HDEL", key, "tokens_valid_from"],
        &["HSET", key, "status", "asleep"],
        &["HSET", key, "scopes", "read write"],
        &["HSET", key, "scopes", "[1]"],
        &["HSET", key, "tokens_valid_from", "-1"],
        &["EVAL", not_utf_8, "1", key],
        &["SET", key, "a text"],
    ];
    let alice = alice();
    for command in nonsense {
        let server = Server::start().unwrap();
        check::<dyn CredentialStore, _>(
            async {
                let store = open(&server.url()).await;
                store.create(&alice).await.unwrap();
                server.command(command.iter().copied()).unwrap();
                store
            },
            async |subject| {
                is_discreet(&subject.handle().find(&alice.username).await.unwrap_err());
                credential_store::an_unreadable_user_is_corrupt(subject, &alice).await
            },
        )?;
    }
    Ok(())
}

#[test]
fn a_token_that_makes_no_sense_is_corrupt() -> Outcome {
    let key = &key(&TokenHash::of("token"));
    let nonsense: [&[&str]; 8] = [
        &["HDEL", key, "iss"],
        &["HDEL", key, "sub"],
        &["HDEL", key, "jti"],
        &["HSET", key, "aud", "everybody"],
        &["HSET", key, "exp", "tomorrow"],
        &["HSET", key, "cut_off", "-1"],
        &["HSET", key, "extra", "[]"],
        &["SET", key, "a text"],
    ];
    for command in nonsense {
        let server = Server::start().unwrap();
        check::<dyn TokenStore, _>(
            async {
                let store = open(&server.url()).await;
                store
                    .insert(&TokenHash::of("token"), &claims())
                    .await
                    .unwrap();
                server.command(command.iter().copied()).unwrap();
                store
            },
            async |subject| {
                token_store::an_unreadable_token_is_corrupt(subject, &TokenHash::of("token")).await
            },
        )?;
    }
    Ok(())
}

#[tokio::test]
async fn redis_drops_a_token_some_time_after_it_has_expired_and_its_note_with_it() {
    let server = Server::start().unwrap();
    let store = open(&server.url()).await;
    let claims = claims();
    let hash = TokenHash::of("token");
    store.insert(&hash, &claims).await.unwrap();
    let exp = claims.exp.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    for key in [&*key(&hash), "portcullis:tokens_of:alice"] {
        let dropped = server.command(["EXPIRETIME", key]).unwrap();
        assert_eq!(dropped, (exp.as_secs() + 300).to_string());
    }

    // One that expired so long ago is not even there, and does not take others with it.
    let mut expired = claims.clone();
    expired.exp = SystemTime::UNIX_EPOCH;
    for (token, claims) in [("expired", &expired), ("another", &claims)] {
        store.insert(&TokenHash::of(token), claims).await.unwrap();
    }
    let notes = server.command(["ZCARD", "portcullis:tokens_of:alice"]);
    assert_eq!(notes.unwrap(), "2");
    assert_eq!(store.revoke_all(&claims.sub).await.unwrap(), 2);
}

#[tokio::test]
async fn all_tokens_of_a_user_are_revoked_though_they_expire_at_once() {
    let server = Server::start().unwrap();
    let store = open(&server.url()).await;
    insert_many(&store).await;
    assert_eq!(store.revoke_all(&claims().sub).await.unwrap(), MANY);
    assert_eq!(server.command(["DBSIZE"]).unwrap(), "1");
}

#[tokio::test]
async fn no_token_is_left_when_another_server_takes_over_between_two_pages() {
    let (old, new) = (Server::start().unwrap(), Server::start().unwrap());
    insert_many(&open(&old.url()).await).await;
    new.replicate(&old).unwrap();
    let new = Arc::new(new);
    let target = Arc::new(AtomicU16::new(old.port()));
    let (leads_to, heir, pages) = (Arc::clone(&target), Arc::clone(&new), AtomicU16::new(0));
    let url = forward(target, move |sent| {
        let notes = b"portcullis:tokens_of:";
        if !sent.windows(notes.len()).any(|bytes| bytes == notes)
            || pages.fetch_add(1, Ordering::Relaxed) != 1
        {
            return true;
        }
        // The second page is asked for.
        heir.wait_for_sync(&old).unwrap();
        assert_eq!(heir.command(["REPLICAOF", "NO", "ONE"]).unwrap(), "OK");
        leads_to.store(heir.port(), Ordering::Relaxed);
        false
    })
    .await;
    let store = open(&url).await;
    assert_eq!(store.revoke_all(&claims().sub).await.unwrap(), MANY);
    assert_eq!(new.command(["DBSIZE"]).unwrap(), "1");
}

#[tokio::test]
async fn who_was_taken_over_from_does_not_say_that_there_are_no_tokens() {
    let (old, new) = (Server::start().unwrap(), Server::start().unwrap());
    let target = Arc::new(AtomicU16::new(old.port()));
    let store = open(&forward(Arc::clone(&target), |_| true).await).await;
    // The connection is made.
    assert_eq!(store.revoke_all(&claims().sub).await.unwrap(), 0);
    demote(&old);
    target.store(new.port(), Ordering::Relaxed);
    let other = open(&new.url()).await;
    other
        .insert(&TokenHash::of("token"), &claims())
        .await
        .unwrap();
    assert_eq!(store.revoke_all(&claims().sub).await.unwrap(), 1);
}

#[tokio::test]
async fn a_token_that_another_server_takes_in_is_noted_there_too() {
    let (old, new) = (Server::start().unwrap(), Server::start().unwrap());
    let target = Arc::new(AtomicU16::new(old.port()));
    let leads_to = Arc::clone(&target);
    let new_port = new.port();
    let url = forward(target, move |sent| {
        let has = |name: &[u8]| sent.windows(name.len()).any(|bytes| bytes == name);
        // It was noted, and is about to be inserted.
        let is_insert = has(b"portcullis:token:") && !has(b"portcullis:tokens_of:");
        if is_insert && leads_to.swap(new_port, Ordering::Relaxed) != new_port {
            demote(&old);
        }
        true
    })
    .await;
    let store = open(&url).await;
    store
        .insert(&TokenHash::of("token"), &claims())
        .await
        .unwrap();
    let other = open(&new.url()).await;
    assert_eq!(other.revoke_all(&claims().sub).await.unwrap(), 1);
}

#[tokio::test]
async fn scripts_that_a_server_has_forgotten_are_sent_again() {
    let server = Server::start().unwrap();
    let logins = Logins::with_alice(open(&server.url()).await).await;
    server.command(["SCRIPT", "FLUSH"]).unwrap();
    assert!(logins.change().await.unwrap());
}

/// As the README has it.
#[tokio::test]
async fn no_more_rights_are_needed_than_the_documented() {
    let server = Server::start().unwrap();
    let readme = include_str!("../../README.md");
    let (_, rights) = readme.split_once("`on >PASSWORD ").unwrap();
    let (rights, _) = rights.split_once('`').unwrap();
    let rights = ["ACL", "SETUSER", "app", "on", ">s3cret"]
        .into_iter()
        .chain(rights.split_whitespace());
    assert_eq!(server.command(rights).unwrap(), "OK");
    let url = format!("redis://app:s3cret@127.0.0.1:{}", server.port());
    let logins = Logins::with_alice(open(&url).await).await;
    let store = &logins.store;
    assert!(logins.change().await.unwrap());
    store.list(None, 10).await.unwrap();
    store
        .insert(&TokenHash::of("token"), &claims())
        .await
        .unwrap();
    assert_eq!(store.revoke_all(&claims().sub).await.unwrap(), 1);
    let refresh_tokens = RefreshTokens::new(Arc::new(store.clone()));
    let user = alice().user_id;
    let token = refresh_tokens.begin(TokenRequest::new(&user)).await;
    let token = token.unwrap().token;
    let refresh = refresh_tokens.look_up(token.expose()).await.unwrap();
    assert!(refresh.unwrap().rotate().await.unwrap().is_some());
    assert_eq!(refresh_tokens.revoke_all(&user).await.unwrap(), 1);
    let throttle = Throttle::new(Arc::new(store.clone()));
    let attempt = throttle
        .begin(&alice().username, &LoginSource::default())
        .await
        .unwrap();
    assert!(matches!(attempt, Admission::Granted(_)));
    assert!(store.delete(&alice().user_id).await.unwrap());

    logins.store.create(&alice()).await.unwrap();
    for (right, is_read) in [("hgetall", true), ("hset", false)] {
        let set = async |sign| {
            let right = format!("{sign}{right}");
            let set = ["ACL", "SETUSER", "app", &right];
            assert_eq!(server.command(set).unwrap(), "OK");
        };
        set("-").await;
        if is_read {
            logins.are_unavailable().await;
        } else {
            logins.are_all_that_works().await;
        }
        set("+").await;
        assert!(logins.change().await.unwrap());
        logins.are_answered().await;
    }
}

/// Makes a server take no changes, as when another has taken over.
fn demote(server: &Server) {
    // Nobody listens on that port.
    let replicate = ["REPLICAOF", "127.0.0.1", "1"];
    assert_eq!(server.command(replicate).unwrap(), "OK");
}

/// Gives one user more tokens than are revoked at a time, all of which expire at once.
async fn insert_many(store: &RedisStore) {
    for number in 0..MANY {
        let hash = TokenHash::of(&number.to_string());
        store.insert(&hash, &claims()).await.unwrap();
    }
}

fn claims() -> Claims {
    let day = Duration::from_secs(24 * 60 * 60);
    let iat = SystemTime::UNIX_EPOCH + 50_000 * day;
    Claims::new(
        "https://login.example".to_owned(),
        UserId::new("alice"),
        vec!["https://api.example".to_owned()],
        iat,
        iat + day,
        "1".to_owned(),
    )
}

fn key(hash: &TokenHash) -> String {
    let hex: String = hash
        .as_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("portcullis:token:{hex}")
}

const MANY: u64 = 1500;
