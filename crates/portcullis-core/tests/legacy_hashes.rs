//! Hashes of the libraries that services are migrated from, as those libraries wrote them
//! (`fixtures/password/generate.py`), and hashes that nobody should have written.
#![expect(
    unsafe_code,
    reason = "an allocator that counts is the only way to see allocations"
)]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::error::Error as StdError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use base64::{Engine, alphabet};
use portcullis_core::authenticator::Authentication;
use portcullis_core::clock::Clock;
use portcullis_core::memory::MemoryCredentialStore;
use portcullis_core::password::{
    Arena, Argon2Limits, Argon2Params, BcryptScheme, HashPoolConfig, HashScheme,
    MAX_PASSWORD_BYTES, MigratingHasher, PasswordHash, PasswordHasher, Pbkdf2Scheme, ScryptLimits,
    ScryptScheme, Verdict,
};
use portcullis_core::{
    Argon2idHasher, Authenticator, Credential, CredentialStore, Error, ErrorKind, HashPool, Secret,
    UserId, Username,
};
use portcullis_testkit::{FakeHasher, ManualClock};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde::Deserialize;

#[derive(Deserialize)]
struct Recorded {
    library: String,
    hash: String,
    right: Vec<String>,
    wrong: Vec<String>,
}

static RECORDED: LazyLock<Vec<Recorded>> = LazyLock::new(|| {
    include_str!("fixtures/password/hashes.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
});

fn hasher() -> MigratingHasher {
    MigratingHasher::new(Arc::new(Argon2idHasher::new(Argon2Params::default())))
        .and_scheme(Arc::new(BcryptScheme::new()))
        .and_scheme(Arc::new(Pbkdf2Scheme::new()))
        .and_scheme(Arc::new(ScryptScheme::new()))
}

/// Takes only what is cheap to check.
fn thrifty_hasher() -> MigratingHasher {
    let mut argon2 = Argon2Limits::default();
    (argon2.memory_kib, argon2.iterations, argon2.lanes) = (128, 4, 4);
    let mut scrypt = ScryptLimits::default();
    (scrypt.memory_kib, scrypt.block_size, scrypt.parallelization) = (64, 8, 4);
    let current = Argon2idHasher::new(Argon2Params::default()).with_limits(argon2);
    MigratingHasher::new(Arc::new(current))
        .and_scheme(Arc::new(BcryptScheme::new().with_max_cost(5)))
        .and_scheme(Arc::new(Pbkdf2Scheme::new().with_max_iterations(100)))
        .and_scheme(Arc::new(ScryptScheme::new().with_limits(scrypt)))
}

fn verify(hasher: &impl PasswordHasher, password: &str, hash: &str) -> Result<Verdict, Error> {
    let hash = PasswordHash::new(hash);
    hasher.verify(password.as_bytes(), &hash, &mut Arena::new())
}

#[test]
fn recorded_hashes_tell_right_from_wrong_as_their_library_does() {
    let hasher = hasher();
    for case in RECORDED.iter() {
        for (passwords, verdict) in [
            (&case.right, Verdict::Match),
            (&case.wrong, Verdict::Mismatch),
        ] {
            for password in passwords {
                assert_eq!(
                    verify(&hasher, password, &case.hash).unwrap(),
                    verdict,
                    "{} of {}: {password:?}",
                    case.hash,
                    case.library
                );
            }
        }
        let parameter = |name: &str| {
            let mut parts = case.hash.split(['$', ',']);
            parts.find_map(|part| part.strip_prefix(name)?.parse::<u32>().ok())
        };
        let is_dearer = parameter("m=") > Some(19_456) || parameter("t=") > Some(2);
        let is_replaced = hasher.needs_rehash(&PasswordHash::new(&*case.hash));
        assert_eq!(is_replaced, !is_dearer, "{}", case.hash);
    }
    assert_eq!(RECORDED.len(), 186);
}

#[test]
fn a_phc_string_of_pbkdf2_is_passlibs_hash_spelt_otherwise() {
    let mut seen = 0;
    for case in RECORDED.iter() {
        let [
            "",
            name @ ("pbkdf2-sha256" | "pbkdf2-sha512"),
            "10",
            salt,
            output,
        ] = *case.hash.split('$').collect::<Vec<_>>()
        else {
            continue;
        };
        let (salt, output) = (salt.replace('.', "+"), output.replace('.', "+"));
        for costs in ["i=10", "i=10,l=32"] {
            let hash = format!("${name}${costs}${salt}${output}");
            for (password, verdict) in [
                (&case.right[0], Verdict::Match),
                (&case.wrong[0], Verdict::Mismatch),
            ] {
                assert_eq!(verify(&hasher(), password, &hash).unwrap(), verdict);
            }
        }
        seen += 1;
    }
    assert_eq!(seen, 18);
}

#[test]
fn unused_bits_of_a_bcrypt_salt_are_ignored_as_passlib_does() {
    let case = RECORDED
        .iter()
        .find(|case| case.library == "passlib" && case.hash.starts_with("$2b$"))
        .unwrap();
    let mut hash = case.hash.clone().into_bytes();
    hash[28] += 1;
    let hash = String::from_utf8(hash).unwrap();
    assert_eq!(
        verify(&hasher(), &case.right[0], &hash).unwrap(),
        Verdict::Match
    );
    assert_eq!(
        verify(&hasher(), &case.wrong[0], &hash).unwrap(),
        Verdict::Mismatch
    );
}

#[test]
fn hashes_at_the_current_parameters_stay_unless_django_wrote_them() {
    let (hasher, mut arena) = (hasher(), Arena::new());
    let hash = hasher.hash(b"right", &mut arena).unwrap();
    assert!(!hasher.needs_rehash(&hash));

    let hash = format!("argon2{}", hash.expose());
    assert_eq!(verify(&hasher, "right", &hash).unwrap(), Verdict::Match);
    assert_eq!(verify(&hasher, "wrong", &hash).unwrap(), Verdict::Mismatch);
    assert!(hasher.needs_rehash(&PasswordHash::new(hash)));
}

#[tokio::test]
async fn a_migrated_user_is_upgraded_at_the_next_login() {
    let user_id = UserId::new("1");
    let username = Username::new("johndoe");
    let case = RECORDED
        .iter()
        .find(|case| case.hash.starts_with("pbkdf2_sha256$"))
        .unwrap();
    let store = Arc::new(MemoryCredentialStore::new());
    let mut user = Credential::new(user_id.clone(), username.clone());
    user.password_hash = Some(PasswordHash::new(&*case.hash));
    store.create(&user).await.unwrap();
    let hasher = Arc::new(hasher());
    let authenticator = Authenticator::new(
        Arc::clone(&store) as Arc<dyn CredentialStore>,
        HashPool::inline(Arc::clone(&hasher) as Arc<dyn PasswordHasher>),
    )
    .unwrap();
    let log_in = async |password: &str| {
        let password = Secret::from(password.to_owned());
        let answer = authenticator.authenticate(&username, password).await;
        let stored = store.find_by_id(&user_id).await.unwrap().unwrap();
        (
            matches!(answer.unwrap(), Authentication::Accepted(_)),
            stored.password_hash.unwrap(),
        )
    };

    let (accepted, stored) = log_in("wrong").await;
    assert!(!accepted);
    assert_eq!(stored.expose(), case.hash);

    let (accepted, stored) = log_in(&case.right[0]).await;
    assert!(accepted);
    assert!(!hasher.needs_rehash(&stored));

    let (accepted, unchanged) = log_in(&case.right[0]).await;
    assert!(accepted);
    assert_eq!(unchanged, stored);
}

/// A check takes as long as it is told, on its clock.
#[derive(Debug)]
struct Timed {
    hasher: Arc<dyn PasswordHasher>,
    // Of the hash, whether it is obsolete, and how many were checked before.
    seconds: fn(&PasswordHash, bool, usize) -> u64,
    clock: Arc<ManualClock>,
    verifications: AtomicUsize,
}

impl PasswordHasher for Timed {
    fn hash(&self, password: &[u8], arena: &mut Arena) -> Result<PasswordHash, Error> {
        self.hasher.hash(password, arena)
    }

    fn verify(
        &self,
        password: &[u8],
        hash: &PasswordHash,
        arena: &mut Arena,
    ) -> Result<Verdict, Error> {
        let before = self.verifications.fetch_add(1, Ordering::Relaxed);
        let seconds = (self.seconds)(hash, self.needs_rehash(hash), before);
        self.clock.advance(Duration::from_secs(seconds));
        self.hasher.verify(password, hash, arena)
    }

    fn needs_rehash(&self, hash: &PasswordHash) -> bool {
        self.hasher.needs_rehash(hash)
    }

    fn attack_cost(&self, hash: &PasswordHash) -> Option<f64> {
        self.hasher.attack_cost(hash)
    }
}

#[tokio::test]
async fn a_refusal_takes_one_check_and_its_time_whoever_made_the_hash() {
    let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
    let hasher = Arc::new(Timed {
        hasher: Arc::new(hasher()),
        seconds: |_, is_obsolete, _| if is_obsolete { 1 } else { 10 },
        clock: Arc::clone(&clock),
        verifications: AtomicUsize::new(0),
    });
    let mut config = HashPoolConfig::default();
    config.clock = Arc::clone(&clock) as _;
    let pool = HashPool::new(Arc::clone(&hasher) as _, config).unwrap();
    let store = Arc::new(MemoryCredentialStore::new());
    let authenticator = Authenticator::new(Arc::clone(&store) as _, pool).unwrap();
    for case in RECORDED.iter() {
        let username = Username::new(&*case.hash);
        let mut user = Credential::new(UserId::new(&*case.hash), username.clone());
        user.password_hash = Some(PasswordHash::new(&*case.hash));
        store.create(&user).await.unwrap();
        for password in ["wrong".to_owned(), "x".repeat(MAX_PASSWORD_BYTES + 1)] {
            let started = clock.monotonic();
            hasher.verifications.store(0, Ordering::Relaxed);
            let answer = authenticator
                .authenticate(&username, Secret::from(password))
                .await;
            assert!(matches!(answer.unwrap(), Authentication::Refused(_)));
            assert_eq!(hasher.verifications.load(Ordering::Relaxed), 1);
            let took = clock.monotonic() - started;
            assert_eq!(took, Duration::from_secs(10), "{}", case.hash);
        }
    }
}

/// Users whose hashes are dearer than current ones are hidden too, up to a limit.
#[tokio::test]
async fn everybody_takes_as_long_as_the_dearest_hash_of_the_store() {
    for learns in [true, false] {
        let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
        let hasher = FakeHasher::new(10).with_clock(Arc::clone(&clock));
        let mut config = HashPoolConfig::default();
        config.clock = Arc::clone(&clock) as _;
        let pool = HashPool::new(Arc::new(hasher), config).unwrap();
        let store = Arc::new(MemoryCredentialStore::new());
        for cost in [1, 10, 30, 300] {
            let name = format!("cost {cost}");
            let mut user = Credential::new(UserId::new(&*name), Username::new(&*name));
            user.password_hash = Some(PasswordHash::new(format!("$fake${cost}$7269676874")));
            store.create(&user).await.unwrap();
        }
        let authenticator = Authenticator::new(Arc::clone(&store) as _, pool)
            .unwrap()
            .with_longest_check(Duration::from_secs(60));
        let refusal = async |name: &str| {
            let started = clock.monotonic();
            let password = Secret::from("wrong".to_owned());
            let name = Username::new(name);
            let answer = authenticator.authenticate(&name, password);
            assert!(matches!(answer.await.unwrap(), Authentication::Refused(_)));
            (clock.monotonic() - started).as_secs()
        };
        if learns {
            authenticator.learn().await.unwrap();
        } else {
            assert_eq!(refusal("nobody").await, 10);
            assert_eq!(refusal("cost 30").await, 30);
        }
        for name in ["nobody", "cost 1", "cost 10", "cost 30", "nobody"] {
            assert_eq!(refusal(name).await, 30, "{name}");
        }
        // One absurd row slows nobody else down.
        assert_eq!(refusal("cost 300").await, 300);
        assert_eq!(refusal("nobody").await, 30);

        // Nor is a dear hash replaced by a cheaper one, though it is not current.
        for (cost, left) in [(1, 10), (10, 10), (30, 30)] {
            let name = Username::new(format!("cost {cost}"));
            let right = Secret::from("right".to_owned());
            let answer = authenticator.authenticate(&name, right).await.unwrap();
            assert!(matches!(answer, Authentication::Accepted(_)));
            let user = store.find(&name).await.unwrap().unwrap();
            let hash = format!("$fake${left}$7269676874");
            assert_eq!(user.password_hash, Some(PasswordHash::new(hash)), "{cost}");
        }
    }
}

/// Two kinds of dear hashes whose durations overlap, as on a real processor.
#[tokio::test]
async fn hashes_that_are_nearly_as_dear_as_each_other_take_equally_long() {
    let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
    let hasher = Timed {
        hasher: Arc::new(FakeHasher::new(10)),
        seconds: |hash, _, before| {
            // Knuth's multiplicative hash: any spread will do.
            let noise = (before as u64).wrapping_mul(2_654_435_761) >> 16;
            match hash.expose() {
                dear if dear.starts_with("$fake$30$") => 1_000 + noise % 500,
                dear if dear.starts_with("$fake$31$") => 1_050 + noise % 300,
                _ => 100 + noise % 10,
            }
        },
        clock: Arc::clone(&clock),
        verifications: AtomicUsize::new(0),
    };
    let mut config = HashPoolConfig::default();
    config.clock = Arc::clone(&clock) as _;
    let pool = HashPool::new(Arc::new(hasher), config).unwrap();
    let store = Arc::new(MemoryCredentialStore::new());
    let names = ["nobody", "cost 10", "cost 30", "cost 31"].map(Username::new);
    for name in &names[1..] {
        let mut user = Credential::new(UserId::new(name.as_str()), name.clone());
        let cost = name.as_str().trim_start_matches("cost ");
        user.password_hash = Some(PasswordHash::new(format!("$fake${cost}$7269676874")));
        store.create(&user).await.unwrap();
    }
    let authenticator = Authenticator::new(store, pool)
        .unwrap()
        .with_longest_check(Duration::from_secs(10_000));
    let mut took = [const { Vec::new() }; 4];
    for round in 0..2_200 {
        for turn in 0..names.len() {
            let class = (turn + round) % names.len();
            let started = clock.monotonic();
            let answer = authenticator.authenticate(&names[class], "wrong".to_owned().into());
            assert!(matches!(answer.await.unwrap(), Authentication::Refused(_)));
            // The first rounds teach what is dear.
            if round >= 200 {
                took[class].push((clock.monotonic() - started).as_secs_f64());
            }
        }
    }
    let mean = |times: &[f64]| times.iter().sum::<f64>() / times.len() as f64;
    let spread = |times: &[f64]| {
        let squares: Vec<f64> = times.iter().map(|x| (x - mean(times)).powi(2)).collect();
        mean(&squares).sqrt()
    };
    for times in &took {
        let (difference, wider) = (
            mean(times) - mean(&took[0]),
            spread(times) / spread(&took[0]),
        );
        assert!(difference.abs() < 10.0, "{difference}");
        assert!((wider - 1.0).abs() < 0.1, "{wider}");
    }
}

/// The figures of <https://tobtu.com/minimum-password-settings/>.
#[test]
fn an_attacker_pays_as_much_for_what_is_as_strong() {
    let hasher = hasher();
    let salt = "c2FsdHNhbHRzYWx0c2FsdA";
    let argon2 = |params: &str| format!("$argon2id$v=19${params}${salt}${OUTPUT}");
    for (hash, cost) in [
        (argon2("m=47104,t=1,p=1"), 1.0),
        (argon2("m=19456,t=2,p=1"), 1.0),
        (argon2("m=7168,t=5,p=1"), 1.0),
        (argon2("m=65536,t=3,p=4"), 5.6),
        (format!("$2b$09${SALT}{BCRYPT}"), 1.0),
        (format!("$2b$12${SALT}{BCRYPT}"), 8.0),
        (format!("pbkdf2:sha256:600000$salt${HEX}"), 1.0),
        (format!("scrypt:16384:8:5$salt${HEX}{HEX}"), 1.1),
        (format!("scrypt:131072:8:1$salt${HEX}{HEX}"), 1.75),
    ] {
        let found = hasher.attack_cost(&PasswordHash::new(&*hash)).unwrap();
        assert!((found / cost - 1.0).abs() < 0.15, "{found} for {hash}");
    }
    assert_eq!(hasher.attack_cost(&PasswordHash::new("?")), None);
}

/// What was typed beyond the 72 bytes that bcrypt reads does not become the password.
#[tokio::test]
async fn a_match_that_covered_the_first_72_bytes_replaces_nothing() {
    let full = "x".repeat(72);
    for version in ["2b", "2x"] {
        for (typed, is_accepted, is_replaced) in [
            (full.clone(), true, true),
            (format!("{full}y"), true, false),
            (format!("{full}typo here"), true, false),
            ("x".repeat(71), false, false),
        ] {
            let bytes = bcrypt::bcrypt(4, *b"saltsaltsaltsalt", full.as_bytes());
            let engine = GeneralPurpose::new(&alphabet::BCRYPT, NO_PAD);
            let base64 = |bytes: &[u8]| engine.encode(bytes);
            let (salt, output) = (base64(b"saltsaltsaltsalt"), base64(&bytes[..23]));
            let stored = PasswordHash::new(format!("${version}$04${salt}{output}"));
            let store = Arc::new(MemoryCredentialStore::new());
            let mut user = Credential::new(UserId::new("1"), Username::new("ada"));
            user.password_hash = Some(stored.clone());
            store.create(&user).await.unwrap();
            for refuses in [false, true] {
                let mut scheme = BcryptScheme::new();
                if refuses {
                    scheme = scheme.refusing_long_passwords();
                }
                let current = Argon2Params::danger_below_owasp(4_096, 3, 1).unwrap();
                let hasher = MigratingHasher::new(Arc::new(Argon2idHasher::new(current)))
                    .and_scheme(Arc::new(scheme));
                let pool = HashPool::inline(Arc::new(hasher));
                let authenticator = Authenticator::new(Arc::clone(&store) as _, pool).unwrap();
                let answer = authenticator.authenticate(&user.username, typed.clone().into());
                let answer = answer.await.unwrap();
                let accepted = matches!(answer, Authentication::Accepted(_));
                let is_long = typed.len() > 72;
                assert_eq!(accepted, is_accepted && !(refuses && is_long), "{typed}");
                let kept = store.find(&user.username).await.unwrap().unwrap();
                let replaced = kept.password_hash != Some(stored.clone());
                assert_eq!(replaced, is_replaced, "{version} {typed}");
                if replaced {
                    break;
                }
            }
        }
    }
}

#[derive(Debug)]
struct Reversed;

impl HashScheme for Reversed {
    fn attack_cost(&self, _: &PasswordHash) -> Option<f64> {
        Some(0.0)
    }

    fn recognises(&self, hash: &PasswordHash) -> bool {
        hash.expose().starts_with("reversed:")
    }

    fn verify(
        &self,
        password: &[u8],
        hash: &PasswordHash,
        _: &mut Arena,
    ) -> Result<Verdict, Error> {
        let stored = hash.expose().trim_start_matches("reversed:").bytes();
        Ok(if stored.rev().eq(password.iter().copied()) {
            Verdict::Match
        } else {
            Verdict::Mismatch
        })
    }
}

#[test]
fn a_scheme_of_ones_own_can_be_added() {
    let hasher = hasher().and_scheme(Arc::new(Reversed));
    assert_eq!(
        verify(&hasher, "abc", "reversed:cba").unwrap(),
        Verdict::Match
    );
    assert_eq!(
        verify(&hasher, "abc", "reversed:abc").unwrap(),
        Verdict::Mismatch
    );
    assert!(hasher.needs_rehash(&PasswordHash::new("reversed:cba")));
}

/// Refused as corrupt, cheaply, by an error that quotes nothing of the hash.
#[track_caller]
fn check_corrupt(hasher: &impl PasswordHasher, hash: &str) {
    let stored = PasswordHash::new(hash);
    let mut arena = Arena::new();
    LARGEST_ALLOCATION.set(0);
    let result = hasher.verify(b"password", &stored, &mut arena);
    let largest = LARGEST_ALLOCATION.get();
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?} for {hash}");
    assert!(largest <= 4096, "{largest} bytes at once for {hash}");
    assert!(hasher.needs_rehash(&stored));

    let mut printed = format!("{error:?} {error} {stored:?}");
    let mut source = error.source();
    while let Some(error) = source {
        printed += &format!(" {error:?} {error}");
        source = error.source();
    }
    let parts = hash.split(['$', ':', ',', '=']);
    for part in parts.filter(|part| part.len() > 6) {
        assert!(!printed.contains(part), "{printed:?} quotes {part:?}");
    }
}

const SALT: &str = "abcdefghijklmnopqrstuu";
const BCRYPT: &str = "yx2n0Zzopyr9QuYTMCfOJJOj526QVoC";
const OUTPUT: &str = "yx2n0Zzopyr9QuYTMCfOJJOj526QVoCAAAAAAAAAAA0";
const HEX: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

#[test]
fn malformed_hashes_are_corrupt() {
    let check = |hash: &str| check_corrupt(&hasher(), hash);
    check("");
    check("!");
    check("hunter22");
    check("$");
    check("$$$$$$$$$$");
    check("$1$abcdefgh$0123456789abcdefghijkl");
    check("sha256$abcdefgh$0123456789abcdef");
    check("argon2");
    check("argon2$");
    check("argon2$argon2id$v=19$m=64,t=1,p=2$");
    check("argon2$argon2$argon2id$v=19$m=64,t=1,p=1$abcdefghijk$yx2n0Zzopyr9QuYTMCfOJA");

    check("$2b$");
    check("$2b$04");
    check("$2b$04$");
    check(&format!("$2b$04${SALT}"));
    check(&format!("$2b$04${SALT}{}", &BCRYPT[1..]));
    check(&format!("$2b$04${SALT}{BCRYPT}."));
    check(&format!("$2b$04${SALT}${BCRYPT}"));
    check(&format!("$2b$${SALT}{BCRYPT}"));
    check(&format!("$2b$-4${SALT}{BCRYPT}"));
    check(&format!("$2b$+4${SALT}{BCRYPT}"));
    check(&format!("$2b$ 4${SALT}{BCRYPT}"));
    check(&format!("$2b$00${SALT}{BCRYPT}"));
    check(&format!("$2b$03${SALT}{BCRYPT}"));
    check(&format!("$2c$04${SALT}{BCRYPT}"));
    check(&format!("$2b$04${}+{BCRYPT}", &SALT[1..]));
    check(&format!("$2b$04${}é{BCRYPT}", &SALT[1..]));
    check(&format!("$2b$04${}={BCRYPT}", &SALT[1..]));
    check(&format!("bcrypt$2b$04${SALT}{BCRYPT}"));
    check(&format!("bcrypt$$2c$04${SALT}{BCRYPT}"));
    check(&format!("bcrypt_sha256$2b$04${SALT}{BCRYPT}"));
    check("bcrypt_sha256$$");
    check("$bcrypt-sha256$");
    check(&format!("$bcrypt-sha256$v=2,t=2b,r=4${SALT}"));
    check(&format!("$bcrypt-sha256$v=2,t=2a,r=4${SALT}${BCRYPT}"));
    check(&format!("$bcrypt-sha256$v=3,t=2b,r=4${SALT}${BCRYPT}"));
    check(&format!("$bcrypt-sha256$2b,${SALT}${BCRYPT}"));
    check(&format!("$bcrypt-sha256$2b${SALT}${BCRYPT}"));
    check(&format!("$bcrypt-sha256$v=2,t=2b,r=4$${BCRYPT}"));

    check("$pbkdf2$");
    check("$pbkdf2-sha256$10");
    check(&format!("$pbkdf2-sha256$10${SALT}$"));
    check(&format!("$pbkdf2-sha256$10$${OUTPUT}"));
    check(&format!("$pbkdf2-sha256$${SALT}${OUTPUT}"));
    check(&format!("$pbkdf2-sha256$0${SALT}${OUTPUT}"));
    check(&format!("$pbkdf2-sha256$-10${SALT}${OUTPUT}"));
    check(&format!("$pbkdf2-sha256$1e1${SALT}${OUTPUT}"));
    check(&format!("$pbkdf2-sha256$i=${SALT}${OUTPUT}"));
    check(&format!("$pbkdf2-sha256$i=10,l=x${SALT}${OUTPUT}"));
    check(&format!("$pbkdf2-sha256$10${SALT}${OUTPUT}$"));
    check(&format!("$pbkdf2-sha256$10${SALT}_${OUTPUT}"));
    check(&format!("$pbkdf2-sha256$10${SALT}${OUTPUT}="));
    check(&format!("$pbkdf2-sha256$10${SALT}$abcdefgh"));
    check(&format!("$pbkdf2-sha256$10${SALT}${OUTPUT}{OUTPUT}"));
    check(&format!("$pbkdf2-md5$10${SALT}${OUTPUT}"));
    check(&format!("$pbkdf2${OUTPUT}${SALT}$10"));
    check(&format!("pbkdf2_sha256$10${SALT}${OUTPUT}"));
    check(&format!("pbkdf2_sha256$10$${OUTPUT}="));
    check(&format!("pbkdf2_sha256$10${SALT}${HEX}$"));
    check(&format!("pbkdf2_md5$10${SALT}${OUTPUT}="));
    check(&format!("pbkdf2:sha256${SALT}${HEX}"));
    check(&format!("pbkdf2:sha256:10${SALT}${}", &HEX[1..]));
    check(&format!("pbkdf2:sha256:10${SALT}${}g", &HEX[1..]));
    check(&format!("pbkdf2:sha256:10${SALT}$+{}", &HEX[1..]));
    check(&format!("pbkdf2:sha256:10${SALT}${HEX}00"));
    check(&format!("pbkdf2:sha256:10:1${SALT}${HEX}"));
    check(&format!("pbkdf2:md5:10${SALT}${HEX}"));

    check("$scrypt$");
    check("scrypt:");
    check("scrypt$$$$$");
    check(&format!("$scrypt$ln=4,r=8,p=1${SALT}$"));
    check(&format!("$scrypt$ln=4,r=8,p=1$${OUTPUT}"));
    check(&format!("$scrypt$ln=4,r=8,p=1${SALT}${}", &OUTPUT[1..]));
    check(&format!("$scrypt$ln=4,r=8,p=1${SALT}.${OUTPUT}"));
    check(&format!("$scrypt$ln=4,r=8${SALT}${OUTPUT}"));
    check(&format!("$scrypt$ln=4,r=8,p=1,x=1${SALT}${OUTPUT}"));
    check(&format!("$scrypt$r=8,ln=4,p=1${SALT}${OUTPUT}"));
    check(&format!("$scrypt$ln=-4,r=8,p=1${SALT}${OUTPUT}"));
    check(&format!("$scrypt$ln=0,r=8,p=1${SALT}${OUTPUT}"));
    check(&format!("$scrypt$ln=4,r=0,p=1${SALT}${OUTPUT}"));
    check(&format!("$scrypt$ln=4,r=8,p=0${SALT}${OUTPUT}"));
    check(&format!("scrypt$17${SALT}$8$1${OUTPUT}="));
    check(&format!("scrypt$0${SALT}$8$1${OUTPUT}="));
    check(&format!("scrypt$16${SALT}$8$1${OUTPUT}"));
    check(&format!("scrypt$16$$8$1${OUTPUT}="));
    check(&format!("scrypt:16:8${SALT}${HEX}"));
    check(&format!("scrypt:16:8:1:1${SALT}${HEX}"));
    check(&format!("scrypt:15:8:1${SALT}${HEX}"));
    check(&format!("scrypt:16:8:1$${HEX}"));
    check(&format!("scrypt:16:8:1${SALT}${}", &HEX[1..]));
}

#[test]
fn hashes_above_the_limits_are_corrupt_before_any_work() {
    let check = |hash: &str| check_corrupt(&hasher(), hash);
    check(&format!("$argon2id$v=19$m=1048577,t=1,p=1${SALT}${OUTPUT}"));
    check(&format!(
        "argon2$argon2id$v=19$m=64,t=17,p=1${SALT}${OUTPUT}"
    ));
    check(&format!(
        "$argon2id$v=19$m=4294967295,t=1,p=1${SALT}${OUTPUT}"
    ));

    check(&format!("$2b$17${SALT}{BCRYPT}"));
    check(&format!("$2b$31${SALT}{BCRYPT}"));
    check(&format!("$2b$99${SALT}{BCRYPT}"));
    check(&format!("$bcrypt-sha256$v=2,t=2b,r=31${SALT}${BCRYPT}"));
    check(&format!("$2b$4294967300${SALT}{BCRYPT}"));

    check(&format!("$pbkdf2-sha256$10000001${SALT}${OUTPUT}"));
    check(&format!("pbkdf2_sha256$4294967295${SALT}${OUTPUT}="));
    check(&format!(
        "pbkdf2:sha1:99999999999999999999${SALT}${}",
        &HEX[..40]
    ));

    check(&format!("$scrypt$ln=19,r=8,p=1${SALT}${OUTPUT}"));
    check(&format!("$scrypt$ln=63,r=8,p=1${SALT}${OUTPUT}"));
    check(&format!("$scrypt$ln=64,r=8,p=1${SALT}${OUTPUT}"));
    check(&format!("$scrypt$ln=4294967295,r=8,p=1${SALT}${OUTPUT}"));
    check(&format!("$scrypt$ln=1,r=33,p=1${SALT}${OUTPUT}"));
    check(&format!("$scrypt$ln=1,r=1,p=17${SALT}${OUTPUT}"));
    check(&format!("scrypt$4294967295${SALT}$8$1${OUTPUT}="));
    check(&format!(
        "scrypt:2147483648:4294967295:4294967295${SALT}${HEX}"
    ));

    let huge = "a".repeat(1 << 20);
    check(&huge);
    check(&format!("$argon2id$v=19$m=64,t=1,p=1${huge}${OUTPUT}"));
    check(&format!("$argon2id$v=19$m=64,t=1,p=1${SALT}${huge}"));
    check(&format!("$2b$04${huge}"));
    check(&format!("$bcrypt-sha256$v=2,t=2b,r=4${huge}${BCRYPT}"));
    check(&format!("pbkdf2_sha256$10${huge}${OUTPUT}="));
    check(&format!("pbkdf2:sha256:10${SALT}${huge}"));
    check(&format!("$scrypt$ln=4,r=8,p=1${huge}${OUTPUT}"));
    check(&format!("$scrypt$ln=4,r=8,p=1${SALT}${huge}"));
    check(&"$pbkdf2$".repeat(1 << 17));
}

#[test]
fn scrypt_allocates_what_its_limit_counts() {
    let hash = format!("$scrypt$ln=6,r=8,p=4${}A${OUTPUT}", &SALT[1..]);
    LARGEST_ALLOCATION.set(0);
    verify(&thrifty_hasher(), "password", &hash).unwrap();
    assert_eq!(LARGEST_ALLOCATION.get(), 64 << 10);
}

#[test]
fn limits_are_as_configured() {
    let hasher = thrifty_hasher();
    for (allowed, refused) in [
        ("$2b$05$", "$2b$06$"),
        ("$pbkdf2-sha256$100$", "$pbkdf2-sha256$101$"),
        ("$scrypt$ln=6,r=8,p=4$", "$scrypt$ln=7,r=8,p=4$"),
        ("$scrypt$ln=6,r=8,p=4$", "$scrypt$ln=6,r=8,p=5$"),
        ("$scrypt$ln=5,r=8,p=4$", "$scrypt$ln=5,r=9,p=4$"),
    ] {
        let rest = if allowed.starts_with("$2b$") {
            format!("{SALT}{BCRYPT}")
        } else {
            format!("{}A${OUTPUT}", &SALT[1..])
        };
        assert_eq!(
            verify(&hasher, "password", &format!("{allowed}{rest}")).unwrap(),
            Verdict::Mismatch
        );
        check_corrupt(&hasher, &format!("{refused}{rest}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 5_000,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(8018),
        ..ProptestConfig::default()
    })]

    #[test]
    fn damaged_hashes_are_checked_or_corrupt(
        case in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..3_usize, edit()), 1..4),
    ) {
        let mut hash: Vec<char> = case.get(&RECORDED).hash.chars().collect();
        for (at, removed, inserted) in edits {
            let at = at.index(hash.len() + 1);
            let end = hash.len().min(at + removed);
            hash.splice(at..end, inserted.chars());
        }
        let hash: String = hash.into_iter().collect();
        let result = verify(&thrifty_hasher(), "wrong", &hash);
        prop_assert!(
            match &result {
                Ok(_) => true,
                Err(error) => error.kind() == ErrorKind::Corrupt,
            },
            "{result:?} for {hash}"
        );
    }
}

/// What hash strings are made of, and what they are not.
fn edit() -> impl Strategy<Value = String> {
    prop_oneof!["[$:,=0-9a-z./+-]{0,3}", "[0-9]{1,12}", "\\PC{0,3}"]
}

thread_local! {
    static LARGEST_ALLOCATION: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

impl Counting {
    fn count(size: usize) {
        LARGEST_ALLOCATION.set(LARGEST_ALLOCATION.get().max(size));
    }
}

// SAFETY: the system's allocator does it all; counting does not allocate, since the cell is
// initialised by a constant and has no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size());
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size());
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        Self::count(new_size);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.realloc(ptr, layout, new_size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(ptr, layout) }
    }
}
