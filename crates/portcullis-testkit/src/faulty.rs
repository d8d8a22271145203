//! Stores that fail when a test wants them to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use portcullis_core::password::PasswordHash;
use portcullis_core::store::{
    FamilyKey, FamilyRecord, RefreshStore, ThrottleKey, ThrottleRecord, ThrottleStore, TokenHash,
    TokenStore, UserStatus,
};
use portcullis_core::{
    Claims, Credential, CredentialStore, Error, ErrorKind, UserId, Username, async_trait,
};

/// A store of any kind over another, which tells [`Faults`] of each call and fails where they say.
/// A call that fails has done nothing.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use std::sync::Arc;
///
/// use portcullis_core::memory::MemoryCredentialStore;
/// use portcullis_core::{CredentialStore, ErrorKind, UserId};
/// use portcullis_testkit::{Faults, Faulty};
///
/// let faults = Arc::new(Faults::new());
/// let users = Faulty::new("users", MemoryCredentialStore::new(), faults.clone());
/// let id = UserId::new("1");
///
/// faults.fail("users.find_by_id", 2);
/// assert!(users.find_by_id(&id).await.is_ok());
/// let refused = users.find_by_id(&id).await.unwrap_err();
/// assert_eq!(refused.kind(), ErrorKind::Unavailable);
/// assert!(users.find_by_id(&id).await.is_ok());
/// assert_eq!(faults.take_calls(), ["users.find_by_id"; 3]);
/// # }
/// ```
#[derive(Debug)]
pub struct Faulty<S> {
    name: &'static str,
    store: S,
    faults: Arc<Faults>,
}

impl<S> Faulty<S> {
    /// Calls the methods of `store` by `name`: `find` of `users` is `users.find`. Several stores can
    /// share their faults, and so the order of their calls.
    #[must_use]
    pub fn new(name: &'static str, store: S, faults: Arc<Faults>) -> Self {
        Self {
            name,
            store,
            faults,
        }
    }

    fn call(&self, method: &'static str) -> Result<(), Error> {
        self.faults.call(format!("{}.{method}", self.name))
    }
}

/// Which calls of [`Faulty`] stores fail, and which there were.
#[derive(Debug, Default)]
pub struct Faults {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<String>,
    /// What is to fail, and at which call of it from now.
    fail: Option<(Fault, usize)>,
}

#[derive(Debug)]
enum Fault {
    Any,
    Method(String),
}

impl Faults {
    /// Makes faults of which there is none.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Has the `nth` call of `method` from now fail with `Unavailable`, counted from 1, as
    /// `users.find`; those before and after it work. It replaces what was said before.
    pub fn fail(&self, method: &str, nth: usize) {
        self.lock().fail = Some((Fault::Method(method.to_owned()), nth));
    }

    /// As [`fail`](Self::fail), for the `nth` call of any method.
    pub fn fail_any(&self, nth: usize) {
        self.lock().fail = Some((Fault::Any, nth));
    }

    /// Has no further call fail. Returns whether one was still to.
    pub fn heal(&self) -> bool {
        self.lock().fail.take().is_some()
    }

    /// Takes the calls made since the last time, in order, those that failed included.
    #[must_use]
    pub fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().calls)
    }

    fn call(&self, call: String) -> Result<(), Error> {
        let mut state = self.lock();
        let fails = match &mut state.fail {
            Some((Fault::Method(method), _)) if *method != call => false,
            Some((_, nth)) => {
                *nth = nth.saturating_sub(1);
                *nth == 0
            }
            None => false,
        };
        state.calls.push(call);
        if fails {
            state.fail = None;
            return Err(Error::new(ErrorKind::Unavailable, "this call was to fail"));
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl<S: CredentialStore> CredentialStore for Faulty<S> {
    async fn find(&self, username: &Username) -> Result<Option<Credential>, Error> {
        self.call("find")?;
        self.store.find(username).await
    }

    async fn find_by_id(&self, user_id: &UserId) -> Result<Option<Credential>, Error> {
        self.call("find_by_id")?;
        self.store.find_by_id(user_id).await
    }

    async fn list(&self, after: Option<&Username>, limit: usize) -> Result<Vec<Credential>, Error> {
        self.call("list")?;
        self.store.list(after, limit).await
    }

    async fn create(&self, credential: &Credential) -> Result<(), Error> {
        self.call("create")?;
        self.store.create(credential).await
    }

    async fn replace_hash(
        &self,
        user_id: &UserId,
        old: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<bool, Error> {
        self.call("replace_hash")?;
        self.store.replace_hash(user_id, old, new).await
    }

    async fn change_password(
        &self,
        user_id: &UserId,
        old: &PasswordHash,
        new: &PasswordHash,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, Error> {
        self.call("change_password")?;
        self.store.change_password(user_id, old, new, now).await
    }

    async fn set_password(
        &self,
        user_id: &UserId,
        new: &PasswordHash,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, Error> {
        self.call("set_password")?;
        self.store.set_password(user_id, new, now).await
    }

    async fn end_sessions(
        &self,
        user_id: &UserId,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, Error> {
        self.call("end_sessions")?;
        self.store.end_sessions(user_id, now).await
    }

    async fn set_status(&self, user_id: &UserId, status: UserStatus) -> Result<bool, Error> {
        self.call("set_status")?;
        self.store.set_status(user_id, status).await
    }

    async fn delete(&self, user_id: &UserId) -> Result<bool, Error> {
        self.call("delete")?;
        self.store.delete(user_id).await
    }
}

#[async_trait]
impl<S: RefreshStore> RefreshStore for Faulty<S> {
    async fn list(
        &self,
        subject: &UserId,
        limit: u32,
    ) -> Result<Vec<(FamilyKey, FamilyRecord)>, Error> {
        self.call("list")?;
        self.store.list(subject, limit).await
    }

    async fn insert(
        &self,
        key: &FamilyKey,
        subject: &UserId,
        record: &FamilyRecord,
        expires_at: SystemTime,
        ends_at: SystemTime,
    ) -> Result<(), Error> {
        self.call("insert")?;
        self.store
            .insert(key, subject, record, expires_at, ends_at)
            .await
    }

    async fn find(&self, key: &FamilyKey) -> Result<Option<FamilyRecord>, Error> {
        self.call("find")?;
        self.store.find(key).await
    }

    async fn replace(
        &self,
        key: &FamilyKey,
        old: &FamilyRecord,
        new: &FamilyRecord,
        expires_at: SystemTime,
    ) -> Result<bool, Error> {
        self.call("replace")?;
        self.store.replace(key, old, new, expires_at).await
    }

    async fn revoke(&self, key: &FamilyKey) -> Result<bool, Error> {
        self.call("revoke")?;
        self.store.revoke(key).await
    }

    async fn revoke_all(&self, subject: &UserId) -> Result<u64, Error> {
        self.call("revoke_all")?;
        self.store.revoke_all(subject).await
    }

    async fn delete_expired(&self, now: SystemTime, limit: u32) -> Result<u32, Error> {
        self.call("delete_expired")?;
        self.store.delete_expired(now, limit).await
    }
}

#[async_trait]
impl<S: ThrottleStore> ThrottleStore for Faulty<S> {
    async fn find(&self, key: &ThrottleKey) -> Result<Option<ThrottleRecord>, Error> {
        self.call("find")?;
        self.store.find(key).await
    }

    async fn replace(
        &self,
        key: &ThrottleKey,
        old: Option<&ThrottleRecord>,
        new: &ThrottleRecord,
        expires_at: SystemTime,
    ) -> Result<bool, Error> {
        self.call("replace")?;
        self.store.replace(key, old, new, expires_at).await
    }

    async fn delete_expired(&self, now: SystemTime, limit: u32) -> Result<u32, Error> {
        self.call("delete_expired")?;
        self.store.delete_expired(now, limit).await
    }
}

#[async_trait]
impl<S: TokenStore> TokenStore for Faulty<S> {
    async fn insert(&self, hash: &TokenHash, claims: &Claims) -> Result<(), Error> {
        self.call("insert")?;
        self.store.insert(hash, claims).await
    }

    async fn find(&self, hash: &TokenHash) -> Result<Option<Claims>, Error> {
        self.call("find")?;
        self.store.find(hash).await
    }

    async fn revoke(&self, hash: &TokenHash) -> Result<bool, Error> {
        self.call("revoke")?;
        self.store.revoke(hash).await
    }

    async fn revoke_all(&self, subject: &UserId) -> Result<u64, Error> {
        self.call("revoke_all")?;
        self.store.revoke_all(subject).await
    }

    async fn delete_expired(&self, now: SystemTime, limit: u32) -> Result<u32, Error> {
        self.call("delete_expired")?;
        self.store.delete_expired(now, limit).await
    }
}
