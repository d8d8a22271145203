//! Computes Argon2 tags (RFC 9106).

use argon2::{Algorithm, Params, Version};

mod pages;
pub(super) mod reference;
#[cfg(feature = "argon2-simd")]
pub(super) mod simd;

/// What computes a tag. All compute the same.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kernel {
    /// The `argon2` crate.
    Reference,
    /// The `argon2-rust` crate.
    #[cfg(feature = "argon2-simd")]
    Simd,
}

/// Which function of the Argon2 family: everything a tag depends on but password and salt.
pub(super) struct Variant {
    pub(super) algorithm: Algorithm,
    pub(super) version: Version,
    pub(super) params: Params,
}
