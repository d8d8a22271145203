//! The tests of this crate, and what they share: one moment, one issuer, one audience, and the keys
//! of the RFCs.

#![expect(
    clippy::unwrap_used,
    reason = "the lint knows only functions marked as tests"
)]

mod claims;
mod hostile;
mod keys;
mod tokens;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_core::AccessTokenPolicy;
use portcullis_jwt::{JwtIssuer, JwtVerifier, SigningKey};
use portcullis_testkit::ManualClock;

const ISSUER: &str = "https://login.example";
const AUDIENCE: &str = "https://api.example";
const USER_ID: &str = "8e7c0f4e-3c1f-4b58-9b0e-5f3a2f6f1d11";

/// When the tokens of the fixtures were issued, in seconds since 1970. They live 15 minutes.
const IAT: u64 = 1_800_000_000;
const EXP: u64 = IAT + 900;

/// RFC 7515 appendix A.1.
const SECRET: &[u8] = include_bytes!("../fixtures/hs256.secret");
/// RFC 8037 appendix A.1.
const PRIVATE_PEM: &[u8] = include_bytes!("../fixtures/ed25519.pem");
const PUBLIC_PEM: &[u8] = include_bytes!("../fixtures/ed25519.pub.pem");

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn hs256() -> SigningKey {
    SigningKey::from_hs256_secret(SECRET).unwrap()
}

fn eddsa() -> SigningKey {
    SigningKey::from_ed25519_pem(PRIVATE_PEM).unwrap()
}

fn policy(now: SystemTime) -> AccessTokenPolicy {
    AccessTokenPolicy::new(ISSUER, AUDIENCE).with_clock(Arc::new(ManualClock::new(now)))
}

fn issuer(key: SigningKey) -> JwtIssuer {
    JwtIssuer::new(policy(at(IAT)), key)
}

fn verifier(key: &SigningKey, now: SystemTime) -> JwtVerifier {
    JwtVerifier::new(policy(now), key.verifying_key().clone())
}
