//! Passwords in, PHC strings out, and back.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use portcullis_core::password::{
    Arena, Argon2Limits, Argon2Params, PasswordHash, PasswordHasher, Verdict,
};
use portcullis_core::{Argon2idHasher, ErrorKind};

/// `m=8, t=1`: fast, and strong enough for nothing.
fn weak() -> Argon2idHasher {
    Argon2idHasher::new(Argon2Params::danger_below_owasp(8, 1, 1).unwrap())
}

#[test]
fn hashes_of_argon2_cffi_verify() {
    // argon2-cffi 25.1.0, `low_level.hash_secret`; without `v=` the version is 0x10.
    let password = "pässwörd".as_bytes();
    for hash in [
        "$argon2id$v=19$m=64,t=2,p=2$cG9ydGN1bGxpcyBzYWx0IQ$Nf3duh0gBmQNBDm7nmY+DE93MAldejcf",
        "$argon2id$v=16$m=64,t=2,p=2$cG9ydGN1bGxpcyBzYWx0IQ$POZTJdNN1XUSif592nDEf0XWnQDA58PW",
        "$argon2id$m=64,t=2,p=2$cG9ydGN1bGxpcyBzYWx0IQ$POZTJdNN1XUSif592nDEf0XWnQDA58PW",
        "$argon2i$v=19$m=64,t=2,p=2$cG9ydGN1bGxpcyBzYWx0IQ$43sE6/NxTAgRt8so4sWjaMv6EwOh0Bjj",
        "$argon2i$m=64,t=2,p=2$cG9ydGN1bGxpcyBzYWx0IQ$Z0M4IRHAPziNr3eMXYfnBRir8BPz+OWE",
        "$argon2d$v=19$m=64,t=2,p=2$cG9ydGN1bGxpcyBzYWx0IQ$YiigRZ8p4vAFIrR+67l11ov3tvNOxpcV",
        "$argon2d$m=64,t=2,p=2$cG9ydGN1bGxpcyBzYWx0IQ$usD36RcCDg7PrHrgvtCvZ3lXWI2Hqgcz",
    ] {
        check_vector(password, hash);
    }
    check_vector(
        b"",
        "$argon2id$v=19$m=8,t=1,p=1$AAECAwQFBgc$qbBvZW06ho/qCfox",
    );
    check_vector(
        b"a\0b",
        "$argon2id$v=19$m=8,t=1,p=1$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4v\
         $Cjhg8A3aUCsO+hIEokrUgP1MK1YQAJcRvyp9Z6kSSfh6vFcUAoqyF8YNj1oo4d7WB09c0kUmxmbfsl31uUs4zA",
    );
}

#[test]
fn a_default_hash_of_fastapi_verifies() {
    // pwdlib's and argon2-cffi's default parameters: m=65536, t=3, p=4.
    check_vector(
        b"correct horse battery staple",
        "$argon2id$v=19$m=65536,t=3,p=4$AAECAwQFBgcICQoLDA0ODw\
         $hTsnKkTbFCHAKWJmmlXrCZTzyrOF7RxMeSU+7hm6tJ4",
    );
}

#[test]
fn a_hash_verifies_only_its_password() {
    let arena = &mut Arena::new();
    let hash = weak().hash(b"secret", arena).unwrap();
    assert_eq!(
        weak().verify(b"secret", &hash, arena).unwrap(),
        Verdict::Match
    );
    for other in [&b"Secret"[..], b"secret ", b"secret\0", b"", &[0; 5_000]] {
        assert_eq!(
            weak().verify(other, &hash, arena).unwrap(),
            Verdict::Mismatch
        );
    }
    // The whole password counts, however long it is.
    let (long, longer) = (vec![b'x'; 100_000], vec![b'x'; 100_001]);
    let hash = weak().hash(&long, arena).unwrap();
    assert_eq!(weak().verify(&long, &hash, arena).unwrap(), Verdict::Match);
    assert_eq!(
        weak().verify(&longer, &hash, arena).unwrap(),
        Verdict::Mismatch
    );
}

#[test]
fn two_hashes_of_one_password_differ() {
    let arena = &mut Arena::new();
    let hashes = [(); 2].map(|()| weak().hash(b"secret", arena).unwrap());
    assert_ne!(hashes[0], hashes[1]);
}

#[test]
fn a_hash_of_other_parameters_needs_a_rehash() {
    let arena = &mut Arena::new();
    let params = |m, t, p| Argon2Params::danger_below_owasp(m, t, p).unwrap();
    let hasher = Argon2idHasher::new(params(64, 2, 2));
    let current = hasher.hash(b"secret", arena).unwrap();
    assert!(!hasher.needs_rehash(&current));
    for (other, is_replaced) in [
        (params(63, 2, 2), true),
        (params(64, 1, 2), true),
        (params(64, 2, 1), true),
        (params(64, 2, 3), true),
        // Nobody is helped by a hash with less memory, or fewer passes.
        (params(65, 2, 2), false),
        (params(64, 3, 2), false),
        (params(128, 1, 2), false),
        (params(32, 3, 2), false),
    ] {
        let hash = Argon2idHasher::new(other).hash(b"secret", arena).unwrap();
        assert_eq!(hasher.needs_rehash(&hash), is_replaced, "{other}");
        let older = hash.expose().replace("argon2id", "argon2i");
        assert_eq!(hasher.needs_rehash(&PasswordHash::new(older)), is_replaced);
    }
    for other in [
        current.expose().replace("argon2id", "argon2i"),
        current.expose().replace("v=19", "v=16"),
        "not a hash".to_owned(),
    ] {
        assert!(hasher.needs_rehash(&PasswordHash::new(other)));
    }
}

#[test]
fn what_is_no_hash_is_corrupt_and_not_a_mismatch() {
    let salt_and_output = "cG9ydGN1bGxpcyBzYWx0IQ$Nf3duh0gBmQNBDm7nmY+DE93MAldejcf";
    for hash in [
        String::new(),
        "plain text".to_owned(),
        "$".to_owned(),
        "$argon2id".to_owned(),
        "$argon2id$v=19$m=64,t=2,p=2$cG9ydGN1bGxpcyBzYWx0IQ".to_owned(),
        format!("$scrypt$ln=1,r=8,p=1${salt_and_output}"),
        format!("$argon2id$v=20$m=64,t=2,p=2${salt_and_output}"),
        format!("$argon2id$v=19$m=64,t=0,p=2${salt_and_output}"),
        format!("$argon2id$v=19$m=7,t=2,p=1${salt_and_output}"),
        format!("$argon2id$v=19$m=64,t=2,p=0${salt_and_output}"),
        format!("$argon2id$v=19$m=64,t=2,p=2,x=1${salt_and_output}"),
        format!("$argon2id$v=19$m=64,t=2,p=2$!${salt_and_output}"),
        "$".repeat(1_000_000),
    ] {
        check_corrupt(&weak(), &hash);
    }
}

#[test]
fn a_hash_above_the_limits_is_refused_before_memory_is_allocated() {
    let salt_and_output = "cG9ydGN1bGxpcyBzYWx0IQ$Nf3duh0gBmQNBDm7nmY+DE93MAldejcf";
    for params in [
        "m=1048577,t=1,p=1",
        "m=4294967295,t=1,p=1",
        "m=4294967295,t=4294967295,p=16777215",
        "m=64,t=17,p=1",
        "m=1024,t=1,p=17",
    ] {
        check_corrupt(
            &weak(),
            &format!("$argon2id$v=19${params}${salt_and_output}"),
        );
    }
    let mut limits = Argon2Limits::default();
    limits.memory_kib = 63;
    let strict = weak().with_limits(limits);
    check_corrupt(
        &strict,
        &format!("$argon2id$v=19$m=64,t=2,p=2${salt_and_output}"),
    );
}

#[test]
fn parameters_weaker_than_owasp_or_impossible_are_refused() {
    for row in Argon2Params::OWASP {
        let (m, t) = (row.memory_kib(), row.iterations());
        assert_eq!(Argon2Params::new(m, t, 1).unwrap(), row);
        assert!(Argon2Params::new(m + 1, t + 1, 4).is_ok());
        assert_eq!(refusal(m - 1, t, 1), ErrorKind::InvalidConfig);
    }
    assert!(Argon2Params::OWASP.contains(&Argon2Params::default()));
    for (m, t, p) in [
        (19_456, 1, 1),
        (7_167, 16, 1),
        (1 << 21, 2, 1),
        (65_536, 17, 1),
        (65_536, 3, 17),
    ] {
        assert_eq!(refusal(m, t, p), ErrorKind::InvalidConfig);
    }
    for (m, t, p) in [(0, 1, 1), (8, 0, 1), (8, 1, 0), (15, 1, 2)] {
        let error = Argon2Params::danger_below_owasp(m, t, p).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    }
}

#[test]
fn parameters_are_written_as_they_are_read() {
    for row in Argon2Params::OWASP {
        assert_eq!(row.to_string().parse::<Argon2Params>().unwrap(), row);
    }
    assert_eq!(Argon2Params::default().to_string(), "m=19456,t=2,p=1");
    for text in [
        "",
        "m=19456",
        "m=19456,t=2",
        "t=2,m=19456,p=1",
        "m=19456,t=2,p=1,",
        "m=19456,t=2,p=one",
        "m=4294967296,t=2,p=1",
        "m=19455,t=2,p=1",
    ] {
        let error = text.parse::<Argon2Params>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{text}");
    }
}

#[track_caller]
fn check_vector(password: &[u8], hash: &str) {
    let (hash, arena) = (PasswordHash::new(hash), &mut Arena::new());
    assert_eq!(
        weak().verify(password, &hash, arena).unwrap(),
        Verdict::Match
    );
    assert_eq!(
        weak().verify(b"other", &hash, arena).unwrap(),
        Verdict::Mismatch
    );
}

#[track_caller]
fn check_corrupt(hasher: &Argon2idHasher, hash: &str) {
    let arena = &mut Arena::new();
    let error = hasher
        .verify(b"x", &PasswordHash::new(hash), arena)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(arena.capacity(), 0);
    if !hash.is_empty() {
        assert!(!format!("{error} {error:?}").contains(hash));
    }
}

fn refusal(memory_kib: u32, iterations: u32, lanes: u32) -> ErrorKind {
    Argon2Params::new(memory_kib, iterations, lanes)
        .unwrap_err()
        .kind()
}
