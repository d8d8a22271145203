//! Whether the time of a refused login tells why it was refused.
//!
//! Times refusals of each class in turn, many thousand of each, and compares every two classes by
//! Welch's t-test. Above 4.5 (the threshold of ISO/IEC 17825 for leakage) they can be told apart. A
//! check that leaks on purpose is measured too, to show that the test would notice.
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

use portcullis_core::{
    Arena, Argon2Params, Argon2idHasher, Authenticator, Credential, CredentialStore, HashPool,
    MemoryStore, MigratingHasher, PasswordHash, PasswordHasher, Pbkdf2Scheme, Secret, UserId,
    UserStatus, Username,
};
use tokio::runtime::Builder;

const SAMPLES: usize = 10_000;
const THRESHOLD: f64 = 4.5;

/// Django's PBKDF2 at 100 rounds, of "other": far cheaper than what is current here.
const DJANGO: &str = "pbkdf2_sha256$100$portcullis$V3pK3jVd6gPQ1b7dI0mZ4Yl8QJpJ3m0y0cZb2l7cG0E=";

const CLASSES: [&str; 6] = [
    "wrong password",
    "unknown user",
    "disabled",
    "no password",
    "older Argon2",
    "Django PBKDF2",
];

fn main() -> ExitCode {
    // `cargo bench -- --test` only asks whether it runs.
    let samples = if std::env::args().any(|arg| arg == "--test") {
        10
    } else {
        SAMPLES
    };
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let current = Argon2idHasher::new(params(1024, 1));
    let arena = &mut Arena::new();
    let mut hash = |hasher: &Argon2idHasher| hasher.hash(b"other", arena).expect("a hash");
    let store = MemoryStore::new();
    for (username, hash, status) in [
        (CLASSES[0], Some(hash(&current)), UserStatus::Enabled),
        (CLASSES[2], Some(hash(&current)), UserStatus::Disabled),
        (CLASSES[3], None, UserStatus::Enabled),
        (
            CLASSES[4],
            Some(hash(&Argon2idHasher::new(params(64, 1)))),
            UserStatus::Enabled,
        ),
        (
            CLASSES[5],
            Some(PasswordHash::new(DJANGO)),
            UserStatus::Enabled,
        ),
    ] {
        let mut user = Credential::new(UserId::new(username), Username::new(username));
        user.password_hash = hash;
        user.status = status;
        runtime.block_on(store.create(&user)).expect("a user");
    }
    let hasher = MigratingHasher::new(Arc::new(current)).with_scheme(Arc::new(Pbkdf2Scheme::new()));
    let hasher: Arc<dyn PasswordHasher> = Arc::new(hasher);
    let store: Arc<dyn CredentialStore> = Arc::new(store);
    let pool = HashPool::inline(Arc::clone(&hasher));
    let authenticator = Authenticator::new(Arc::clone(&store), pool).expect("an authenticator");
    let password = Secret::from("wrong".to_owned());

    let ours = measure(samples, |username| {
        let authentication = authenticator.authenticate(username, &password);
        black_box(runtime.block_on(authentication)).expect("an answer");
    });
    // Looks the user up and checks the hash, if there is one: what one writes without thinking.
    let mut arena = Arena::new();
    let leaky = measure(samples, |username| {
        let user = runtime.block_on(store.find(username)).expect("an answer");
        if let Some(hash) = user.and_then(|user| user.password_hash) {
            let verdict = hasher.verify(b"wrong", &hash, &mut arena);
            black_box(verdict).expect("an answer");
        }
    });

    let worst = report("portcullis", &ours);
    let worst_leaky = report("a leaky check", &leaky);
    if samples < SAMPLES || (worst < THRESHOLD && worst_leaky > THRESHOLD) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Times each class `samples` times, in a new order each time: nanoseconds by class.
fn measure(samples: usize, mut login: impl FnMut(&Username)) -> [Vec<f64>; CLASSES.len()] {
    let usernames = CLASSES.map(Username::new);
    let mut times = [const { Vec::new() }; CLASSES.len()];
    let mut order: Vec<usize> = (0..CLASSES.len()).collect();
    let mut state = 1_u64;
    for round in 0..samples + samples / 10 {
        for last in (1..order.len()).rev() {
            // Knuth's MMIX generator: any shuffle will do.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            order.swap(last, (state >> 33) as usize % (last + 1));
        }
        for &class in &order {
            let started = Instant::now();
            login(&usernames[class]);
            // The first tenth warms up.
            if round >= samples / 10 {
                times[class].push(started.elapsed().as_nanos() as f64);
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

/// Prints each pair and returns the largest |t|.
fn report(name: &str, times: &[Vec<f64>; CLASSES.len()]) -> f64 {
    println!(
        "{name}: mean and its standard error in microseconds, of {} samples",
        times[0].len()
    );
    for (class, times) in CLASSES.iter().zip(times) {
        let (mean, square) = mean_and_square_error(times);
        println!(
            "  {class:>15} {:9.2} {:6.2}",
            mean / 1e3,
            square.sqrt() / 1e3
        );
    }
    println!("{name}: |t| of each two classes");
    let mut worst = 0.0_f64;
    for (i, a) in times.iter().enumerate() {
        for (j, b) in times.iter().enumerate().skip(i + 1) {
            let t = welch_t(a, b).abs();
            println!("  {:>15} / {:<15} {t:8.2}", CLASSES[i], CLASSES[j]);
            worst = worst.max(t);
        }
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

fn params(memory_kib: u32, iterations: u32) -> Argon2Params {
    Argon2Params::danger_below_owasp(memory_kib, iterations, 1).expect("possible parameters")
}
