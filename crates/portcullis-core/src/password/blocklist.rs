//! Passwords that an attacker tries first.

use std::fmt::Debug;

use crate::secret::Secret;
use crate::store::Username;

/// Knows passwords that are not to be used: common ones, expected ones, those that were found in breaches
/// (NIST SP 800-63B-4 §3.1.1.2).
///
/// It has two places: [`PasswordPolicy::blocklist`](super::PasswordPolicy) refuses new passwords, and
/// [`Authenticator::with_blocklist`](crate::Authenticator::with_blocklist) tells a
/// [`LoginGate`](crate::LoginGate) of a login with one that was set before.
///
/// ```
/// use portcullis_core::password::{Blocklist, PasswordPolicy, PasswordRefusal};
/// use portcullis_core::{Secret, Username};
///
/// /// Words that everybody expects here.
/// #[derive(Debug)]
/// struct OurWords;
///
/// impl Blocklist for OurWords {
///     fn blocks(&self, password: &Secret, _: &Username) -> bool {
///         password.expose().to_lowercase().contains("analytical engine")
///     }
/// }
///
/// let mut policy = PasswordPolicy::default();
/// policy.blocklist = Some(std::sync::Arc::new(OurWords));
/// let password = Secret::from("Analytical Engine 1".to_owned());
/// let refusal = policy.check(&password, &Username::new("ada"));
/// assert_eq!(refusal, Err(PasswordRefusal::Blocked));
/// ```
pub trait Blocklist: Debug + Send + Sync + 'static {
    /// Whether `password` is not to be used for the account `username`.
    ///
    /// It is called on a thread of the [`HashPool`](super::HashPool), whose other logins wait meanwhile: it
    /// may compute for as long as a hash takes and read a local file, and does not ask the network. A panic
    /// fails the request with `Internal`, as one of a hasher does. A list that cannot be read is for the
    /// implementation to judge: `false` lets everything in.
    fn blocks(&self, password: &Secret, username: &Username) -> bool;
}
