//! What the processors could hash if they did nothing else.

use std::thread;
use std::time::{Duration, Instant};

use portcullis_core::password::{Arena, PasswordHasher};

/// Hashes on every processor at once, since they share caches and memory, and adds up the rates.
pub(crate) fn hashes_per_second(
    cores: usize,
    duration: Duration,
    hasher: &dyn PasswordHasher,
) -> f64 {
    let hash_for_a_while = || {
        let mut arena = Arena::new();
        // The first hash pays for the memory.
        let _ = hasher.hash(b"warm-up", &mut arena);
        let started = Instant::now();
        let mut hashes = 0.0;
        while started.elapsed() < duration {
            if hasher
                .hash(b"correct horse battery staple", &mut arena)
                .is_ok()
            {
                hashes += 1.0;
            }
        }
        hashes / started.elapsed().as_secs_f64()
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(hash_for_a_while)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_default())
            .sum()
    })
}
