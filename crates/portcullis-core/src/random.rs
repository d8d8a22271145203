//! Where the core gets salts, ids and keys from, so that tests can repeat a run.

use std::fmt::Debug;

use crate::error::BoxError;

/// A source of bytes that nobody can predict.
pub trait SecureRandom: Debug + Send + Sync + 'static {
    /// Fills `buf` with random bytes.
    ///
    /// # Errors
    /// The provider's own error if it has no randomness to give. `buf` must then not be used.
    fn fill(&self, buf: &mut [u8]) -> Result<(), BoxError>;
}

/// The random number generator of the operating system.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "it has a name and nothing else")]
pub struct OsRandom;

impl SecureRandom for OsRandom {
    fn fill(&self, buf: &mut [u8]) -> Result<(), BoxError> {
        getrandom::fill(buf).map_err(Into::into)
    }
}
