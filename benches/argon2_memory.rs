//! What a verification takes from the system once an arena is warm: nothing to speak of.

#![expect(clippy::unwrap_used, reason = "tests")]

use nix::sys::resource::{UsageWho, getrusage};
use portcullis_core::Argon2idHasher;
use portcullis_core::password::{Arena, Argon2Params, PasswordHasher};

#[track_caller]
fn check_warm(hasher: &Argon2idHasher) {
    const VERIFICATIONS: i64 = 10;
    let mut arena = Arena::new();
    let hash = hasher.hash(b"password", &mut arena).unwrap();
    let mut verify = || {
        hasher.verify(b"password", &hash, &mut arena).unwrap();
    };
    verify();
    let before = page_faults();
    for _ in 0..VERIFICATIONS {
        verify();
    }
    assert!(page_faults() - before < 10 * VERIFICATIONS);
    let heap = allocation_counter::measure(verify);
    assert!(heap.bytes_total <= 4_096, "{heap:?}");
}

fn page_faults() -> i64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    usage.minor_page_faults() + usage.major_page_faults()
}

// One test, since other threads' faults would count.
#[test]
fn a_warm_verification_neither_faults_nor_allocates() {
    let hasher = Argon2idHasher::new(Argon2Params::default());
    check_warm(&hasher);
    check_warm(&hasher.with_simd().unwrap());
}
