//! What a backend keeps of an opaque token, and the trait by which the core reaches it.

use std::fmt;
use std::time::SystemTime;

use async_trait::async_trait;
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::store::UserId;
use crate::token::Claims;

/// Keeps the opaque access tokens that are good, by their hashes. Implement this to put them
/// anywhere; prove it with the conformance suite of `portcullis-testkit`.
///
/// A store stores: whether a token has expired is decided by whoever finds it. Every method but
/// [`revoke_all`](Self::revoke_all) and [`delete_expired`](Self::delete_expired) is one atomic
/// step, also between processes, and is cancellation safe: a future dropped half-way has either
/// done the whole step or nothing.
///
/// Claims come back as they went in; of [`Claims::exp`] and [`Claims::iat`] at least the whole
/// seconds, for any time from 1970 to 9999. The fraction may be dropped: issuers give none. Of
/// [`Claims::cut_off`] the whole microseconds come back, and of [`Claims::extra`] any JSON that is
/// nested no deeper than 100.
///
/// Each method fails with [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the store
/// does not answer and with [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if what it holds
/// cannot be read; neither may look like an absent token. Dropping the returned future must not
/// block the calling thread.
#[async_trait]
pub trait TokenStore: fmt::Debug + Send + Sync + 'static {
    /// Adds a token, whole or not at all.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`](crate::ErrorKind::AlreadyExists) if the hash is taken; the
    /// token that has it is never overwritten.
    async fn insert(&self, hash: &TokenHash, claims: &Claims) -> Result<(), Error>;

    /// Finds a token. `None` when there is no such token, be it that it was revoked; one that has
    /// expired may be found or not.
    async fn find(&self, hash: &TokenHash) -> Result<Option<Claims>, Error>;

    /// Deletes a token, so that from now on nobody finds it; `false` if there was none.
    async fn revoke(&self, hash: &TokenHash) -> Result<bool, Error>;

    /// Deletes all tokens of a user, and tells how many: "log out everywhere".
    ///
    /// Nobody finds one of them any more that was there before this was called. Need not be
    /// atomic: one that is inserted meanwhile may go or stay, and if this fails or is dropped
    /// half-way, some may be left, which a second call deletes.
    async fn revoke_all(&self, subject: &UserId) -> Result<u64, Error>;

    /// Deletes tokens that have expired at `now`, which are those with [`Claims::exp`] at or before
    /// it, and tells how many: at most `limit`, and if fewer, none are left but what others are
    /// deleting. Need not be atomic.
    ///
    /// This is housekeeping, and a login waits for it: hence the limit. A store that by itself
    /// drops tokens once they have expired may do nothing here.
    async fn delete_expired(&self, now: SystemTime, limit: u32) -> Result<u32, Error>;
}

/// What a store has in place of an opaque token: its SHA-256 (FIPS 180-4).
///
/// A token has 256 random bits, so that nobody gets from the hash to the token, and no salt or
/// slow hash is needed. Nor need hashes be compared in constant time: who does not know the token
/// cannot choose its hash. Printed as `[redacted]` all the same.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Hashes a token, as exactly this text.
    ///
    /// ```
    /// use portcullis_core::store::TokenHash;
    ///
    /// // FIPS 180-4 has this example.
    /// assert_eq!(TokenHash::of("abc").as_bytes()[..4], [0xba, 0x78, 0x16, 0xbf]);
    /// ```
    #[must_use]
    pub fn of(access_token: &str) -> Self {
        Self(Sha256::digest(access_token).into())
    }

    /// Takes a hash as it is.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The hash itself.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
