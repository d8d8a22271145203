#![doc = include_str!("../README.md")]

#[cfg(not(any(feature = "aws_lc_rs", feature = "rust_crypto")))]
compile_error!("portcullis-jwt needs its feature `aws_lc_rs` (the default) or `rust_crypto`");

mod issuer;
pub use issuer::JwtIssuer;

mod key;
pub use key::{Algorithm, SigningKey, VerifyingKey, read_secret};

mod verifier;
pub use verifier::JwtVerifier;
