//! Schemes that hashes are migrated from: checked as the libraries that made them do, never made.

use super::corrupt;
use crate::error::Error;

#[cfg(feature = "bcrypt")]
mod bcrypt;
#[cfg(any(feature = "pbkdf2", feature = "scrypt"))]
mod encoding;
#[cfg(feature = "pbkdf2")]
mod pbkdf2;
#[cfg(feature = "scrypt")]
mod scrypt;

#[cfg(feature = "bcrypt")]
pub use bcrypt::BcryptScheme;
#[cfg(feature = "pbkdf2")]
pub use pbkdf2::Pbkdf2Scheme;
#[cfg(feature = "scrypt")]
pub use scrypt::{ScryptLimits, ScryptScheme};

/// A cost: decimal digits and nothing else, where `parse` alone would take a sign.
fn number(text: &str) -> Result<u32, Error> {
    Some(text)
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| corrupt("its cost is not a number"))
}
