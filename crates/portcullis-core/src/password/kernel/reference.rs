//! The kernel of the `argon2` crate, in memory of ours.

use argon2::{Argon2, Block};

use super::Variant;
use super::pages::Pages;
use crate::error::{Error, ErrorKind};
use crate::password::Wiping;

/// The memory Argon2 fills, reused from one computation to the next.
#[derive(Default)]
pub(in crate::password) struct Memory {
    pages: Option<Pages>,
}

impl Memory {
    /// Computes a tag as long as `tag`, growing as needed.
    pub(in crate::password) fn compute(
        &mut self,
        variant: &Variant,
        password: &[u8],
        salt: &[u8],
        tag: &mut [u8],
        wiping: Wiping,
    ) -> Result<(), Error> {
        let argon2 = Argon2::new(variant.algorithm, variant.version, variant.params.clone());
        let count = variant.params.block_count();
        let pages = self.reserve(count)?;
        let result =
            argon2.hash_password_into_with_memory(password, salt, tag, pages.blocks(count));
        match wiping {
            Wiping::AfterUse => pages.wipe(count),
            Wiping::Never => {}
        }
        result.map_err(|_| Error::new(ErrorKind::Internal, "Argon2 refused its input"))
    }

    /// How much there is, in bytes.
    pub(in crate::password) fn capacity(&self) -> usize {
        self.pages
            .as_ref()
            .map_or(0, |pages| pages.count() * Block::SIZE)
    }

    fn reserve(&mut self, count: usize) -> Result<&mut Pages, Error> {
        // Free first: the old pages are of no use, and both together would break the bound.
        self.pages.take_if(|pages| pages.count() < count);
        match &mut self.pages {
            Some(pages) => Ok(pages),
            none => {
                let pages = Pages::new(count).map_err(|source| {
                    Error::new(ErrorKind::Unavailable, "no memory for a password hash")
                        .with_source(source)
                })?;
                Ok(none.insert(pages))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use argon2::{Algorithm, Params, Version};

    use super::*;

    #[track_caller]
    fn check_residue(wiping: Wiping, wiped: bool) {
        let variant = Variant {
            algorithm: Algorithm::Argon2id,
            version: Version::V0x13,
            params: Params::new(8, 1, 1, None).unwrap(),
        };
        let mut memory = Memory::default();
        memory
            .compute(&variant, b"password", b"somesalt", &mut [0; 32], wiping)
            .unwrap();
        let blocks = memory.pages.as_mut().unwrap().blocks(8);
        assert_eq!(blocks.len(), 8);
        let words = blocks.iter().flat_map(AsRef::<[u64]>::as_ref);
        assert_eq!(words.copied().all(|word| word == 0), wiped);
    }

    #[test]
    fn what_a_hash_leaves_is_wiped() {
        check_residue(Wiping::AfterUse, true);
    }

    #[test]
    fn nothing_is_wiped_if_so_chosen() {
        check_residue(Wiping::Never, false);
    }

    #[test]
    fn blocks_start_at_a_huge_page() {
        let mut pages = Pages::new(3).unwrap();
        assert_eq!(pages.blocks(4).len(), 3);
        assert!(pages.blocks(3).as_ptr().addr().is_multiple_of(2 << 20));
    }
}
