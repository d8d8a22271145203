//! The suite is only worth something if broken stores fail it: here are some, and what they fail.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use portcullis_core::clock::UnixTime;
use portcullis_core::memory::MemoryTokenStore;
use portcullis_core::store::{TokenHash, TokenStore};
use portcullis_core::{Claims, Error, ErrorKind, UserId, async_trait};
use portcullis_testkit::{Outcome, Subject, token_store};
use tokio::task::yield_now;

/// Each fault, and the properties that a store with it fails: these, and no others.
const FAULTS: &[(Fault, &[&str])] = &[
    (Fault::None, &[]),
    (Fault::CutsHashes, &["hashes_are_kept_exactly"]),
    (
        Fault::CutsIdsAtNul,
        &["revoke_all_takes_the_exact_user", "texts_are_kept_exactly"],
    ),
    (
        Fault::DeleteExpiredDoesNothing,
        &["delete_expired_takes_only_what_has_expired"],
    ),
    (
        Fault::DeleteExpiredIgnoresTheLimit,
        &["delete_expired_takes_only_what_has_expired"],
    ),
    (
        Fault::DeleteExpiredLeavesTheLast,
        &["delete_expired_takes_only_what_has_expired"],
    ),
    (
        Fault::DeleteExpiredRoundsUp,
        &["delete_expired_takes_only_what_has_expired"],
    ),
    (
        Fault::DeleteExpiredMiscounts,
        &["delete_expired_takes_only_what_has_expired"],
    ),
    (Fault::EmptyClientIsNone, &["texts_are_kept_exactly"]),
    (
        Fault::FindRemembers,
        &[
            "delete_expired_takes_only_what_has_expired",
            "hashes_are_kept_exactly",
            "revoke_all_takes_the_exact_user",
            "revoke_is_at_once_and_idempotent",
        ],
    ),
    (
        Fault::IndexIsReadThenWritten,
        &["revoke_all_misses_no_concurrent_insert"],
    ),
    (
        Fault::InsertChecksThenWrites,
        &["of_concurrent_inserts_of_a_hash_one_wins"],
    ),
    (
        Fault::InsertInTwoSteps,
        &["an_abandoned_insert_is_whole_or_nothing"],
    ),
    (
        Fault::InsertOverwrites,
        &[
            "insert_refuses_a_taken_hash",
            "of_concurrent_inserts_of_a_hash_one_wins",
        ],
    ),
    (Fault::JoinsScopes, &["lists_are_kept_exactly"]),
    (Fault::Keeps32Bits, &["times_are_kept_to_the_second"]),
    (
        Fault::KeepsMilliseconds,
        &[
            "absent_is_none",
            "an_abandoned_insert_is_whole_or_nothing",
            "cut_offs_are_kept_to_the_microsecond",
            "insert_refuses_a_taken_hash",
            "insert_then_find_returns_it_whole",
            "revoke_is_at_once_and_idempotent",
        ],
    ),
    (
        Fault::LosesCutOff,
        &[
            "absent_is_none",
            "an_abandoned_insert_is_whole_or_nothing",
            "cut_offs_are_kept_to_the_microsecond",
            "insert_refuses_a_taken_hash",
            "insert_then_find_returns_it_whole",
            "revoke_is_at_once_and_idempotent",
        ],
    ),
    (
        Fault::LosesExtra,
        &[
            "absent_is_none",
            "an_abandoned_insert_is_whole_or_nothing",
            "extra_claims_are_kept_exactly",
            "insert_refuses_a_taken_hash",
            "insert_then_find_returns_it_whole",
            "revoke_is_at_once_and_idempotent",
        ],
    ),
    (
        Fault::LosesScopes,
        &[
            "absent_is_none",
            "an_abandoned_insert_is_whole_or_nothing",
            "insert_refuses_a_taken_hash",
            "insert_then_find_returns_it_whole",
            "lists_are_kept_exactly",
            "revoke_is_at_once_and_idempotent",
        ],
    ),
    (
        Fault::LosesSid,
        &[
            "absent_is_none",
            "an_abandoned_insert_is_whole_or_nothing",
            "insert_refuses_a_taken_hash",
            "insert_then_find_returns_it_whole",
            "names_of_logins_are_kept_exactly",
            "revoke_is_at_once_and_idempotent",
        ],
    ),
    (
        Fault::RevokeAllForgetsFirst,
        &["an_abandoned_revoke_all_can_be_made_again"],
    ),
    (
        Fault::RevokeAllIgnoresCase,
        &["revoke_all_takes_the_exact_user"],
    ),
    (
        Fault::RevokeAllTakesOne,
        &[
            "an_abandoned_revoke_all_can_be_made_again",
            "revoke_all_misses_no_concurrent_insert",
            "revoke_all_takes_all_of_one_user",
        ],
    ),
    (
        Fault::RevokeChecksThenWrites,
        &["of_concurrent_revokes_one_wins"],
    ),
    (
        Fault::RevokeInTwoSteps,
        &["an_abandoned_revoke_is_whole_or_nothing"],
    ),
    (
        Fault::RevokeIsAlwaysTrue,
        &[
            "absent_is_none",
            "of_concurrent_revokes_one_wins",
            "revoke_is_at_once_and_idempotent",
        ],
    ),
];

#[test]
fn each_broken_store_fails_the_properties_it_breaks() {
    for (fault, expected) in FAULTS {
        let failed: Vec<_> = outcomes(*fault)
            .into_iter()
            .filter_map(|(property, outcome)| outcome.err().map(|_| property))
            .collect();
        assert_eq!(&failed, expected, "{fault:?}");
    }
}

#[test]
fn each_property_is_failed_by_a_broken_store() {
    let failed: BTreeSet<_> = FAULTS.iter().flat_map(|(_, failed)| *failed).collect();
    for (property, _) in outcomes(Fault::None) {
        assert!(failed.contains(&property), "{property}");
    }
}

#[test]
fn an_outage_that_looks_like_an_absent_token_is_found() {
    let check =
        run(async |subject| token_store::an_unreachable_store_is_unavailable(&subject).await);
    assert!(check(Fault::Unreachable).is_ok());
    assert!(check(Fault::UnreachableIsAbsent).is_err());
}

#[test]
fn every_property_is_in_the_suite() {
    let mut written = BTreeSet::new();
    for file in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/token_store")).unwrap() {
        let source = fs::read_to_string(file.unwrap().path()).unwrap();
        for property in source.split("\npub async fn ").skip(1) {
            written.insert(property.split_once('(').unwrap().0.to_owned());
        }
    }
    for called_by_hand in [
        "an_unreachable_store_is_unavailable",
        "an_unreadable_token_is_corrupt",
    ] {
        assert!(written.remove(called_by_hand));
    }
    let listed = outcomes(Fault::None);
    assert!(listed.into_iter().map(|(property, _)| property).eq(written));
}

/// What each property of the suite says of a store with `fault`.
fn outcomes(fault: Fault) -> Vec<(&'static str, Outcome)> {
    macro_rules! outcomes {
        ($fault:expr, $($property:ident,)*) => {
            vec![$((
                stringify!($property),
                run(async |subject| token_store::$property(&subject).await)($fault),
            )),*]
        };
    }
    portcullis_testkit::for_each_token_store_property!(fault => outcomes)
}

/// On one thread, where tasks take turns at each `yield_now`: so that every race is lost.
fn run(property: impl AsyncFn(Subject<dyn TokenStore>) -> Outcome) -> impl Fn(Fault) -> Outcome {
    move |fault| {
        let store = Broken {
            fault,
            tokens: MemoryTokenStore::new(),
            index: Mutex::default(),
            remembered: Mutex::default(),
        };
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(property(store.into()))
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    CutsHashes,
    CutsIdsAtNul,
    DeleteExpiredDoesNothing,
    DeleteExpiredIgnoresTheLimit,
    DeleteExpiredLeavesTheLast,
    DeleteExpiredMiscounts,
    DeleteExpiredRoundsUp,
    EmptyClientIsNone,
    FindRemembers,
    IndexIsReadThenWritten,
    InsertChecksThenWrites,
    InsertInTwoSteps,
    InsertOverwrites,
    JoinsScopes,
    Keeps32Bits,
    KeepsMilliseconds,
    LosesCutOff,
    LosesExtra,
    LosesScopes,
    LosesSid,
    None,
    RevokeAllForgetsFirst,
    RevokeAllIgnoresCase,
    RevokeAllTakesOne,
    RevokeChecksThenWrites,
    RevokeInTwoSteps,
    RevokeIsAlwaysTrue,
    Unreachable,
    UnreachableIsAbsent,
}

/// A memory store with one fault. It has an index of each user's tokens, as some stores need.
#[derive(Debug)]
struct Broken {
    fault: Fault,
    tokens: MemoryTokenStore,
    index: Mutex<BTreeMap<UserId, BTreeSet<TokenHash>>>,
    remembered: Mutex<BTreeMap<TokenHash, Claims>>,
}

impl Broken {
    fn up(&self) -> Result<(), Error> {
        match self.fault {
            Fault::Unreachable | Fault::UnreachableIsAbsent => {
                Err(Error::new(ErrorKind::Unavailable, "down"))
            }
            _ => Ok(()),
        }
    }

    fn key(&self, hash: &TokenHash) -> TokenHash {
        let mut bytes = *hash.as_bytes();
        if self.fault == Fault::CutsHashes {
            bytes[16..].fill(0);
        }
        TokenHash::from_bytes(bytes)
    }

    fn id(&self, user_id: &UserId) -> UserId {
        let text = user_id.as_str();
        UserId::new(match self.fault {
            Fault::CutsIdsAtNul => text.split('\0').next().unwrap().to_owned(),
            Fault::RevokeAllIgnoresCase => text.to_ascii_lowercase(),
            _ => text.to_owned(),
        })
    }

    fn row(&self, claims: &Claims) -> Claims {
        let mut row = claims.clone();
        match self.fault {
            Fault::CutsIdsAtNul => row.sub = self.id(&row.sub),
            Fault::EmptyClientIsNone => row.client_id = row.client_id.filter(|id| !id.is_empty()),
            Fault::JoinsScopes => {
                let joined = row.scopes.join(" ");
                row.scopes = joined.split_whitespace().map(str::to_owned).collect();
            }
            Fault::Keeps32Bits => {
                let since = row.exp.duration_since(SystemTime::UNIX_EPOCH).unwrap();
                let seconds = since.as_secs().min(u32::MAX.into());
                row.exp = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            }
            Fault::KeepsMilliseconds => {
                row.cut_off = row.cut_off.map(|cut_off| {
                    let millis = UnixTime::from_system(cut_off).unwrap().millis();
                    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
                });
            }
            Fault::LosesCutOff => row.cut_off = None,
            Fault::LosesExtra => row.extra.clear(),
            Fault::LosesScopes => row.scopes.clear(),
            Fault::LosesSid => row.sid = None,
            _ => {}
        }
        row
    }

    async fn index(&self, hash: TokenHash, claims: &Claims) {
        let user_id = self.id(&claims.sub);
        let mut hashes = self.indexed(&user_id);
        if self.fault == Fault::IndexIsReadThenWritten {
            yield_now().await;
        }
        hashes.insert(hash);
        self.index.lock().unwrap().insert(user_id, hashes);
    }

    fn indexed(&self, user_id: &UserId) -> BTreeSet<TokenHash> {
        let index = self.index.lock().unwrap();
        index.get(user_id).cloned().unwrap_or_default()
    }
}

#[async_trait]
impl TokenStore for Broken {
    async fn insert(&self, hash: &TokenHash, claims: &Claims) -> Result<(), Error> {
        self.up()?;
        let (hash, row) = (self.key(hash), self.row(claims));
        match self.fault {
            Fault::InsertChecksThenWrites => {
                if self.tokens.find(&hash).await?.is_some() {
                    return Err(Error::new(ErrorKind::AlreadyExists, "taken"));
                }
                yield_now().await;
                self.tokens.revoke(&hash).await?;
            }
            Fault::InsertInTwoSteps => {
                let mut half = row.clone();
                half.scopes.clear();
                self.tokens.insert(&hash, &half).await?;
                if half != row {
                    yield_now().await;
                }
                self.tokens.revoke(&hash).await?;
            }
            Fault::InsertOverwrites => {
                self.tokens.revoke(&hash).await?;
            }
            _ => {}
        }
        self.tokens.insert(&hash, &row).await?;
        self.index(hash, &row).await;
        Ok(())
    }

    async fn find(&self, hash: &TokenHash) -> Result<Option<Claims>, Error> {
        if self.fault == Fault::UnreachableIsAbsent {
            return Ok(None);
        }
        self.up()?;
        let hash = self.key(hash);
        let mut found = self.tokens.find(&hash).await?;
        if self.fault == Fault::FindRemembers {
            let mut remembered = self.remembered.lock().unwrap();
            if let Some(claims) = &found {
                remembered.insert(hash, claims.clone());
            }
            found = remembered.get(&hash).cloned();
        }
        Ok(found)
    }

    async fn revoke(&self, hash: &TokenHash) -> Result<bool, Error> {
        self.up()?;
        let hash = self.key(hash);
        let found = self.tokens.find(&hash).await?;
        match (self.fault, &found) {
            (Fault::RevokeChecksThenWrites, _) => {
                yield_now().await;
                self.tokens.revoke(&hash).await?;
                Ok(found.is_some())
            }
            (Fault::RevokeInTwoSteps, Some(claims)) => {
                let mut half = claims.clone();
                half.scopes.clear();
                self.tokens.revoke(&hash).await?;
                self.tokens.insert(&hash, &half).await?;
                yield_now().await;
                self.tokens.revoke(&hash).await
            }
            (Fault::RevokeIsAlwaysTrue, _) => {
                self.tokens.revoke(&hash).await?;
                Ok(true)
            }
            _ => self.tokens.revoke(&hash).await,
        }
    }

    async fn revoke_all(&self, subject: &UserId) -> Result<u64, Error> {
        self.up()?;
        let user_id = self.id(subject);
        if self.fault == Fault::RevokeAllForgetsFirst {
            let hashes = self.index.lock().unwrap().remove(&user_id);
            yield_now().await;
            let mut revoked = 0;
            for hash in hashes.unwrap_or_default() {
                revoked += u64::from(self.tokens.revoke(&hash).await?);
            }
            return Ok(revoked);
        }
        let mut revoked = 0;
        for hash in self.indexed(&user_id) {
            revoked += u64::from(self.tokens.revoke(&hash).await?);
            if self.fault == Fault::RevokeAllTakesOne && revoked == 1 {
                break;
            }
        }
        Ok(revoked)
    }

    async fn delete_expired(&self, now: SystemTime, limit: u32) -> Result<u32, Error> {
        self.up()?;
        let second = Duration::from_secs(1);
        match self.fault {
            Fault::DeleteExpiredDoesNothing => Ok(0),
            Fault::DeleteExpiredLeavesTheLast => {
                self.tokens.delete_expired(now - second, limit).await
            }
            Fault::DeleteExpiredMiscounts => Ok(self.tokens.delete_expired(now, limit).await? + 1),
            Fault::DeleteExpiredIgnoresTheLimit => self.tokens.delete_expired(now, u32::MAX).await,
            Fault::DeleteExpiredRoundsUp => self.tokens.delete_expired(now + second, limit).await,
            _ => self.tokens.delete_expired(now, limit).await,
        }
    }
}
