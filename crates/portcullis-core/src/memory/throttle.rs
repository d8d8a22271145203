//! Attempts in memory.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;

use crate::error::Error;
use crate::throttle_store::{ThrottleKey, ThrottleRecord, ThrottleStore};

/// A [`ThrottleStore`] for one process, that forgets everything when it is dropped.
///
/// Keeps at most 100,000 records, in some 30 MiB. To make room it drops the one that would expire
/// first: who tries many names drops those tried once, before any that was tried more often.
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
        Ok(records.by_key.get(key).map(|(record, _)| record.clone()))
    }

    async fn replace(
        &self,
        key: &ThrottleKey,
        old: Option<&ThrottleRecord>,
        new: &ThrottleRecord,
        expires_at: SystemTime,
    ) -> Result<bool, Error> {
        let mut records = self.lock();
        if records.by_key.get(key).map(|(record, _)| record) != old {
            return Ok(false);
        }
        records.remove(key);
        while records.by_key.len() >= self.capacity {
            records.remove_first();
        }
        records.by_key.insert(*key, (new.clone(), expires_at));
        records.by_expiry.insert((expires_at, *key));
        Ok(true)
    }

    async fn delete_expired(&self, now: SystemTime, limit: u32) -> Result<u32, Error> {
        let mut records = self.lock();
        let mut deleted = 0;
        while deleted < limit && records.by_expiry.first().is_some_and(|(at, _)| *at <= now) {
            records.remove_first();
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

/// Both always hold the same keys.
#[derive(Default)]
struct Records {
    by_key: HashMap<ThrottleKey, (ThrottleRecord, SystemTime)>,
    by_expiry: BTreeSet<(SystemTime, ThrottleKey)>,
}

impl Records {
    fn remove(&mut self, key: &ThrottleKey) {
        if let Some((_, expires_at)) = self.by_key.remove(key) {
            self.by_expiry.remove(&(expires_at, *key));
        }
    }

    fn remove_first(&mut self) {
        if let Some((_, key)) = self.by_expiry.pop_first() {
            self.by_key.remove(&key);
        }
    }
}
