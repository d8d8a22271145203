//! Turns passwords into hashes and checks them. Only this module names an algorithm.

use std::fmt::{self, Debug};

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};

mod arena;
mod argon2id;
mod blocklist;
#[cfg(feature = "zxcvbn")]
mod common;
mod kernel;
#[cfg(any(feature = "bcrypt", feature = "pbkdf2", feature = "scrypt"))]
mod legacy;
mod migrating;
mod policy;
mod pool;
mod target_time;

pub use arena::{Arena, Wiping};
pub use argon2id::{Argon2Limits, Argon2Params, Argon2idHasher};
pub use blocklist::Blocklist;
#[cfg(feature = "zxcvbn")]
pub use common::CommonPasswords;
#[cfg(feature = "bcrypt")]
pub use legacy::BcryptScheme;
#[cfg(feature = "pbkdf2")]
pub use legacy::Pbkdf2Scheme;
#[cfg(feature = "scrypt")]
pub use legacy::{ScryptLimits, ScryptScheme};
pub use migrating::{HashScheme, MigratingHasher};
pub use policy::{MAX_PASSWORD_BYTES, PasswordPolicy, PasswordRefusal};
pub use pool::{HashPool, HashPoolConfig, HashPoolMetrics, ThreadPriority};
pub(crate) use target_time::{Class, Rest, TargetTime};

/// A way to hash passwords: CPU-bound, synchronous, without I/O.
///
/// Its methods run on the threads of a [`HashPool`], each with an [`Arena`] of
/// its own, reused from hash to hash.
pub trait PasswordHasher: Debug + Send + Sync + 'static {
    /// Hashes a password with a new salt, at the current parameters.
    ///
    /// # Errors
    /// `Unavailable` if there is no memory or no randomness.
    fn hash(&self, password: &[u8], arena: &mut Arena) -> Result<PasswordHash, Error>;

    /// Tells whether `password` is the one that `hash` was made from.
    ///
    /// # Errors
    /// `Corrupt` if `hash` is not a hash this hasher can check, decided before anything large is
    /// allocated; `Unavailable` if there is no memory. Never for a wrong password.
    fn verify(
        &self,
        password: &[u8],
        hash: &PasswordHash,
        arena: &mut Arena,
    ) -> Result<Verdict, Error>;

    /// Tells whether `hash` was made otherwise than [`hash`](Self::hash) would make it now, and may be
    /// replaced the next time the password is known. An [`Authenticator`](crate::Authenticator) replaces
    /// it unless that would make guesses [cheaper](Self::attack_cost).
    fn needs_rehash(&self, hash: &PasswordHash) -> bool;

    /// What a guess at `hash` costs whoever has stolen it, where 1 is about a ten-thousandth of a second
    /// of a graphics card of 2022; `None` for a hash that cannot be checked.
    ///
    /// The built-in hashers and schemes go by Steve Thomas, "Minimum Password Settings"
    /// (<https://tobtu.com/minimum-password-settings/>, December 2022), from which the OWASP Password
    /// Storage Cheat Sheet has its rows: those of Argon2id and PBKDF2 cost 1, as bcrypt at cost 9 does,
    /// and those of scrypt 1.1 to 1.8.
    fn attack_cost(&self, hash: &PasswordHash) -> Option<f64>;

    /// Tells whether a match with `hash` is one with the whole of `password`. Default: yes.
    fn covers(&self, password: &[u8], hash: &PasswordHash) -> bool {
        let _ = (password, hash);
        true
    }
}

/// What comparing a password with a hash told.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "there is no third answer; not knowing is an error"
)]
pub enum Verdict {
    /// It is the password.
    Match,
    /// It is not.
    Mismatch,
}

/// A stored password hash, in the PHC string format or one it is migrated from.
///
/// Any text can be one: a row is read as it is, and whether it makes sense is found out by
/// [`PasswordHasher::verify`]. Printed as `[redacted]`, wiped when dropped.
#[derive(Clone)]
pub struct PasswordHash(Zeroizing<String>);

impl PasswordHash {
    /// Takes a hash as it is stored.
    pub fn new(hash: impl Into<String>) -> Self {
        Self(Zeroizing::new(hash.into()))
    }

    /// The hash as it is stored.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Equality of the stored text, in constant time for equal lengths. It says nothing of passwords:
/// two hashes of one password differ by their salts.
impl PartialEq for PasswordHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for PasswordHash {}

fn compare(computed: &[u8], stored: &[u8]) -> Verdict {
    if bool::from(computed.ct_eq(stored)) {
        Verdict::Match
    } else {
        Verdict::Mismatch
    }
}

// Parsers' own errors quote parts of the hash, so they are not kept as the source.
fn corrupt(reason: &'static str) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        "a stored password hash cannot be checked",
    )
    .with_source(reason)
}
