//! The scratch memory of one hash, kept for the next.

use std::fmt;

use argon2::Block;
use zeroize::Zeroize;

use crate::error::{Error, ErrorKind};

/// The memory a hasher works in. Each thread of a [`HashPool`](crate::HashPool) owns one, so that
/// a pool never holds more than its threads times the largest hash they were allowed to check.
///
/// Wiped after every hash: what Argon2 leaves in it is derived from the password.
#[derive(Default)]
pub struct Arena {
    blocks: Vec<Block>,
}

impl Arena {
    /// Makes an arena that holds no memory yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How much memory the arena holds, in bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.blocks.capacity().saturating_mul(Block::SIZE)
    }

    /// Lends `count` blocks of 1 KiB to `work`, and wipes them afterwards.
    ///
    /// # Errors
    /// `Unavailable` if the memory is not to be had.
    pub(crate) fn with_blocks<T>(
        &mut self,
        count: usize,
        work: impl FnOnce(&mut [Block]) -> T,
    ) -> Result<T, Error> {
        if self.blocks.len() < count {
            // Free first: the old blocks are of no use, and both together would break the bound.
            self.blocks = Vec::new();
            self.blocks.try_reserve_exact(count).map_err(|source| {
                Error::new(ErrorKind::Unavailable, "no memory for a password hash")
                    .with_source(source)
            })?;
            self.blocks.resize(count, Block::new());
        }
        let blocks = self.blocks.get_mut(..count).unwrap_or_default();
        let result = work(blocks);
        blocks.iter_mut().zeroize();
        Ok(result)
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena")
            .field("capacity", &self.capacity())
            .finish()
    }
}
