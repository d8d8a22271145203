//! Randomness that repeats itself.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use portcullis_core::BoxError;
use portcullis_core::random::SecureRandom;

/// Bytes that follow from a seed: the same in every run, **predictable by anybody**.
///
/// The generator is `SplitMix64` (Steele, Lea and Flood, 2014).
///
/// ```
/// use portcullis_core::random::SecureRandom;
/// use portcullis_testkit::SeededRandom;
///
/// let (mut one, mut same) = ([0; 20], [0; 20]);
/// SeededRandom::new(7).fill(&mut one)?;
/// SeededRandom::new(7).fill(&mut same)?;
/// assert_eq!(one, same);
///
/// let random = SeededRandom::new(7);
/// random.exhaust();
/// assert!(random.fill(&mut one).is_err());
/// # Ok::<(), portcullis_core::BoxError>(())
/// ```
#[derive(Debug)]
pub struct SeededRandom {
    state: AtomicU64,
    exhausted: AtomicBool,
}

impl SeededRandom {
    /// Makes a generator; equal seeds give equal bytes.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            state: AtomicU64::new(seed),
            exhausted: AtomicBool::new(false),
        }
    }

    /// Makes every later [`fill`](SecureRandom::fill) fail.
    pub fn exhaust(&self) {
        self.exhausted.store(true, Ordering::SeqCst);
    }

    fn next(&self) -> u64 {
        let mut z = self
            .state
            .fetch_add(GAMMA, Ordering::SeqCst)
            .wrapping_add(GAMMA);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl SecureRandom for SeededRandom {
    fn fill(&self, buf: &mut [u8]) -> Result<(), BoxError> {
        if self.exhausted.load(Ordering::SeqCst) {
            return Err("the fake randomness is exhausted".into());
        }
        for chunk in buf.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
