//! What a backend keeps for the throttle, and the trait by which the core reaches it.

use std::fmt;
use std::net::IpAddr;
use std::time::SystemTime;

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;

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

/// The name of a record: a SHA-256 (FIPS 180-4), so that whatever is typed as a username takes the same
/// room.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ThrottleKey([u8; 32]);

impl ThrottleKey {
    /// The key of an account, whether or not there is one of that name.
    ///
    /// Usernames that a store could take for the same user share a key, as one on a column without
    /// regard to case does, so that no spelling has tries of its own: those that differ in case, in how
    /// Unicode composes or widens a character (NFKC), in characters that are not shown, and in white
    /// space at the ends.
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
        let digest = Sha256::new().chain_update(b"account\0");
        Self(
            digest
                .chain_update(fold(username.as_str()))
                .finalize()
                .into(),
        )
    }

    /// The key of what is counted for clients at `address`: itself, or its /64 for IPv6 (RFC 6177 §2).
    #[must_use]
    pub fn of_address(address: IpAddr) -> Self {
        let digest = Sha256::new().chain_update(b"address\0");
        let digest = match address.to_canonical() {
            IpAddr::V4(address) => digest.chain_update(address.octets()),
            IpAddr::V6(address) => digest.chain_update(&address.octets()[..8]),
        };
        Self(digest.finalize().into())
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

/// What was counted: a text of at most 2,048 bytes that only the core reads.
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

/// One spelling for all that a store could take for the same.
fn fold(name: &str) -> String {
    let shown = name.nfkc().filter(|&char| !is_ignorable(char));
    // Both ways: `ß` and `ſ` have no upper case of one character, or share it with another.
    let folded = shown
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase);
    // What was filtered out may have kept apart what composes.
    let folded: String = folded.nfkc().collect();
    folded.trim().to_owned()
}

/// Whether a character is not shown: `Default_Ignorable_Code_Point` of Unicode 16
/// (DerivedCoreProperties.txt), which collations pass over.
fn is_ignorable(char: char) -> bool {
    matches!(
        u32::from(char),
        0xAD | 0x34F
            | 0x61C
            | 0x115F..=0x1160
            | 0x17B4..=0x17B5
            | 0x180B..=0x180F
            | 0x200B..=0x200F
            | 0x202A..=0x202E
            | 0x2060..=0x206F
            | 0x3164
            | 0xFE00..=0xFE0F
            | 0xFEFF
            | 0xFFA0
            | 0xFFF0..=0xFFF8
            | 0x1BCA0..=0x1BCA3
            | 0x1D173..=0x1D17A
            | 0xE0000..=0xE0FFF
    ) || char.is_control()
}
