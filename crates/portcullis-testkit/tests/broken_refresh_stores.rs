//! The suite is only worth something if broken stores fail it: here are some, and what they fail.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use portcullis_core::memory::MemoryRefreshStore;
use portcullis_core::store::{FamilyKey, FamilyRecord, RefreshStore};
use portcullis_core::{Error, ErrorKind, UserId, async_trait};
use portcullis_testkit::{Outcome, Subject, refresh_store};
use tokio::task::yield_now;

/// Each fault, and the properties that a store with it fails: these, and no others.
const FAULTS: &[(Fault, &[&str])] = &[
    (Fault::None, &[]),
    (Fault::CutsRecords, &["records_are_kept_exactly"]),
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
        Fault::DeleteExpiredMiscounts,
        &["delete_expired_takes_only_what_has_expired"],
    ),
    (
        Fault::DeleteExpiredRoundsUp,
        &["delete_expired_takes_only_what_has_expired"],
    ),
    (
        Fault::FindInventsARecord,
        &[
            "absent_is_none",
            "an_abandoned_revoke_all_can_be_made_again",
            "an_abandoned_revoke_is_whole_or_nothing",
            "delete_expired_takes_only_what_has_expired",
            "of_concurrent_inserts_of_a_key_one_wins",
            "of_concurrent_revokes_one_wins",
            "revoke_all_misses_no_concurrent_insert",
            "revoke_all_takes_all_of_one_user",
            "revoke_all_takes_hundreds",
            "revoke_all_takes_the_exact_user",
            "revoke_is_at_once_and_idempotent",
            "what_is_revoked_meanwhile_is_not_replaced",
        ],
    ),
    (Fault::IgnoresCase, &["records_are_kept_exactly"]),
    (
        Fault::InsertChecksThenWrites,
        &["of_concurrent_inserts_of_a_key_one_wins"],
    ),
    (
        Fault::InsertInTwoSteps,
        &["an_abandoned_insert_is_whole_or_nothing"],
    ),
    (
        Fault::InsertOverwrites,
        &[
            "insert_refuses_a_taken_key",
            "of_concurrent_inserts_of_a_key_one_wins",
        ],
    ),
    (
        Fault::KeepsTheFirstTime,
        &["delete_expired_takes_only_what_has_expired"],
    ),
    (
        Fault::KeepsTheLongest,
        &["delete_expired_takes_only_what_has_expired"],
    ),
    (Fault::ListFindsOthers, &["list_finds_what_one_user_has"]),
    (
        Fault::ListIgnoresTheLimit,
        &["list_finds_no_more_than_the_limit"],
    ),
    (
        Fault::ListRemembersTheFirstRecord,
        &["list_finds_what_one_user_has"],
    ),
    (
        Fault::ListStopsAtAHundred,
        &["list_finds_no_more_than_the_limit"],
    ),
    (
        Fault::ReplaceBringsBack,
        &[
            "absent_is_none",
            "revoke_is_at_once_and_idempotent",
            "what_is_revoked_meanwhile_is_not_replaced",
        ],
    ),
    (
        Fault::ReplaceBringsBackMeanwhile,
        &["what_is_revoked_meanwhile_is_not_replaced"],
    ),
    (
        Fault::ReplaceChecksThenWrites,
        &["of_concurrent_replaces_one_wins"],
    ),
    (
        Fault::ReplaceDoesNotCheck,
        &[
            "of_concurrent_replaces_one_wins",
            "records_are_kept_exactly",
            "replace_takes_only_what_is_there",
        ],
    ),
    (
        Fault::ReplaceInTwoSteps,
        &["an_abandoned_replace_is_whole_or_nothing"],
    ),
    (
        Fault::RevokeAllForgetsTheReplaced,
        &[
            "revoke_all_takes_all_of_one_user",
            "what_is_revoked_meanwhile_is_not_replaced",
        ],
    ),
    (
        Fault::RevokeAllIgnoresCase,
        &["revoke_all_takes_the_exact_user"],
    ),
    (
        Fault::RevokeAllLeavesTheChanged,
        &["what_is_revoked_meanwhile_is_not_replaced"],
    ),
    (
        Fault::RevokeAllOnce,
        &[
            "an_abandoned_revoke_all_can_be_made_again",
            "revoke_all_misses_no_concurrent_insert",
            "revoke_all_takes_all_of_one_user",
            "revoke_all_takes_hundreds",
        ],
    ),
    (
        Fault::RevokeAllStopsAtAHundred,
        &["revoke_all_takes_hundreds"],
    ),
    (
        Fault::RevokeAllForgetsFirst,
        &["an_abandoned_revoke_all_can_be_made_again"],
    ),
    (
        Fault::RevokeAlwaysSaysTrue,
        &[
            "absent_is_none",
            "of_concurrent_revokes_one_wins",
            "revoke_is_at_once_and_idempotent",
        ],
    ),
    (
        Fault::RevokeChecksThenDeletes,
        &["of_concurrent_revokes_one_wins"],
    ),
    (
        Fault::RevokeInTwoSteps,
        &["an_abandoned_revoke_is_whole_or_nothing"],
    ),
    (
        Fault::WrapsAt32Bits,
        &[
            "delete_expired_takes_only_what_has_expired",
            "times_are_kept_to_the_second",
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
fn an_outage_that_looks_like_an_absent_family_is_found() {
    let check =
        run(async |subject| refresh_store::an_unreachable_store_is_unavailable(&subject).await);
    assert!(check(Fault::Unreachable).is_ok());
    assert!(check(Fault::UnreachableIsAbsent).is_err());
}

#[test]
fn every_property_is_in_the_suite() {
    let mut written = BTreeSet::new();
    for file in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/refresh_store")).unwrap() {
        let source = fs::read_to_string(file.unwrap().path()).unwrap();
        for property in source.split("\npub async fn ").skip(1) {
            written.insert(property.split_once('(').unwrap().0.to_owned());
        }
    }
    assert!(written.remove("an_unreachable_store_is_unavailable"));
    let listed = outcomes(Fault::None);
    assert!(listed.into_iter().map(|(property, _)| property).eq(written));
}

/// What each property of the suite says of a store with `fault`.
fn outcomes(fault: Fault) -> Vec<(&'static str, Outcome)> {
    macro_rules! outcomes {
        ($fault:expr, $($property:ident,)*) => {
            vec![$((
                stringify!($property),
                run(async |subject| refresh_store::$property(&subject).await)($fault),
            )),*]
        };
    }
    portcullis_testkit::for_each_refresh_store_property!(fault => outcomes)
}

/// On one thread, where tasks take turns at each `yield_now`: so that every race is lost.
fn run(property: impl AsyncFn(Subject<dyn RefreshStore>) -> Outcome) -> impl Fn(Fault) -> Outcome {
    move |fault| {
        let store = Broken {
            fault,
            families: MemoryRefreshStore::new(),
            subjects: Mutex::default(),
        };
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(property(store.into()))
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    CutsRecords,
    DeleteExpiredDoesNothing,
    DeleteExpiredIgnoresTheLimit,
    DeleteExpiredLeavesTheLast,
    DeleteExpiredMiscounts,
    DeleteExpiredRoundsUp,
    FindInventsARecord,
    IgnoresCase,
    InsertChecksThenWrites,
    InsertInTwoSteps,
    InsertOverwrites,
    KeepsTheFirstTime,
    KeepsTheLongest,
    ListFindsOthers,
    ListIgnoresTheLimit,
    ListRemembersTheFirstRecord,
    ListStopsAtAHundred,
    None,
    ReplaceBringsBack,
    ReplaceBringsBackMeanwhile,
    ReplaceChecksThenWrites,
    ReplaceDoesNotCheck,
    ReplaceInTwoSteps,
    RevokeAllForgetsTheReplaced,
    RevokeAllIgnoresCase,
    RevokeAllLeavesTheChanged,
    RevokeAllOnce,
    RevokeAllForgetsFirst,
    RevokeAllStopsAtAHundred,
    RevokeAlwaysSaysTrue,
    RevokeChecksThenDeletes,
    RevokeInTwoSteps,
    Unreachable,
    UnreachableIsAbsent,
    WrapsAt32Bits,
}

/// A memory store with one fault.
#[derive(Debug)]
struct Broken {
    fault: Fault,
    families: MemoryRefreshStore,
    /// Of those that are there, and whether they were replaced.
    subjects: Mutex<BTreeMap<FamilyKey, (UserId, bool)>>,
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

    fn row(&self, record: &FamilyRecord) -> FamilyRecord {
        let text = record.as_str();
        match self.fault {
            Fault::CutsRecords => FamilyRecord::new(text.chars().take(255).collect::<String>()),
            _ => record.clone(),
        }
    }

    fn time(&self, expires_at: SystemTime, is_new: bool) -> SystemTime {
        let since = expires_at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let seconds = match self.fault {
            #[expect(clippy::cast_possible_truncation, reason = "that is the fault")]
            Fault::WrapsAt32Bits => (since.as_secs() as i32).max(0).unsigned_abs().into(),
            // 2100-01-01T00:00:00Z is when the suite's families expire at first.
            Fault::KeepsTheFirstTime if !is_new => since.as_secs().min(4_102_444_800),
            Fault::KeepsTheLongest if !is_new => since.as_secs().max(4_102_444_800),
            _ => return expires_at,
        };
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn of(&self, subject: &UserId) -> Vec<FamilyKey> {
        let lower = |user: &UserId| user.as_str().to_lowercase();
        let subjects = self.subjects.lock().unwrap();
        let of_subject = subjects
            .iter()
            .filter(|(_, (user, replaced))| match self.fault {
                Fault::RevokeAllIgnoresCase => lower(user) == lower(subject),
                Fault::RevokeAllForgetsTheReplaced => user == subject && !replaced,
                _ => user == subject,
            });
        of_subject.map(|(key, _)| *key).collect()
    }
}

#[async_trait]
impl RefreshStore for Broken {
    async fn insert(
        &self,
        key: &FamilyKey,
        subject: &UserId,
        record: &FamilyRecord,
        expires_at: SystemTime,
        ends_at: SystemTime,
    ) -> Result<(), Error> {
        self.up()?;
        let record = self.row(record);
        let expires_at = self.time(expires_at, true);
        let mut is_taken = self.families.find(key).await?.is_some();
        match self.fault {
            Fault::InsertOverwrites => is_taken = false,
            Fault::InsertChecksThenWrites => yield_now().await,
            _ => {}
        }
        if is_taken {
            return Err(Error::new(ErrorKind::AlreadyExists, "taken"));
        }
        self.families.revoke(key).await?;
        let taken = (subject.clone(), false);
        self.subjects.lock().unwrap().insert(*key, taken);
        if self.fault == Fault::InsertInTwoSteps {
            let half = FamilyRecord::new("");
            let inserted = self
                .families
                .insert(key, subject, &half, expires_at, ends_at);
            inserted.await?;
            yield_now().await;
            let replaced = self.families.replace(key, &half, &record, expires_at);
            return replaced.await.map(drop);
        }
        self.families
            .insert(key, subject, &record, expires_at, ends_at)
            .await
    }

    async fn find(&self, key: &FamilyKey) -> Result<Option<FamilyRecord>, Error> {
        if self.fault == Fault::UnreachableIsAbsent {
            return Ok(None);
        }
        self.up()?;
        let found = self.families.find(key).await?;
        if self.fault == Fault::FindInventsARecord {
            return Ok(found.or_else(|| Some(FamilyRecord::new("0"))));
        }
        Ok(found)
    }

    async fn list(
        &self,
        subject: &UserId,
        limit: u32,
    ) -> Result<Vec<(FamilyKey, FamilyRecord)>, Error> {
        self.up()?;
        let lower = UserId::new(subject.as_str().to_lowercase());
        let families = &self.families;
        match self.fault {
            Fault::ListFindsOthers => {
                let mut listed = families.list(subject, limit).await?;
                if lower != *subject {
                    listed.extend(families.list(&lower, limit).await?);
                }
                Ok(listed)
            }
            Fault::ListIgnoresTheLimit => families.list(subject, u32::MAX).await,
            Fault::ListRemembersTheFirstRecord => {
                let mut listed = families.list(subject, limit).await?;
                for (_, record) in &mut listed {
                    *record = FamilyRecord::new("record");
                }
                Ok(listed)
            }
            Fault::ListStopsAtAHundred => families.list(subject, limit.min(100)).await,
            _ => families.list(subject, limit).await,
        }
    }

    async fn replace(
        &self,
        key: &FamilyKey,
        old: &FamilyRecord,
        new: &FamilyRecord,
        expires_at: SystemTime,
    ) -> Result<bool, Error> {
        self.up()?;
        let (old, new) = (self.row(old), self.row(new));
        let expires_at = self.time(expires_at, false);
        let Some(mut found) = self.families.find(key).await? else {
            if self.fault == Fault::ReplaceBringsBack {
                let subject = UserId::new("alice");
                let inserted = self
                    .families
                    .insert(key, &subject, &new, expires_at, expires_at);
                inserted.await?;
                return Ok(true);
            }
            return Ok(false);
        };
        let is_there = match self.fault {
            Fault::IgnoresCase => found.as_str().to_lowercase() == old.as_str().to_lowercase(),
            Fault::ReplaceDoesNotCheck => true,
            _ => found == old,
        };
        if !is_there {
            return Ok(false);
        }
        match self.fault {
            Fault::ReplaceChecksThenWrites => {
                yield_now().await;
                let Some(now_there) = self.families.find(key).await? else {
                    return Ok(false);
                };
                found = now_there;
            }
            Fault::ReplaceBringsBackMeanwhile => {
                yield_now().await;
                if self.families.find(key).await?.is_none() {
                    let subject = UserId::new("alice");
                    let inserted = self
                        .families
                        .insert(key, &subject, &new, expires_at, expires_at);
                    return inserted.await.map(|()| true);
                }
            }
            Fault::ReplaceInTwoSteps => {
                let half = FamilyRecord::new("");
                self.families
                    .replace(key, &found, &half, expires_at)
                    .await?;
                // Who reads the half does not get it changed, nor does this get lost.
                if new.as_str() == "new" {
                    yield_now().await;
                }
                found = half;
            }
            _ => {}
        }
        if let Some((_, replaced)) = self.subjects.lock().unwrap().get_mut(key) {
            *replaced = true;
        }
        self.families.replace(key, &found, &new, expires_at).await
    }

    async fn revoke(&self, key: &FamilyKey) -> Result<bool, Error> {
        self.up()?;
        let found = self.families.find(key).await?;
        match (self.fault, &found) {
            (Fault::RevokeAlwaysSaysTrue, _) => {
                self.families.revoke(key).await?;
                return Ok(true);
            }
            (Fault::RevokeChecksThenDeletes, _) => {
                yield_now().await;
                self.families.revoke(key).await?;
                return Ok(found.is_some());
            }
            (Fault::RevokeInTwoSteps, Some(found)) => {
                let half = FamilyRecord::new("");
                let expires_at = self.time(SystemTime::UNIX_EPOCH, false);
                self.families.replace(key, found, &half, expires_at).await?;
                yield_now().await;
            }
            _ => {}
        }
        self.families.revoke(key).await
    }

    async fn revoke_all(&self, subject: &UserId) -> Result<u64, Error> {
        self.up()?;
        let keys = self.of(subject);
        let mut revoked = 0;
        for key in &keys {
            if self.fault == Fault::RevokeAllOnce && revoked == 1 {
                break;
            }
            if self.fault == Fault::RevokeAllStopsAtAHundred && revoked == 100 {
                break;
            }
            if self.fault == Fault::RevokeAllLeavesTheChanged {
                let listed = self.families.find(key).await?;
                yield_now().await;
                if self.families.find(key).await? != listed {
                    revoked += 1;
                    continue;
                }
            }
            if self.fault == Fault::RevokeAllForgetsFirst {
                let is_kept = |key: &FamilyKey, _: &mut _| !keys.contains(key);
                self.subjects.lock().unwrap().retain(is_kept);
                yield_now().await;
            }
            revoked += u64::from(self.families.revoke(key).await?);
        }
        Ok(revoked)
    }

    async fn delete_expired(&self, now: SystemTime, limit: u32) -> Result<u32, Error> {
        self.up()?;
        let second = Duration::from_secs(1);
        let families = &self.families;
        match self.fault {
            Fault::DeleteExpiredDoesNothing => Ok(0),
            Fault::DeleteExpiredLeavesTheLast => families.delete_expired(now - second, limit).await,
            Fault::DeleteExpiredMiscounts => Ok(families.delete_expired(now, limit).await? + 1),
            Fault::DeleteExpiredIgnoresTheLimit => families.delete_expired(now, u32::MAX).await,
            Fault::DeleteExpiredRoundsUp => families.delete_expired(now + second, limit).await,
            _ => families.delete_expired(now, limit).await,
        }
    }
}
