//! Where the core gets salts, ids and keys from, so that tests can repeat a run.

use std::fmt::Debug;

use zeroize::Zeroizing;

use crate::error::{BoxError, Error, ErrorKind};

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

/// Takes random bytes for `purpose`, such as "an access token".
///
/// # Errors
/// `Unavailable` if `random` has none to give.
pub fn random_bytes<const LEN: usize>(
    random: &dyn SecureRandom,
    purpose: &'static str,
) -> Result<Zeroizing<[u8; LEN]>, Error> {
    let mut bytes = Zeroizing::new([0; LEN]);
    random.fill(&mut *bytes).map_err(|source| {
        let message = format!("there is no randomness for {purpose}");
        Error::new(ErrorKind::Unavailable, message).with_source(source)
    })?;
    Ok(bytes)
}

/// Whether a key cannot have come from a source of randomness: it has fewer than eight different bytes,
/// or repeats a piece of fewer than 16. Of keys that are 32 random bytes, or as many hexadecimal digits,
/// fewer than one in a million is so.
///
/// ```
/// use portcullis_core::random::is_guessable;
///
/// assert!(is_guessable(b"changemechangemechangemechangeme"));
/// assert!(!is_guessable(b"3vbWOTNRjTbMX4pYcLJFEYZJs0zEQoeT"));
/// ```
#[must_use]
pub fn is_guessable(key: &[u8]) -> bool {
    let mut seen = [false; 256];
    for byte in key {
        seen[usize::from(*byte)] = true;
    }
    let different = seen.iter().filter(|seen| **seen).count();
    let repeats = |period: usize| {
        key.len() >= 2 * period && key.iter().zip(&key[period..]).all(|(a, b)| a == b)
    };
    different < 8 || (1..16).any(repeats)
}
