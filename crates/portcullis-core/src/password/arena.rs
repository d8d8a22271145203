//! The scratch memory of one hash, kept for the next.

use std::fmt;

use super::kernel::reference;
#[cfg(feature = "argon2-simd")]
use super::kernel::simd;

/// The memory a hasher works in. Each thread of a [`HashPool`](crate::HashPool) owns one, so that
/// a pool never holds more than its threads times the largest hash they were allowed to check.
///
/// It is taken from the system at the first hash, on huge pages where there are any, and reused
/// for every other. A stored hash that needs more than its hasher's own parameters gets more, which
/// is given back as soon as it is checked.
#[derive(Default)]
pub struct Arena {
    pub(super) reference: reference::Memory,
    #[cfg(feature = "argon2-simd")]
    pub(super) simd: simd::Memory,
}

impl Arena {
    /// Makes an arena that holds no memory yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives all memory back to the system if it is more than `bytes`.
    pub(super) fn keep_at_most(&mut self, bytes: usize) {
        if self.capacity() > bytes {
            *self = Self::default();
        }
    }

    /// How much memory the arena holds, in bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        let capacity = self.reference.capacity();
        #[cfg(feature = "argon2-simd")]
        let capacity = capacity + self.simd.capacity();
        capacity
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena")
            .field("capacity", &self.capacity())
            .finish()
    }
}

/// When an [`Arena`] is wiped of what a hash left in it, which is derived from the password.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Wiping {
    /// After every hash. Costs 3 to 4 % of the time of a hash at the default parameters.
    #[default]
    AfterUse,
    /// Not at all: the next hash overwrites it, and the system clears what is given back to it
    /// before anyone else gets it.
    Never,
}
