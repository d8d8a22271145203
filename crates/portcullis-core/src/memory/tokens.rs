//! Opaque tokens in memory.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::SystemTime;

use async_trait::async_trait;

use crate::error::{Error, ErrorKind};
use crate::store::{TokenHash, TokenStore, UserId};
use crate::token::Claims;

/// A [`TokenStore`] that forgets everything when it is dropped.
#[derive(Default)]
pub struct MemoryTokenStore {
    tokens: RwLock<HashMap<TokenHash, Claims>>,
}

impl MemoryTokenStore {
    /// Makes an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    // No step below can panic half-way, so what a poisoned lock guards is whole.
    fn read(&self) -> RwLockReadGuard<'_, HashMap<TokenHash, Claims>> {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<TokenHash, Claims>> {
        self.tokens.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl TokenStore for MemoryTokenStore {
    async fn insert(&self, hash: &TokenHash, claims: &Claims) -> Result<(), Error> {
        match self.write().entry(*hash) {
            Entry::Occupied(_) => Err(Error::new(
                ErrorKind::AlreadyExists,
                "the hash of the token is taken",
            )),
            Entry::Vacant(entry) => {
                entry.insert(claims.clone());
                Ok(())
            }
        }
    }

    async fn find(&self, hash: &TokenHash) -> Result<Option<Claims>, Error> {
        Ok(self.read().get(hash).cloned())
    }

    async fn revoke(&self, hash: &TokenHash) -> Result<bool, Error> {
        Ok(self.write().remove(hash).is_some())
    }

    async fn revoke_all(&self, subject: &UserId) -> Result<u64, Error> {
        let mut tokens = self.write();
        let revoked = tokens.extract_if(|_, claims| claims.sub == *subject);
        Ok(revoked.count() as u64)
    }

    async fn delete_expired(&self, now: SystemTime, limit: u32) -> Result<u32, Error> {
        let mut tokens = self.write();
        let expired = tokens.extract_if(|_, claims| claims.exp <= now);
        Ok((0..limit).zip(expired).map(|_| 1).sum())
    }
}

impl fmt::Debug for MemoryTokenStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTokenStore")
            .field("tokens", &self.read().len())
            .finish()
    }
}
