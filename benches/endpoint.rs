//! The overhead that is ours: a whole login but for hashing.

#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up ends")]

use std::hint::black_box;

use benches::{LOGIN, Overhead};
use criterion::{Criterion, criterion_group, criterion_main};

fn endpoint(c: &mut Criterion) {
    let overhead = Overhead::new().expect("the endpoint can be made");
    let mut group = c.benchmark_group("endpoint");
    for (name, body, status) in [
        ("login", LOGIN, 200),
        ("unknown user", &b"username=x&password=x"[..], 401),
        ("empty form", b"", 422),
    ] {
        assert_eq!(overhead.handle(body).status(), status);
        group.bench_function(name, |b| b.iter(|| overhead.handle(black_box(body))));
    }
    group.finish();
}

criterion_group!(benches, endpoint);
criterion_main!(benches);
