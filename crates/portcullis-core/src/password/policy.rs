//! Which new passwords are taken.

use std::fmt;

use crate::secret::Secret;

/// The longest password that can match, in bytes: as passlib 1.7 and Django 5 have it. Longer ones
/// are only sent to make work, whose length would show whether there is a hash to check.
pub const MAX_PASSWORD_BYTES: usize = 4_096;

/// What a newly chosen password must be: long, but not longer than can be checked. No composition
/// rules (NIST SP 800-63B-4 §3.1.1.2).
///
/// It says nothing about existing passwords: a login accepts whatever was set.
///
/// ```
/// use portcullis_core::password::PasswordPolicy;
/// use portcullis_core::Secret;
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
    /// [`PasswordRefusal`] if it is too short, or longer than [`MAX_PASSWORD_BYTES`].
    pub fn check(&self, password: &Secret) -> Result<(), PasswordRefusal> {
        if password.expose().len() > MAX_PASSWORD_BYTES {
            return Err(PasswordRefusal::TooLong);
        }
        let code_points = password.expose().chars().count();
        if code_points < self.min_code_points {
            return Err(PasswordRefusal::TooShort {
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

/// Why a [`PasswordPolicy`] does not take a new password.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PasswordRefusal {
    /// It has more than [`MAX_PASSWORD_BYTES`].
    TooLong,
    /// It has fewer code points than the policy asks for.
    TooShort {
        /// How many it has.
        code_points: usize,
        /// How many it needs.
        min_code_points: usize,
    },
}

impl fmt::Display for PasswordRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "the password has more than {MAX_PASSWORD_BYTES} bytes"),
            Self::TooShort {
                code_points,
                min_code_points,
            } => write!(
                f,
                "the password has {code_points} characters and needs at least {min_code_points}"
            ),
        }
    }
}

impl std::error::Error for PasswordRefusal {}
