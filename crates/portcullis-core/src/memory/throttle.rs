//! Attempts in memory.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;

use crate::error::Error;
use crate::store::{ThrottleKey, ThrottleRecord, ThrottleStore};

/// A [`ThrottleStore`] for one process, that forgets everything when it is dropped.
///
/// Keeps at most 100,000 records, in some 80 MiB. To make room it drops the one that was replaced longest ago: to have one account's
/// failures forgotten takes as many attempts on others as there is room for.
pub struct MemoryThrottleStore {
    records: Mutex<Records>,
    capacity: usize,
}

impl MemoryThrottleStore {
    /// Makes an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self {
            records: Mutex::default(),
            capacity: 100_000,
        }
    }

    /// Sets how many records are kept at most. Default 100,000; at least 1.
    #[must_use]
    pub fn with_capacity(mut self, records: usize) -> Self {
        self.capacity = records.max(1);
        self
    }

    // No step below can panic half-way, so what a poisoned lock guards is whole.
    fn lock(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryThrottleStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl ThrottleStore for MemoryThrottleStore {
    async fn find(&self, key: &ThrottleKey) -> Result<Option<ThrottleRecord>, Error> {
        let records = self.lock();
        Ok(records.by_key.get(key).map(|kept| kept.record.clone()))
    }

    async fn replace(
        &self,
        key: &ThrottleKey,
        old: Option<&ThrottleRecord>,
        new: &ThrottleRecord,
        expires_at: SystemTime,
    ) -> Result<bool, Error> {
        let mut records = self.lock();
        if records.by_key.get(key).map(|kept| &kept.record) != old {
            return Ok(false);
        }
        records.remove(key);
        while records.by_key.len() >= self.capacity {
            records.remove_oldest();
        }
        records.insert(key, new, expires_at);
        Ok(true)
    }

    async fn delete_expired(&self, now: SystemTime, limit: u32) -> Result<u32, Error> {
        let mut records = self.lock();
        let Records { by_key, by_age, .. } = &mut *records;
        let expired = by_key.extract_if(|_, kept| kept.expires_at <= now);
        let mut deleted = 0;
        for (_, (_, kept)) in (0..limit).zip(expired) {
            by_age.remove(&kept.number);
            deleted += 1;
        }
        Ok(deleted)
    }
}

impl fmt::Debug for MemoryThrottleStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryThrottleStore")
            .field("records", &self.lock().by_key.len())
            .finish_non_exhaustive()
    }
}

/// Both maps always hold the same keys.
#[derive(Default)]
struct Records {
    by_key: HashMap<ThrottleKey, Kept>,
    by_age: BTreeMap<u64, ThrottleKey>,
    /// Of the next record.
    number: u64,
}

struct Kept {
    record: ThrottleRecord,
    expires_at: SystemTime,
    number: u64,
}

impl Records {
    fn insert(&mut self, key: &ThrottleKey, record: &ThrottleRecord, expires_at: SystemTime) {
        let kept = Kept {
            record: record.clone(),
            expires_at,
            number: self.number,
        };
        self.by_age.insert(self.number, *key);
        self.by_key.insert(*key, kept);
        self.number += 1;
    }

    fn remove(&mut self, key: &ThrottleKey) {
        if let Some(kept) = self.by_key.remove(key) {
            self.by_age.remove(&kept.number);
        }
    }

    fn remove_oldest(&mut self) {
        if let Some((_, key)) = self.by_age.pop_first() {
            self.by_key.remove(&key);
        }
    }
}
