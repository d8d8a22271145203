//! The suite is only worth something if broken stores fail it: here are some, and what they fail.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, SystemTime};

use portcullis_core::memory::MemoryThrottleStore;
use portcullis_core::store::{ThrottleKey, ThrottleRecord, ThrottleStore};
use portcullis_core::{Error, ErrorKind, async_trait};
use portcullis_testkit::{Outcome, Subject, throttle_store};
use tokio::task::yield_now;

/// Each fault, and the properties that a store with it fails: these, and no others.
const FAULTS: &[(Fault, &[&str])] = &[
    (Fault::None, &[]),
    (Fault::CutsRecords, &["records_are_kept_exactly"]),
    (
        Fault::DeleteExpiredDoesNothing,
        &["delete_expired_takes_only_records_that_have_expired"],
    ),
    (
        Fault::DeleteExpiredIgnoresTheLimit,
        &["delete_expired_takes_only_records_that_have_expired"],
    ),
    (
        Fault::DeleteExpiredLeavesTheLast,
        &["delete_expired_takes_only_records_that_have_expired"],
    ),
    (
        Fault::DeleteExpiredMiscounts,
        &["delete_expired_takes_only_records_that_have_expired"],
    ),
    (
        Fault::DeleteExpiredRoundsUp,
        &["delete_expired_takes_only_records_that_have_expired"],
    ),
    (
        Fault::FindInventsARecord,
        &[
            "absent_is_none",
            "delete_expired_takes_only_records_that_have_expired",
            "no_concurrent_change_is_lost",
            "replace_takes_only_what_is_there",
            "times_are_kept_to_the_second",
        ],
    ),
    (Fault::IgnoresCase, &["records_are_kept_exactly"]),
    (
        Fault::KeepsTheFirstTime,
        &["delete_expired_takes_only_records_that_have_expired"],
    ),
    (
        Fault::ReplaceChecksThenWrites,
        &[
            "no_concurrent_change_is_lost",
            "of_concurrent_first_records_one_stays",
        ],
    ),
    (
        Fault::ReplaceDoesNotCheck,
        &[
            "of_concurrent_first_records_one_stays",
            "records_are_kept_exactly",
            "replace_takes_only_what_is_there",
        ],
    ),
    (
        Fault::ReplaceInTwoSteps,
        &["an_abandoned_replace_is_whole_or_nothing"],
    ),
    (
        Fault::ReplaceWantsAChange,
        &[
            "delete_expired_takes_only_records_that_have_expired",
            "records_are_kept_exactly",
            "replace_takes_only_what_is_there",
            "times_are_kept_to_the_second",
        ],
    ),
    (
        Fault::WrapsAt32Bits,
        &[
            "delete_expired_takes_only_records_that_have_expired",
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
fn an_outage_that_looks_like_an_absent_record_is_found() {
    let check =
        run(async |subject| throttle_store::an_unreachable_store_is_unavailable(&subject).await);
    assert!(check(Fault::Unreachable).is_ok());
    assert!(check(Fault::UnreachableIsAbsent).is_err());
}

#[test]
fn every_property_is_in_the_suite() {
    let mut written = BTreeSet::new();
    for file in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/throttle_store")).unwrap() {
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
                run(async |subject| throttle_store::$property(&subject).await)($fault),
            )),*]
        };
    }
    portcullis_testkit::for_each_throttle_store_property!(fault => outcomes)
}

/// On one thread, where tasks take turns at each `yield_now`: so that every race is lost.
fn run(property: impl AsyncFn(Subject<dyn ThrottleStore>) -> Outcome) -> impl Fn(Fault) -> Outcome {
    move |fault| {
        let store = Broken {
            fault,
            records: MemoryThrottleStore::new(),
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
    KeepsTheFirstTime,
    None,
    ReplaceChecksThenWrites,
    ReplaceDoesNotCheck,
    ReplaceInTwoSteps,
    ReplaceWantsAChange,
    Unreachable,
    UnreachableIsAbsent,
    WrapsAt32Bits,
}

/// A memory store with one fault.
#[derive(Debug)]
struct Broken {
    fault: Fault,
    records: MemoryThrottleStore,
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

    fn row(&self, record: &ThrottleRecord) -> ThrottleRecord {
        let text = record.as_str();
        match self.fault {
            Fault::CutsRecords => ThrottleRecord::new(text.chars().take(255).collect::<String>()),
            _ => record.clone(),
        }
    }

    fn time(&self, expires_at: SystemTime, is_new: bool) -> SystemTime {
        let since = expires_at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let seconds = match self.fault {
            #[expect(clippy::cast_possible_truncation, reason = "that is the fault")]
            Fault::WrapsAt32Bits => (since.as_secs() as i32).max(0).unsigned_abs().into(),
            // 2100-01-01T00:00:00Z is when the suite's records expire at first.
            Fault::KeepsTheFirstTime if !is_new => since.as_secs().min(4_102_444_800),
            _ => return expires_at,
        };
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }
}

#[async_trait]
impl ThrottleStore for Broken {
    async fn find(&self, key: &ThrottleKey) -> Result<Option<ThrottleRecord>, Error> {
        if self.fault == Fault::UnreachableIsAbsent {
            return Ok(None);
        }
        self.up()?;
        let found = self.records.find(key).await?;
        if self.fault == Fault::FindInventsARecord {
            return Ok(found.or_else(|| Some(ThrottleRecord::new("0"))));
        }
        Ok(found)
    }

    async fn replace(
        &self,
        key: &ThrottleKey,
        old: Option<&ThrottleRecord>,
        new: &ThrottleRecord,
        expires_at: SystemTime,
    ) -> Result<bool, Error> {
        self.up()?;
        let new = self.row(new);
        let expires_at = self.time(expires_at, old.is_none());
        let mut found = self.records.find(key).await?;
        let is_there = match self.fault {
            Fault::IgnoresCase => {
                let lower = |record: &ThrottleRecord| record.as_str().to_lowercase();
                found.as_ref().map(lower) == old.map(lower)
            }
            Fault::ReplaceDoesNotCheck => true,
            Fault::ReplaceWantsAChange => found.as_ref() == old && old != Some(&new),
            _ => found.as_ref() == old.map(|old| self.row(old)).as_ref(),
        };
        if !is_there {
            return Ok(false);
        }
        match self.fault {
            Fault::ReplaceChecksThenWrites => {
                yield_now().await;
                found = self.records.find(key).await?;
            }
            Fault::ReplaceInTwoSteps if found.is_some() => {
                let half = ThrottleRecord::new("");
                self.records
                    .replace(key, found.as_ref(), &half, expires_at)
                    .await?;
                // Who reads the half does not get it changed, nor does this get lost.
                if new.as_str() == "new" {
                    yield_now().await;
                }
                found = Some(half);
            }
            _ => {}
        }
        self.records
            .replace(key, found.as_ref(), &new, expires_at)
            .await
    }

    async fn delete_expired(&self, now: SystemTime, limit: u32) -> Result<u32, Error> {
        self.up()?;
        let second = Duration::from_secs(1);
        match self.fault {
            Fault::DeleteExpiredDoesNothing => Ok(0),
            Fault::DeleteExpiredLeavesTheLast => {
                self.records.delete_expired(now - second, limit).await
            }
            Fault::DeleteExpiredMiscounts => Ok(self.records.delete_expired(now, limit).await? + 1),
            Fault::DeleteExpiredIgnoresTheLimit => self.records.delete_expired(now, u32::MAX).await,
            Fault::DeleteExpiredRoundsUp => self.records.delete_expired(now + second, limit).await,
            _ => self.records.delete_expired(now, limit).await,
        }
    }
}
