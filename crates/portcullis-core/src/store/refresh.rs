//! What a backend keeps of refresh tokens, and the trait by which the core reaches it.

use std::fmt;
use std::time::SystemTime;

use async_trait::async_trait;
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::store::UserId;

/// Keeps families of refresh tokens: all tokens that come of one login, each replaced by the next.
/// Implement this to put them anywhere; prove it with the conformance suite of
/// `portcullis-testkit`.
///
/// A store stores: what a record says, and whether it has expired, is decided by the core.
/// [`replace`](Self::replace) is what makes that one atomic step: a decision is written only over
/// the record that it was made from. Every method but [`revoke_all`](Self::revoke_all) and
/// [`delete_expired`](Self::delete_expired) is atomic, also between processes, and is cancellation
/// safe: a future dropped half-way has either done the whole step or nothing.
///
/// Of times at least the whole seconds are kept, for any time from 1970 to 9999.
///
/// Each method fails with [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the store
/// does not answer and with [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if what it holds
/// cannot be read; neither may look like an absent family. Dropping the returned future must not
/// block the calling thread.
#[async_trait]
pub trait RefreshStore: fmt::Debug + Send + Sync + 'static {
    /// Adds a family of `subject`, whole or not at all, to be kept until `expires_at`. No call of
    /// [`replace`](Self::replace) will ask to keep it beyond `ends_at`.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`](crate::ErrorKind::AlreadyExists) if the key is taken; the
    /// family that has it is never overwritten.
    async fn insert(
        &self,
        key: &FamilyKey,
        subject: &UserId,
        record: &FamilyRecord,
        expires_at: SystemTime,
        ends_at: SystemTime,
    ) -> Result<(), Error>;

    /// Finds the record of a family, as it was last put there. `None` if there is no such family,
    /// be it that it was revoked; one that has expired may be found or not.
    async fn find(&self, key: &FamilyKey) -> Result<Option<FamilyRecord>, Error>;

    /// Finds the families of a user, in any order: at most `limit`, and if fewer, all that were there
    /// throughout the call. Those that have expired may be among them. Need not be atomic.
    async fn list(
        &self,
        subject: &UserId,
        limit: u32,
    ) -> Result<Vec<(FamilyKey, FamilyRecord)>, Error>;

    /// Puts `new` in the place of `old`, to be kept until `expires_at`, only if `old` is what is
    /// there. `false`, and nothing is changed, if it is not, or there is no such family; a store
    /// may have dropped it once it had expired.
    async fn replace(
        &self,
        key: &FamilyKey,
        old: &FamilyRecord,
        new: &FamilyRecord,
        expires_at: SystemTime,
    ) -> Result<bool, Error>;

    /// Deletes a family, so that from now on nobody finds it; `false` if there was none.
    async fn revoke(&self, key: &FamilyKey) -> Result<bool, Error>;

    /// Deletes all families of a user, and tells how many: "log out everywhere".
    ///
    /// Nobody finds one of them any more that was there before this was called, whatever was put
    /// in its place meanwhile. Need not be atomic: one that is inserted meanwhile may go or stay,
    /// and if this fails or is dropped half-way, some may be left, which a second call deletes.
    async fn revoke_all(&self, subject: &UserId) -> Result<u64, Error>;

    /// Deletes families that have expired, which are those with `expires_at` at or before `now`,
    /// and tells how many: at most `limit`, and if fewer, none are left but what others are
    /// deleting. Need not be atomic.
    ///
    /// This is housekeeping, and a login waits for it: hence the limit. A store that by itself
    /// drops families once they have expired may do nothing here.
    async fn delete_expired(&self, now: SystemTime, limit: u32) -> Result<u32, Error>;
}

/// The name of a family in a store: the SHA-256 (FIPS 180-4) of what all of its tokens begin with,
/// so that who reads the store cannot name a family to us.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FamilyKey([u8; 32]);

impl FamilyKey {
    /// The key of the family with this id.
    #[must_use]
    pub fn of(family_id: &[u8]) -> Self {
        Self(Sha256::digest(family_id).into())
    }

    /// The key that has these [bytes](Self::as_bytes), as a store kept them.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key itself.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for FamilyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// What is known of a family: a text that only the core reads. Its length depends on the user's id
/// and scopes.
#[derive(Clone, Eq, PartialEq)]
pub struct FamilyRecord(String);

impl FamilyRecord {
    /// Takes a record as it was stored.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text to store.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// There are hashes of tokens in it.
impl fmt::Debug for FamilyRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
