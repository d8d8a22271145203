//! Families of refresh tokens in memory.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;

use crate::error::{Error, ErrorKind};
use crate::store::{FamilyKey, FamilyRecord, RefreshStore, UserId};

/// A [`RefreshStore`] that forgets everything when it is dropped.
#[derive(Default)]
pub struct MemoryRefreshStore {
    families: Mutex<HashMap<FamilyKey, Kept>>,
}

impl MemoryRefreshStore {
    /// Makes an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    // No step below can panic half-way, so what a poisoned lock guards is whole.
    fn lock(&self) -> MutexGuard<'_, HashMap<FamilyKey, Kept>> {
        self.families.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Kept {
    subject: UserId,
    record: FamilyRecord,
    expires_at: SystemTime,
}

#[async_trait]
impl RefreshStore for MemoryRefreshStore {
    async fn insert(
        &self,
        key: &FamilyKey,
        subject: &UserId,
        record: &FamilyRecord,
        expires_at: SystemTime,
        _: SystemTime,
    ) -> Result<(), Error> {
        match self.lock().entry(*key) {
            Entry::Occupied(_) => Err(Error::new(
                ErrorKind::AlreadyExists,
                "the key of the family is taken",
            )),
            Entry::Vacant(entry) => {
                entry.insert(Kept {
                    subject: subject.clone(),
                    record: record.clone(),
                    expires_at,
                });
                Ok(())
            }
        }
    }

    async fn find(&self, key: &FamilyKey) -> Result<Option<FamilyRecord>, Error> {
        Ok(self.lock().get(key).map(|kept| kept.record.clone()))
    }

    async fn list(
        &self,
        subject: &UserId,
        limit: u32,
    ) -> Result<Vec<(FamilyKey, FamilyRecord)>, Error> {
        let families = self.lock();
        let of_subject = families.iter().filter(|(_, kept)| kept.subject == *subject);
        Ok((0..limit)
            .zip(of_subject)
            .map(|(_, (key, kept))| (*key, kept.record.clone()))
            .collect())
    }

    async fn replace(
        &self,
        key: &FamilyKey,
        old: &FamilyRecord,
        new: &FamilyRecord,
        expires_at: SystemTime,
    ) -> Result<bool, Error> {
        let mut families = self.lock();
        let kept = families.get_mut(key).filter(|kept| kept.record == *old);
        Ok(kept.is_some_and(|kept| {
            kept.record = new.clone();
            kept.expires_at = expires_at;
            true
        }))
    }

    async fn revoke(&self, key: &FamilyKey) -> Result<bool, Error> {
        Ok(self.lock().remove(key).is_some())
    }

    async fn revoke_all(&self, subject: &UserId) -> Result<u64, Error> {
        let mut families = self.lock();
        let revoked = families.extract_if(|_, kept| kept.subject == *subject);
        Ok(revoked.count() as u64)
    }

    async fn delete_expired(&self, now: SystemTime, limit: u32) -> Result<u32, Error> {
        let mut families = self.lock();
        let expired = families.extract_if(|_, kept| kept.expires_at <= now);
        Ok((0..limit).zip(expired).map(|_| 1).sum())
    }
}

impl fmt::Debug for MemoryRefreshStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryRefreshStore")
            .field("families", &self.lock().len())
            .finish()
    }
}
