//! Users in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::SystemTime;

use async_trait::async_trait;

use crate::clock::UnixTime;
use crate::error::{Error, ErrorKind};
use crate::password::PasswordHash;
use crate::store::{Credential, CredentialStore, UserId, UserStatus, Username};

/// A [`CredentialStore`] that forgets everything when it is dropped.
#[derive(Default)]
pub struct MemoryCredentialStore {
    users: RwLock<Users>,
}

impl MemoryCredentialStore {
    /// Makes an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    // No step below can panic half-way, so what a poisoned lock guards is whole.
    fn read(&self) -> RwLockReadGuard<'_, Users> {
        self.users.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Users> {
        self.users.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl CredentialStore for MemoryCredentialStore {
    async fn find(&self, username: &Username) -> Result<Option<Credential>, Error> {
        Ok(self.read().by_name.get(username).cloned())
    }

    async fn find_by_id(&self, user_id: &UserId) -> Result<Option<Credential>, Error> {
        Ok(self.read().get(user_id).cloned())
    }

    async fn list(&self, after: Option<&Username>, limit: usize) -> Result<Vec<Credential>, Error> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        Ok(self
            .read()
            .by_name
            .range::<Username, _>((after, Bound::Unbounded))
            .take(limit)
            .map(|(_, credential)| credential.clone())
            .collect())
    }

    async fn create(&self, credential: &Credential) -> Result<(), Error> {
        let mut users = self.write();
        if users.by_name.contains_key(&credential.username)
            || users.names.contains_key(&credential.user_id)
        {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                "the username or the user id is taken",
            ));
        }
        users
            .names
            .insert(credential.user_id.clone(), credential.username.clone());
        let mut user = credential.clone();
        if let Some(cut_off) = UnixTime::from_system(user.tokens_valid_from) {
            user.tokens_valid_from = cut_off.to_system();
        }
        users.by_name.insert(user.username.clone(), user);
        Ok(())
    }

    async fn replace_hash(
        &self,
        user_id: &UserId,
        old: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<bool, Error> {
        Ok(match self.write().get_mut(user_id) {
            Some(user) if user.password_hash.as_ref() == Some(old) => {
                user.password_hash = Some(new.clone());
                true
            }
            _ => false,
        })
    }

    async fn change_password(
        &self,
        user_id: &UserId,
        old: &PasswordHash,
        new: &PasswordHash,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, Error> {
        Ok(match self.write().get_mut(user_id) {
            Some(user) if user.password_hash.as_ref() == Some(old) => {
                user.password_hash = Some(new.clone());
                Some(move_cut_off(user, now))
            }
            _ => None,
        })
    }

    async fn set_password(
        &self,
        user_id: &UserId,
        new: &PasswordHash,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, Error> {
        Ok(self.write().get_mut(user_id).map(|user| {
            user.password_hash = Some(new.clone());
            move_cut_off(user, now)
        }))
    }

    async fn end_sessions(
        &self,
        user_id: &UserId,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, Error> {
        let mut users = self.write();
        Ok(users.get_mut(user_id).map(|user| move_cut_off(user, now)))
    }

    async fn set_status(&self, user_id: &UserId, status: UserStatus) -> Result<bool, Error> {
        let mut users = self.write();
        let user = users.get_mut(user_id);
        Ok(user.map(|user| user.status = status).is_some())
    }

    async fn delete(&self, user_id: &UserId) -> Result<bool, Error> {
        let mut users = self.write();
        let Some(username) = users.names.remove(user_id) else {
            return Ok(false);
        };
        users.by_name.remove(&username);
        Ok(true)
    }
}

impl fmt::Debug for MemoryCredentialStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryCredentialStore")
            .field("users", &self.read().by_name.len())
            .finish()
    }
}

/// Both maps always hold the same users.
#[derive(Default)]
struct Users {
    by_name: BTreeMap<Username, Credential>,
    names: BTreeMap<UserId, Username>,
}

impl Users {
    fn get(&self, user_id: &UserId) -> Option<&Credential> {
        self.by_name.get(self.names.get(user_id)?)
    }

    fn get_mut(&mut self, user_id: &UserId) -> Option<&mut Credential> {
        self.by_name.get_mut(self.names.get(user_id)?)
    }
}

fn move_cut_off(user: &mut Credential, now: SystemTime) -> SystemTime {
    user.tokens_valid_from = user.next_cut_off(now);
    user.tokens_valid_from
}
