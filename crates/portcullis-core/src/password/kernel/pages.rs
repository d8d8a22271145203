//! Memory straight from the system, on huge pages where it has them.

use std::io;

use argon2::Block;
use memmap2::MmapMut;
use zeroize::Zeroize;

/// What huge pages are on most machines. A wrong guess costs speed, nothing else.
const HUGE_PAGE: usize = 2 << 20;

// What the cast in `Pages::blocks` relies on.
const _: () = assert!(size_of::<Block>() == Block::SIZE);

/// Blocks of 1 KiB that begin at a multiple of 2 MiB. Not resident before they are first written.
pub(super) struct Pages {
    map: MmapMut,
    start: usize,
    count: usize,
}

impl Pages {
    /// Maps room for `count` blocks.
    pub(super) fn new(count: usize) -> io::Result<Self> {
        let len = count
            .checked_mul(Block::SIZE)
            .ok_or(io::ErrorKind::OutOfMemory)?;
        let with_slack = len
            .checked_add(HUGE_PAGE)
            .ok_or(io::ErrorKind::OutOfMemory)?;
        let map = MmapMut::map_anon(with_slack)?;
        let address = map.as_ptr().addr();
        let start = address.next_multiple_of(HUGE_PAGE) - address;
        advise_huge_pages(&map, start, len);
        Ok(Self { map, start, count })
    }

    /// How many blocks there is room for.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The first `count` blocks, or all if there are fewer.
    pub(super) fn blocks(&mut self, count: usize) -> &mut [Block] {
        // SAFETY: a `Block` is 128 `u64`s and, by the assertion above, nothing else. Any bytes
        // make one, and whatever is written to one leaves bytes that are initialised.
        #[expect(unsafe_code, reason = "Argon2 wants blocks, the system gives bytes")]
        let (_, blocks, _) = unsafe { self.bytes(count).align_to_mut() };
        blocks
    }

    /// Overwrites the first `count` blocks with zeros, in a way no compiler leaves out.
    pub(super) fn wipe(&mut self, count: usize) {
        self.bytes(count).zeroize();
    }

    fn bytes(&mut self, count: usize) -> &mut [u8] {
        let len = count.min(self.count) * Block::SIZE;
        self.map
            .get_mut(self.start..)
            .and_then(|bytes| bytes.get_mut(..len))
            .unwrap_or_default()
    }
}

/// Asks for huge pages where whole ones fit: a last one that is only partly used would be resident
/// as a whole. Best effort: without them hashing is slower by a tenth.
#[cfg(all(target_os = "linux", not(miri)))]
fn advise_huge_pages(map: &MmapMut, start: usize, len: usize) {
    let _ = map.advise_range(
        memmap2::Advice::HugePage,
        start,
        len / HUGE_PAGE * HUGE_PAGE,
    );
}

#[cfg(not(all(target_os = "linux", not(miri))))]
fn advise_huge_pages(_: &MmapMut, _: usize, _: usize) {}
