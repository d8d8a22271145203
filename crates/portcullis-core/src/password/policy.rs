//! Which new passwords are taken.

use std::fmt::Debug;
use std::sync::Arc;

use thiserror::Error;

use super::Blocklist;
use crate::secret::Secret;
use crate::store::Username;

/// The longest password that can match, in bytes: as passlib 1.7 and Django 5 have it. Longer ones
/// are only sent to make work, whose length would show whether there is a hash to check.
pub const MAX_PASSWORD_BYTES: usize = 4_096;

/// What a newly chosen password must be: long, but not longer than can be checked, and nothing that an
/// attacker tries first. No composition rules (NIST SP 800-63B-4 §3.1.1.2).
///
/// It says nothing about existing passwords: a login accepts whatever was set.
///
/// ```
/// use portcullis_core::password::PasswordPolicy;
/// use portcullis_core::{Secret, Username};
///
/// let policy = PasswordPolicy::default();
/// let ada = Username::new("ada.lovelace.1815@example.com");
/// let takes = |password: &str| policy.check(&Secret::from(password.to_owned()), &ada).is_ok();
/// assert!(!takes("short"));
/// assert!(!takes("Ada.Lovelace.1815"));
/// assert!(takes("correct horse battery staple"));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PasswordPolicy {
    /// The least length, in Unicode code points. Default 15 (NIST SP 800-63B-4 §3.1.1.2, for a
    /// password that is the only factor).
    pub min_code_points: usize,
    /// Passwords that are not taken though they are long enough. Default: none. With the feature
    /// `zxcvbn` there is a ready one, `CommonPasswords`.
    pub blocklist: Option<Arc<dyn Blocklist>>,
}

impl PasswordPolicy {
    /// Checks a password that somebody is about to set for the account `username`.
    ///
    /// It takes as long as the blocklist does. [`Accounts`](crate::Accounts) asks that on a thread of the
    /// [`HashPool`](super::HashPool).
    ///
    /// # Errors
    /// [`PasswordRefusal`] if it is too short, longer than [`MAX_PASSWORD_BYTES`], the username or the
    /// part of that before an `@`, whatever the case, or in the blocklist.
    pub fn check(&self, password: &Secret, username: &Username) -> Result<(), PasswordRefusal> {
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
        let name = username.as_str();
        let local_part = name.rsplit_once('@').map_or(name, |(local, _)| local);
        if [name, local_part]
            .iter()
            .any(|name| same_but_for_case(name, password.expose()))
        {
            return Err(PasswordRefusal::IsUsername);
        }
        match &self.blocklist {
            Some(blocklist) if blocklist.blocks(password, username) => {
                Err(PasswordRefusal::Blocked)
            }
            _ => Ok(()),
        }
    }
}

// Without a copy of the password.
fn same_but_for_case(a: &str, b: &str) -> bool {
    let lower = |text| str::chars(text).flat_map(char::to_lowercase);
    lower(a).eq(lower(b))
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        Self {
            min_code_points: 15,
            blocklist: None,
        }
    }
}

/// Why a [`PasswordPolicy`] does not take a new password.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum PasswordRefusal {
    /// The blocklist has it.
    #[error("the password is one that is guessed soon")]
    Blocked,
    /// It is the username, or the part of that before an `@`.
    #[error("the password is the username")]
    IsUsername,
    /// It has more than [`MAX_PASSWORD_BYTES`].
    #[error("the password has more than {MAX_PASSWORD_BYTES} bytes")]
    TooLong,
    /// It has fewer code points than the policy asks for.
    #[error("the password has {code_points} characters and needs at least {min_code_points}")]
    TooShort {
        /// How many it has.
        code_points: usize,
        /// How many it needs.
        min_code_points: usize,
    },
}
