//! Which new passwords are taken.

use std::fmt;

use crate::secret::Secret;

/// What a newly chosen password must be: long. No composition rules, no upper limit of its own
/// (NIST SP 800-63B-4 §3.1.1.2).
///
/// It says nothing about existing passwords: a login accepts whatever was set.
///
/// ```
/// use portcullis_core::{PasswordPolicy, Secret};
///
/// let policy = PasswordPolicy::default();
/// assert!(policy.check(&Secret::from("short".to_owned())).is_err());
/// assert!(policy.check(&Secret::from("correct horse battery staple".to_owned())).is_ok());
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PasswordPolicy {
    /// The least length, in Unicode code points. Default 15 (NIST SP 800-63B-4 §3.1.1.2, for a
    /// password that is the only factor).
    pub min_code_points: usize,
}

impl PasswordPolicy {
    /// Checks a password somebody is about to set.
    ///
    /// # Errors
    /// [`PasswordTooShort`] with both lengths.
    pub fn check(&self, password: &Secret) -> Result<(), PasswordTooShort> {
        let code_points = password.expose().chars().count();
        if code_points < self.min_code_points {
            return Err(PasswordTooShort {
                code_points,
                min_code_points: self.min_code_points,
            });
        }
        Ok(())
    }
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        Self {
            min_code_points: 15,
        }
    }
}

/// A new password is shorter than the [`PasswordPolicy`] allows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct PasswordTooShort {
    /// How long it is, in Unicode code points.
    pub code_points: usize,
    /// How long it must be.
    pub min_code_points: usize,
}

impl fmt::Display for PasswordTooShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the password has {} characters and needs at least {}",
            self.code_points, self.min_code_points
        )
    }
}

impl std::error::Error for PasswordTooShort {}
