//! Checks the hashes a service brought along from elsewhere, until each has been replaced.

use std::fmt::Debug;
use std::sync::Arc;

use super::{Arena, PasswordHash, PasswordHasher, Verdict};
use crate::error::Error;

/// A [`PasswordHasher`] that hashes by one hasher and also checks hashes of other schemes, like
/// passlib's `CryptContext` or Django's `PASSWORD_HASHERS`.
///
/// Whatever a scheme recognises needs a rehash, and an [`Authenticator`](crate::Authenticator) replaces it
/// at the next login, unless it is dearer to attack than a current one
/// ([`PasswordHasher::attack_cost`]): bcrypt at its usual cost of 12 is eight times as dear as Argon2id at
/// OWASP's parameters, and is kept until those here are raised. A hash that no scheme recognises goes to
/// the current hasher.
///
/// Checking takes the time of the stored hash's own scheme.
///
#[cfg_attr(all(feature = "bcrypt", feature = "scrypt"), doc = "```")]
#[cfg_attr(not(all(feature = "bcrypt", feature = "scrypt")), doc = "```ignore")]
/// use std::sync::Arc;
///
/// use portcullis_core::password::{Argon2Params, BcryptScheme, HashPoolConfig, MigratingHasher, ScryptScheme};
/// use portcullis_core::{Argon2idHasher, HashPool};
///
/// # fn main() -> Result<(), portcullis_core::Error> {
/// let current = Arc::new(Argon2idHasher::new(Argon2Params::default()));
/// let hasher = MigratingHasher::new(current)
///     .and_scheme(Arc::new(BcryptScheme::new()))
///     .and_scheme(Arc::new(ScryptScheme::new()));
/// let pool = HashPool::new(Arc::new(hasher), HashPoolConfig::default())?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct MigratingHasher {
    current: Arc<dyn PasswordHasher>,
    schemes: Vec<Arc<dyn HashScheme>>,
}

impl MigratingHasher {
    /// Makes a hasher that does as `current` does, until schemes are added.
    #[must_use]
    pub fn new(current: Arc<dyn PasswordHasher>) -> Self {
        Self {
            current,
            schemes: Vec::new(),
        }
    }

    /// Also checks hashes of `scheme`. Those added earlier are asked first.
    #[must_use]
    pub fn and_scheme(mut self, scheme: Arc<dyn HashScheme>) -> Self {
        self.schemes.push(scheme);
        self
    }

    fn scheme_of(&self, hash: &PasswordHash) -> Option<&dyn HashScheme> {
        self.schemes
            .iter()
            .map(AsRef::as_ref)
            .find(|scheme| scheme.recognises(hash))
    }
}

impl PasswordHasher for MigratingHasher {
    fn hash(&self, password: &[u8], arena: &mut Arena) -> Result<PasswordHash, Error> {
        self.current.hash(password, arena)
    }

    fn verify(
        &self,
        password: &[u8],
        hash: &PasswordHash,
        arena: &mut Arena,
    ) -> Result<Verdict, Error> {
        match self.scheme_of(hash) {
            Some(scheme) => scheme.verify(password, hash, arena),
            None => self.current.verify(password, hash, arena),
        }
    }

    fn needs_rehash(&self, hash: &PasswordHash) -> bool {
        self.scheme_of(hash).is_some() || self.current.needs_rehash(hash)
    }

    fn attack_cost(&self, hash: &PasswordHash) -> Option<f64> {
        match self.scheme_of(hash) {
            Some(scheme) => scheme.attack_cost(hash),
            None => self.current.attack_cost(hash),
        }
    }

    fn covers(&self, password: &[u8], hash: &PasswordHash) -> bool {
        match self.scheme_of(hash) {
            Some(scheme) => scheme.covers(password, hash),
            None => self.current.covers(password, hash),
        }
    }
}

/// A password hashing scheme that hashes are checked by, but no longer made by: CPU-bound,
/// synchronous, without I/O.
pub trait HashScheme: Debug + Send + Sync + 'static {
    /// Tells, by its prefix alone, whether `hash` is one of this scheme, sound or not.
    fn recognises(&self, hash: &PasswordHash) -> bool;

    /// Tells whether `password` is the one that `hash` was made from.
    ///
    /// # Errors
    /// `Corrupt` if `hash` is malformed or dearer than the scheme's limits, decided before
    /// anything large is allocated or hashed; the error quotes nothing of it. `Unavailable` if
    /// there is no memory. Never for a wrong password.
    fn verify(
        &self,
        password: &[u8],
        hash: &PasswordHash,
        arena: &mut Arena,
    ) -> Result<Verdict, Error>;

    /// What a guess at `hash` costs, as [`PasswordHasher::attack_cost`] has it. A hash of which it is not
    /// known is never replaced.
    fn attack_cost(&self, hash: &PasswordHash) -> Option<f64>;

    /// Tells whether a match with `hash` is one with the whole of `password`; if not, the hash is not
    /// replaced by one of what was typed. Default: yes.
    fn covers(&self, password: &[u8], hash: &PasswordHash) -> bool {
        let _ = (password, hash);
        true
    }
}
