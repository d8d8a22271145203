//! Access tokens, by algorithm.

#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up ends")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use portcullis_core::token::TokenRequest;
use portcullis_core::{AccessTokenPolicy, TokenIssuer, TokenVerifier, UserId};
use portcullis_jwt::{JwtIssuer, SigningKey};
use tokio::runtime::Builder;

/// RFC 8032 §7.1, test 1, as PKCS#8.
const ED25519: &[u8] = b"-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
    -----END PRIVATE KEY-----\n";

fn jwt(c: &mut Criterion) {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let mut group = c.benchmark_group("jwt");
    for key in [
        SigningKey::from_hs256_secret(b"3vbWOTNRjTbMX4pYcLJFEYZJs0zEQoeT"),
        SigningKey::from_ed25519_pem(ED25519),
    ] {
        let key = key.expect("a key");
        let algorithm = key.algorithm().as_str();
        let policy = AccessTokenPolicy::new("https://api.example.com", "example-api");
        let issuer = JwtIssuer::new(policy, key);
        let verifier = issuer.verifier();
        let subject = UserId::new("6e9bf1a0-3c1c-4c9e-9b1f-1f7d3f1f0a11");
        let issue = || runtime.block_on(issuer.issue(TokenRequest::new(black_box(&subject))));
        let token = issue().expect("a token").access_token;
        group.bench_function(format!("{algorithm}/issue"), |b| b.iter(issue));
        group.bench_function(format!("{algorithm}/verify"), |b| {
            b.iter(|| runtime.block_on(verifier.verify(black_box(token.expose()))));
        });
    }
    group.finish();
}

criterion_group!(benches, jwt);
criterion_main!(benches);
