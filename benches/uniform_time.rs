//! Whether the time of a refused login tells why it was refused.
//!
//! Times refusals of each class in turn, many thousand of each, and compares every two classes by
//! Welch's t-test. Above 4.5 (the threshold of ISO/IEC 17825 for leakage) they can be told apart. A
//! check that leaks on purpose is measured too, to show that the test would notice.
//!
//! `-- --dear` measures stores with dear hashes alone.
//!
//! Not part of the tests: other work on the machine, in one class by chance, fails it.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot be set up ends; its figures are what it is run for"
)]

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use portcullis_core::memory::MemoryCredentialStore;
use portcullis_core::password::{
    Arena, Argon2Params, BcryptScheme, MAX_PASSWORD_BYTES, MigratingHasher, PasswordHash,
    PasswordHasher, Pbkdf2Scheme, ScryptScheme,
};
use portcullis_core::store::UserStatus;
use portcullis_core::{
    Argon2idHasher, Authenticator, Credential, CredentialStore, HashPool, Secret, UserId, Username,
};
use tokio::runtime::{Builder, Runtime};

const SAMPLES: usize = 10_000;
const THRESHOLD: f64 = 4.5;

/// Hashes as the libraries that services are migrated from wrote them.
const RECORDED: &str =
    include_str!("../crates/portcullis-core/tests/fixtures/password/hashes.jsonl");

/// How recorded hashes begin that are cheaper than what is current here.
const LEGACY: [&str; 15] = [
    "$2b$04$",
    "$bcrypt-sha256$v=2,t=2b,r=4$",
    "bcrypt_sha256$$2b$04$",
    "$pbkdf2-sha256$10$",
    "$pbkdf2-sha512$10$",
    "pbkdf2_sha256$10$",
    "pbkdf2:sha256:10$",
    "$scrypt$ln=4,r=8,p=1$",
    "scrypt$16$",
    "scrypt:16:8:2$",
    "$argon2i$v=19$m=64,t=1,p=2$",
    "$argon2d$v=19$m=64,t=1,p=2$",
    "$argon2id$v=19$m=64,t=1,p=2$",
    "$argon2id$v=19$m=64,t=1,p=4$",
    "argon2$argon2id$v=19$m=64,t=1,p=2$",
];

/// What FastAPI's template makes, and what most services of before made.
const ARGON2_OF_FASTAPI: &str = "$argon2id$v=19$m=65536,t=3,p=4$";
const BCRYPT_12: &str = "$2b$12$";

/// A salt, and the output for some password.
const BCRYPT: &str = "abcdefghijklmnopqrstuuabcdefghijklmnopqrstuvwxyzABCDe";

/// How many times fewer samples of dear hashes are taken.
const DEAR: usize = 20;

fn main() -> ExitCode {
    let args = Args::read();
    let samples = if args.is_trial { 10 } else { SAMPLES };
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let current = Argon2idHasher::new(
        // Dearer than bcrypt at its least cost.
        Argon2Params::danger_below_owasp(4_096, 1, 1).expect("possible parameters"),
    );
    let hash = current.hash(b"other", &mut Arena::new()).expect("a hash");
    let hasher = migrating(current);
    // One pool, hence one arena: where it lies in memory tells nothing.
    let pool = HashPool::inline(Arc::clone(&hasher));
    let house = |store| House::new(store, &pool);
    let (full, empty) = (
        house(users(&hash, &runtime)),
        house(MemoryCredentialStore::new()),
    );
    let attempts = attempts(&full, &empty);
    let login = |attempt: &Attempt<'_>| {
        let authentication = attempt
            .house
            .authenticator
            .authenticate(&attempt.username, attempt.password.clone());
        black_box(runtime.block_on(authentication)).expect("an answer");
    };

    let mut is_level = true;
    if !args.only_dear {
        let ours = measure(samples, &attempts, login);
        // Looks the user up and checks the hash, if there is one: what one writes without thinking.
        let mut arena = Arena::new();
        let leaky = measure(samples, &attempts, |attempt| {
            let found = runtime.block_on(attempt.house.store.find(&attempt.username));
            if let Some(hash) = found
                .expect("an answer")
                .and_then(|user| user.password_hash)
            {
                let password = attempt.password.expose().as_bytes();
                // A hash that cannot be read is an answer too.
                let _ = black_box(hasher.verify(password, &hash, &mut arena));
            }
        });
        is_level &= report("portcullis, cheaper hashes", &attempts, &ours) < THRESHOLD;
        is_level &= report("a leaky check", &attempts, &leaky) > THRESHOLD;
    }

    // Hashes take a third of a second there, and differ by as much if they differ at all.
    let dear = dear_house(&runtime);
    let dear_attempts = dear_attempts(&dear);
    let ours_dear = measure((samples / DEAR).max(2), &dear_attempts, login);
    is_level &= report("portcullis, dearer hashes", &dear_attempts, &ours_dear) < THRESHOLD;

    if args.is_trial || is_level {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

struct Args {
    /// Whether to ask only if it runs, as `cargo bench -- --test` does.
    is_trial: bool,
    /// Whether to leave out what is cheap to check, which takes half of the time.
    only_dear: bool,
}

impl Args {
    fn read() -> Self {
        let has = |name| std::env::args().any(|arg| arg == name);
        Self {
            is_trial: has("--test"),
            only_dear: has("--dear"),
        }
    }
}

fn migrating(current: Argon2idHasher) -> Arc<dyn PasswordHasher> {
    let hasher = MigratingHasher::new(Arc::new(current))
        .and_scheme(Arc::new(BcryptScheme::new()))
        .and_scheme(Arc::new(Pbkdf2Scheme::new()))
        .and_scheme(Arc::new(ScryptScheme::new()));
    Arc::new(hasher)
}

/// At OWASP's parameters, with users who bring what is dearer.
fn dear_house(runtime: &Runtime) -> House {
    let hash = |params| Argon2idHasher::new(params).hash(b"other", &mut Arena::new());
    let current = hash(Argon2Params::default()).expect("a hash");
    let fastapi = Argon2Params::new(65_536, 3, 4).expect("possible parameters");
    let store = users(&current, runtime);
    for (username, hash) in [
        (ARGON2_OF_FASTAPI, hash(fastapi).expect("a hash")),
        (BCRYPT_12, PasswordHash::new(format!("{BCRYPT_12}{BCRYPT}"))),
    ] {
        let mut user = Credential::new(UserId::new(username), Username::new(username));
        user.password_hash = Some(hash);
        runtime.block_on(store.create(&user)).expect("a user");
    }
    let pool = HashPool::inline(migrating(Argon2idHasher::new(Argon2Params::default())));
    let house = House::new(store, &pool);
    runtime
        .block_on(house.authenticator.learn())
        .expect("hashes that can be read");
    house
}

struct House {
    store: Arc<MemoryCredentialStore>,
    authenticator: Authenticator,
}

impl House {
    fn new(store: MemoryCredentialStore, pool: &HashPool) -> Self {
        let store = Arc::new(store);
        let authenticator = Authenticator::new(Arc::clone(&store) as _, pool.clone());
        Self {
            store,
            authenticator: authenticator.expect("an authenticator"),
        }
    }
}

/// A user for every state there is, and one for each way a hash may have been migrated.
fn users(current: &PasswordHash, runtime: &Runtime) -> MemoryCredentialStore {
    let store = MemoryCredentialStore::new();
    let add = |username: &str, hash: Option<PasswordHash>, status| {
        let mut user = Credential::new(UserId::new(username), Username::new(username));
        user.password_hash = hash;
        user.status = status;
        runtime.block_on(store.create(&user)).expect("a user");
    };
    add("current", Some(current.clone()), UserStatus::Enabled);
    add("disabled", Some(current.clone()), UserStatus::Disabled);
    add("no password", None, UserStatus::Enabled);
    let unreadable = PasswordHash::new("$what$is$this");
    add("unreadable hash", Some(unreadable), UserStatus::Enabled);
    let recorded = || RECORDED.lines().filter_map(|line| line.split('"').nth(11));
    for prefix in LEGACY {
        let hash = recorded().find(|hash| hash.starts_with(prefix));
        let hash = PasswordHash::new(hash.expect("a recorded hash"));
        add(prefix, Some(hash), UserStatus::Enabled);
    }
    store
}

/// A login that is refused, and why.
struct Attempt<'a> {
    class: &'static str,
    house: &'a House,
    username: Username,
    password: Secret,
}

fn attempts<'a>(full: &'a House, empty: &'a House) -> Vec<Attempt<'a>> {
    let wrong = "wrong".to_owned();
    let too_long = "x".repeat(MAX_PASSWORD_BYTES + 1);
    let as_named = ["disabled", "no password", "unreadable hash"];
    [
        ("wrong password", full, "current", &wrong),
        ("too long password", full, "current", &too_long),
        ("unknown user", full, "nobody", &wrong),
        ("too long, unknown", full, "nobody", &too_long),
        ("empty store", empty, "nobody", &wrong),
    ]
    .into_iter()
    .chain(as_named.map(|class| (class, full, class, &wrong)))
    .chain(LEGACY.map(|class| (class, full, class, &wrong)))
    .map(|(class, house, username, password)| Attempt {
        class,
        house,
        username: Username::new(username),
        password: Secret::from(password.clone()),
    })
    .collect()
}

fn dear_attempts(house: &House) -> Vec<Attempt<'_>> {
    [
        ("wrong password", "current"),
        ("unknown user", "nobody"),
        ("disabled", "disabled"),
        ("no password", "no password"),
        ("unreadable hash", "unreadable hash"),
        (LEGACY[0], LEGACY[0]),
        (ARGON2_OF_FASTAPI, ARGON2_OF_FASTAPI),
        (BCRYPT_12, BCRYPT_12),
    ]
    .map(|(class, username)| Attempt {
        class,
        house,
        username: Username::new(username),
        password: Secret::from("wrong".to_owned()),
    })
    .into()
}

/// Times each attempt `samples` times, in a new order each time: nanoseconds by attempt.
fn measure(
    samples: usize,
    attempts: &[Attempt<'_>],
    mut login: impl FnMut(&Attempt<'_>),
) -> Vec<Vec<f64>> {
    let mut times = vec![Vec::new(); attempts.len()];
    let mut order: Vec<usize> = (0..attempts.len()).collect();
    let mut state = 1_u64;
    for round in 0..samples + samples / 10 {
        for last in (1..order.len()).rev() {
            // Knuth's MMIX generator: any shuffle will do.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            order.swap(last, (state >> 33) as usize % (last + 1));
        }
        for &index in &order {
            let started = Instant::now();
            login(&attempts[index]);
            // The first tenth warms up.
            if round >= samples / 10 {
                times[index].push(started.elapsed().as_nanos() as f64);
            }
        }
    }
    // An interrupt is not an answer: without the slowest hundredth of each, means mean something.
    for times in &mut times {
        times.sort_by(f64::total_cmp);
        times.truncate(times.len() - times.len() / 100);
    }
    times
}

/// Prints each class and returns the largest |t| of two of them.
fn report(name: &str, attempts: &[Attempt<'_>], times: &[Vec<f64>]) -> f64 {
    println!(
        "{name}: mean and its standard error in microseconds, of {} samples; the largest |t|",
        times[0].len()
    );
    let mut worst = 0.0_f64;
    for (attempt, own) in attempts.iter().zip(times) {
        let (mean, square) = mean_and_square_error(own);
        let against = |other: &Vec<f64>| welch_t(own, other).abs();
        let (t, other) = times
            .iter()
            .map(against)
            .zip(attempts)
            .max_by(|(a, _), (b, _)| a.total_cmp(b))
            .expect("a class");
        println!(
            "  {:<34} {:9.2} {:6.2} {t:9.2} to {}",
            attempt.class,
            mean / 1e3,
            square.sqrt() / 1e3,
            other.class,
        );
        worst = worst.max(t);
    }
    println!("  worst {worst:.2}, threshold {THRESHOLD}");
    worst
}

fn welch_t(a: &[f64], b: &[f64]) -> f64 {
    let ((mean_a, square_a), (mean_b, square_b)) =
        (mean_and_square_error(a), mean_and_square_error(b));
    (mean_a - mean_b) / (square_a + square_b).sqrt()
}

/// The mean, and the square of its standard error.
fn mean_and_square_error(samples: &[f64]) -> (f64, f64) {
    let n = samples.len() as f64;
    let mean = samples.iter().sum::<f64>() / n;
    let squares: f64 = samples.iter().map(|x| (x - mean) * (x - mean)).sum();
    (mean, squares / (n - 1.0) / n)
}
