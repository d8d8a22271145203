//! A store that is out of order.

use std::time::SystemTime;

use portcullis_core::password::PasswordHash;
use portcullis_core::store::{
    FamilyKey, FamilyRecord, RefreshStore, ThrottleKey, ThrottleRecord, ThrottleStore, TokenHash,
    TokenStore, UserStatus,
};
use portcullis_core::{
    Claims, Credential, CredentialStore, Error, ErrorKind, UserId, Username, async_trait,
};

/// A store of everything, in which everything fails. Its errors hold a secret, which must not get
/// anywhere.
#[derive(Clone, Copy, Debug)]
pub struct BrokenStore {
    kind: ErrorKind,
}

impl BrokenStore {
    /// Makes a store whose methods fail with `kind`.
    #[must_use]
    pub fn new(kind: ErrorKind) -> Self {
        Self { kind }
    }

    fn fail<T>(&self) -> Result<T, Error> {
        Err(Error::new(
            self.kind,
            "the database is at postgres://u:secret@db",
        ))
    }
}

#[async_trait]
impl CredentialStore for BrokenStore {
    async fn find(&self, _: &Username) -> Result<Option<Credential>, Error> {
        self.fail()
    }
    async fn find_by_id(&self, _: &UserId) -> Result<Option<Credential>, Error> {
        self.fail()
    }
    async fn list(&self, _: Option<&Username>, _: usize) -> Result<Vec<Credential>, Error> {
        self.fail()
    }
    async fn create(&self, _: &Credential) -> Result<(), Error> {
        self.fail()
    }
    async fn replace_hash(
        &self,
        _: &UserId,
        _: &PasswordHash,
        _: &PasswordHash,
    ) -> Result<bool, Error> {
        self.fail()
    }
    async fn change_password(
        &self,
        _: &UserId,
        _: &PasswordHash,
        _: &PasswordHash,
        _: SystemTime,
    ) -> Result<Option<SystemTime>, Error> {
        self.fail()
    }
    async fn set_password(
        &self,
        _: &UserId,
        _: &PasswordHash,
        _: SystemTime,
    ) -> Result<Option<SystemTime>, Error> {
        self.fail()
    }
    async fn end_sessions(&self, _: &UserId, _: SystemTime) -> Result<Option<SystemTime>, Error> {
        self.fail()
    }
    async fn set_status(&self, _: &UserId, _: UserStatus) -> Result<bool, Error> {
        self.fail()
    }
    async fn delete(&self, _: &UserId) -> Result<bool, Error> {
        self.fail()
    }
}

#[async_trait]
impl RefreshStore for BrokenStore {
    async fn insert(
        &self,
        _: &FamilyKey,
        _: &UserId,
        _: &FamilyRecord,
        _: SystemTime,
        _: SystemTime,
    ) -> Result<(), Error> {
        self.fail()
    }
    async fn find(&self, _: &FamilyKey) -> Result<Option<FamilyRecord>, Error> {
        self.fail()
    }
    async fn list(&self, _: &UserId, _: u32) -> Result<Vec<(FamilyKey, FamilyRecord)>, Error> {
        self.fail()
    }
    async fn replace(
        &self,
        _: &FamilyKey,
        _: &FamilyRecord,
        _: &FamilyRecord,
        _: SystemTime,
    ) -> Result<bool, Error> {
        self.fail()
    }
    async fn revoke(&self, _: &FamilyKey) -> Result<bool, Error> {
        self.fail()
    }
    async fn revoke_all(&self, _: &UserId) -> Result<u64, Error> {
        self.fail()
    }
    async fn delete_expired(&self, _: SystemTime, _: u32) -> Result<u32, Error> {
        self.fail()
    }
}

#[async_trait]
impl ThrottleStore for BrokenStore {
    async fn find(&self, _: &ThrottleKey) -> Result<Option<ThrottleRecord>, Error> {
        self.fail()
    }
    async fn replace(
        &self,
        _: &ThrottleKey,
        _: Option<&ThrottleRecord>,
        _: &ThrottleRecord,
        _: SystemTime,
    ) -> Result<bool, Error> {
        self.fail()
    }
    async fn delete_expired(&self, _: SystemTime, _: u32) -> Result<u32, Error> {
        self.fail()
    }
}

#[async_trait]
impl TokenStore for BrokenStore {
    async fn insert(&self, _: &TokenHash, _: &Claims) -> Result<(), Error> {
        self.fail()
    }
    async fn find(&self, _: &TokenHash) -> Result<Option<Claims>, Error> {
        self.fail()
    }
    async fn revoke(&self, _: &TokenHash) -> Result<bool, Error> {
        self.fail()
    }
    async fn revoke_all(&self, _: &UserId) -> Result<u64, Error> {
        self.fail()
    }
    async fn delete_expired(&self, _: SystemTime, _: u32) -> Result<u32, Error> {
        self.fail()
    }
}
