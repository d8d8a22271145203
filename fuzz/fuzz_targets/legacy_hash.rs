//! Arbitrary stored hashes, at limits low enough that each is checked at once.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use portcullis_core::password::{Arena, Argon2Limits, Argon2Params, BcryptScheme, MigratingHasher, PasswordHash, PasswordHasher, Pbkdf2Scheme, ScryptLimits, ScryptScheme};
use portcullis_core::{Argon2idHasher, ErrorKind};

static HASHER: LazyLock<MigratingHasher> = LazyLock::new(|| {
    let mut argon2 = Argon2Limits::default();
    (argon2.memory_kib, argon2.iterations, argon2.lanes) = (128, 2, 2);
    let mut scrypt = ScryptLimits::default();
    (scrypt.memory_kib, scrypt.parallelization) = (64, 2);
    let current = Argon2idHasher::new(Argon2Params::default()).with_limits(argon2);
    MigratingHasher::new(Arc::new(current))
        .and_scheme(Arc::new(BcryptScheme::new().with_max_cost(4)))
        .and_scheme(Arc::new(Pbkdf2Scheme::new().with_max_iterations(100)))
        .and_scheme(Arc::new(ScryptScheme::new().with_limits(scrypt)))
});

fuzz_target!(|hash: &str| {
    let hash = PasswordHash::new(hash);
    let _ = HASHER.needs_rehash(&hash);
    let mut arena = Arena::new();
    if let Err(error) = HASHER.verify(b"password", &hash, &mut arena) {
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
    // What the limits do not allow takes no memory.
    assert!(arena.capacity() <= 128 << 10);
});
