//! Checks `Argon2idHasher` against the `argon2` crate, with each kernel it is built with.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::cell::RefCell;

use argon2::password_hash::phc::{self, Output, ParamsString, Salt};
use argon2::{Algorithm, Argon2, AssociatedData, Params, ParamsBuilder, Version};
use portcullis_core::Argon2idHasher;
use portcullis_core::password::{Arena, Argon2Params, PasswordHash, PasswordHasher, Verdict};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

/// Hashes by the `argon2` crate, in memory of its own.
fn reference(
    algorithm: Algorithm,
    version: Version,
    params: &Params,
    password: &[u8],
    salt: &[u8],
) -> phc::PasswordHash {
    let mut tag = vec![0; params.output_len().unwrap()];
    Argon2::new(algorithm, version, params.clone())
        .hash_password_into(password, salt, &mut tag)
        .unwrap();
    phc::PasswordHash {
        algorithm: algorithm.ident(),
        version: Some(version.into()),
        params: ParamsString::try_from(params).unwrap(),
        salt: Some(Salt::new(salt).unwrap()),
        hash: Some(Output::new(&tag).unwrap()),
    }
}

/// As `hash`, but for one bit of the tag.
fn flipped(mut hash: phc::PasswordHash) -> phc::PasswordHash {
    let mut tag = hash.hash.unwrap().as_bytes().to_vec();
    *tag.last_mut().unwrap() ^= 1;
    hash.hash = Some(Output::new(&tag).unwrap());
    hash
}

/// A hasher of each kernel, with an arena for all its hashes: each finds what another left.
fn hashers(params: Argon2Params) -> Vec<(Argon2idHasher, RefCell<Arena>)> {
    let reference = Argon2idHasher::new(params);
    let hashers = [
        #[cfg(feature = "argon2-simd")]
        reference.clone().with_simd().unwrap(),
        reference,
    ];
    hashers
        .into_iter()
        .map(|hasher| (hasher, RefCell::default()))
        .collect()
}

/// The verdicts of `hasher` on a hash that matches, and on one that does not by one bit.
fn verdicts(
    (hasher, arena): &(Argon2idHasher, RefCell<Arena>),
    password: &[u8],
    hash: &phc::PasswordHash,
) -> [Verdict; 2] {
    [hash.clone(), flipped(hash.clone())].map(|hash| {
        let hash = PasswordHash::new(hash.to_string());
        hasher
            .verify(password, &hash, &mut arena.borrow_mut())
            .unwrap()
    })
}

fn algorithm() -> impl Strategy<Value = Algorithm> {
    prop_oneof![
        Just(Algorithm::Argon2d),
        Just(Algorithm::Argon2i),
        Just(Algorithm::Argon2id),
    ]
}

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V0x10), Just(Version::V0x13)]
}

fn params() -> impl Strategy<Value = Params> {
    let data = proptest::collection::vec(any::<u8>(), 0..=32);
    (1_u32..=8, data).prop_flat_map(|(lanes, data)| {
        (8 * lanes..=40 * lanes, 1_u32..=4, 10_usize..=64).prop_map(
            move |(memory_kib, iterations, tag_len)| {
                ParamsBuilder::new()
                    .m_cost(memory_kib)
                    .t_cost(iterations)
                    .p_cost(lanes)
                    .output_len(tag_len)
                    .data(AssociatedData::new(&data).unwrap())
                    .build()
                    .unwrap()
            },
        )
    })
}

#[test]
fn tags_equal_the_reference() {
    let bytes = proptest::collection::vec(any::<u8>(), 0..200);
    let salt = proptest::collection::vec(any::<u8>(), 8..=48);
    let inputs = (algorithm(), version(), params(), bytes, salt);
    let hashers = hashers(Argon2Params::default());
    let config = Config {
        cases: 4_000,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0),
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&inputs, |(algorithm, version, params, password, salt)| {
            let hash = reference(algorithm, version, &params, &password, &salt);
            for hasher in &hashers {
                prop_assert_eq!(
                    verdicts(hasher, &password, &hash),
                    [Verdict::Match, Verdict::Mismatch]
                );
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn tags_equal_the_reference_at_the_parameters_in_use() {
    let hashers = hashers(Argon2Params::default());
    for algorithm in [Algorithm::Argon2d, Algorithm::Argon2i, Algorithm::Argon2id] {
        for version in [Version::V0x10, Version::V0x13] {
            for (memory_kib, iterations, lanes) in [(19_456, 2, 1), (65_536, 3, 4)] {
                let params = Params::new(memory_kib, iterations, lanes, Some(32)).unwrap();
                let hash = reference(
                    algorithm,
                    version,
                    &params,
                    b"password",
                    b"0123456789abcdef",
                );
                for hasher in &hashers {
                    assert_eq!(
                        verdicts(hasher, b"password", &hash),
                        [Verdict::Match, Verdict::Mismatch]
                    );
                }
            }
        }
    }
}

#[test]
fn an_arena_gives_back_what_one_dear_hash_needed() {
    let dear = Argon2Params::danger_below_owasp(4_096, 1, 1).unwrap();
    let cheap = Argon2Params::danger_below_owasp(64, 1, 1).unwrap();
    for ((dear, _), (cheap, arena)) in hashers(dear).iter().zip(hashers(cheap)) {
        let arena = &mut arena.into_inner();
        assert_eq!(arena.capacity(), 0);

        let hash = dear.hash(b"password", arena).unwrap();
        assert_eq!(arena.capacity(), 4_096 * 1_024);

        let verdict = cheap.verify(b"password", &hash, arena).unwrap();
        assert_eq!(verdict, Verdict::Match);
        assert!(arena.capacity() <= 64 * 1_024);

        cheap.hash(b"password", arena).unwrap();
        assert_eq!(arena.capacity(), 64 * 1_024);
    }
}
