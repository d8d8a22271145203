//! What a password costs, by Argon2 parameters: choose yours here.

#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up ends")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use portcullis_core::Argon2idHasher;
use portcullis_core::password::{Arena, Argon2Params, PasswordHasher};

fn argon2id(c: &mut Criterion) {
    let mut group = c.benchmark_group("argon2id");
    group.sample_size(10);
    let fastapi = Argon2Params::new(65_536, 3, 4).expect("above OWASP's rows");
    for params in Argon2Params::OWASP.into_iter().chain([fastapi]) {
        let hasher = Argon2idHasher::new(params);
        let arena = &mut Arena::new();
        let hash = hasher.hash(b"correct horse", arena).expect("a hash");
        let row = params.to_string();
        group.bench_function(BenchmarkId::new("hash", &row), |b| {
            b.iter(|| hasher.hash(black_box(b"correct horse"), arena));
        });
        group.bench_function(BenchmarkId::new("verify", &row), |b| {
            b.iter(|| hasher.verify(black_box(b"correct horse"), &hash, arena));
        });
    }
    group.finish();
}

criterion_group!(benches, argon2id);
criterion_main!(benches);
