//! What a backend keeps for the throttle, and the trait by which the core reaches it.

use std::fmt;
use std::time::SystemTime;

use async_trait::async_trait;
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::store::Username;

/// Keeps what a [`Throttle`](crate::Throttle) has counted. Implement this to put it anywhere; prove
/// it with the conformance suite of `portcullis-testkit`.
///
/// A store stores: what a record says, and whether it has expired, is decided by the core.
/// [`replace`](Self::replace) is what makes that one atomic step: a decision is written only over
/// the record that it was made from. Every method but [`delete_expired`](Self::delete_expired) is
/// atomic, also between processes, and is cancellation safe: a future dropped half-way has either
/// done the whole step or nothing.
///
/// Each method fails with [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the store
/// does not answer and with [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if what it holds
/// cannot be read; neither may look like an absent record. Dropping the returned future must not
/// block the calling thread.
#[async_trait]
pub trait ThrottleStore: fmt::Debug + Send + Sync + 'static {
    /// Finds a record, as it was last put there. `None` if there is none; one that has expired may
    /// be found or not.
    async fn find(&self, key: &ThrottleKey) -> Result<Option<ThrottleRecord>, Error>;

    /// Puts `new` in the place of `old`, to be kept until `expires_at`, only if `old` is what is
    /// there: `None` stands for no record. `false`, and nothing is changed, if it is not; a store
    /// may have dropped `old` once it had expired.
    ///
    /// Of `expires_at` at least the whole seconds are kept, for any time from 1970 to 9999.
    async fn replace(
        &self,
        key: &ThrottleKey,
        old: Option<&ThrottleRecord>,
        new: &ThrottleRecord,
        expires_at: SystemTime,
    ) -> Result<bool, Error>;

    /// Deletes records that have expired, which are those with `expires_at` at or before `now`, and
    /// tells how many: at most `limit`, and if fewer, none are left but what others are deleting.
    /// Need not be atomic.
    ///
    /// This is housekeeping, and a login waits for it: hence the limit. A store that by itself drops
    /// records once they have expired may do nothing here.
    async fn delete_expired(&self, now: SystemTime, limit: u32) -> Result<u32, Error>;
}

/// The name of an account's record: a SHA-256 (FIPS 180-4), so that whatever is typed as a username
/// takes the same room.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ThrottleKey([u8; 32]);

impl ThrottleKey {
    /// The key of an account, whether or not there is one of that name.
    ///
    /// Usernames that differ in case share a key. A store may take them for the same user, as one
    /// on a column without regard to case does, and each spelling must not have tries of its own.
    ///
    /// ```
    /// use portcullis_core::store::ThrottleKey;
    /// use portcullis_core::Username;
    ///
    /// let [ada, eve] = ["Ada", "eve"].map(|name| ThrottleKey::of(&Username::new(name)));
    /// assert_eq!(ada, ThrottleKey::of(&Username::new("ada")));
    /// assert_ne!(ada, eve);
    /// ```
    #[must_use]
    pub fn of(username: &Username) -> Self {
        Self(Sha256::digest(username.as_str().to_lowercase()).into())
    }

    /// The key itself.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Somebody may have typed a password for the username.
impl fmt::Debug for ThrottleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// What was counted for an account: a text of at most 2,048 bytes that only the core reads.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ThrottleRecord(String);

impl ThrottleRecord {
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
