//! What is done on a hashing thread to check a password.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::error::{Error, ErrorKind};
use crate::password::{
    Arena, Blocklist, Class, PasswordHash, PasswordHasher, Rest, TargetTime, Verdict,
};
use crate::secret::Secret;
use crate::store::Username;

/// The work on a hashing thread.
pub(super) struct Check {
    pub(super) password: Secret,
    // Whether a match would log anybody in. Nothing before the verdict depends on it.
    pub(super) acceptable: bool,
    pub(super) stored: Option<PasswordHash>,
    pub(super) decoy: Arc<PasswordHash>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) target: Arc<TargetTime>,
    // With the name of the user whom it is asked about.
    pub(super) blocklist: Option<(Arc<dyn Blocklist>, Username)>,
}

impl Check {
    pub(super) fn run(
        self,
        hasher: &dyn PasswordHasher,
        arena: &mut Arena,
    ) -> Result<Checked, Error> {
        let started = self.clock.thread_time();
        let password = self.password.expose().as_bytes();
        let mut hash = self.stored.as_ref().unwrap_or(&self.decoy);
        let mut corrupt = None;
        let verdict = match hasher.verify(password, hash, arena) {
            Ok(verdict) => verdict,
            // One user's hash is broken, and the answer must not tell whose: it is as if there were
            // none, in all that follows too.
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                corrupt = Some(error);
                hash = &self.decoy;
                hasher.verify(password, hash, arena)?
            }
            Err(error) => return Err(error),
        };
        let class = Class::of(hasher, hash);
        let is_replaced = hasher.needs_rehash(hash)
            && hasher.covers(password, hash)
            && hasher
                .attack_cost(hash)
                .zip(hasher.attack_cost(&self.decoy))
                .is_some_and(|(old, new)| old <= new);
        let duration = self.clock.thread_time().saturating_sub(started);
        let mut too_long = None;
        match self.target.record(&class, duration) {
            Rest::Until(target) => self.clock.busy_wait(started.saturating_add(target)),
            Rest::TooLong => too_long = Some(duration),
        }
        let outcome = if let Some(error) = corrupt {
            Outcome::Corrupt(error)
        } else if verdict == Verdict::Mismatch || !self.acceptable {
            Outcome::Refused
        } else {
            let rehash = if is_replaced {
                hasher.hash(password, arena).ok()
            } else {
                None
            };
            // Only now: before, the time would tell of a disabled user that the password is right.
            let is_blocked = self
                .blocklist
                .is_some_and(|(blocklist, name)| blocklist.blocks(&self.password, &name));
            Outcome::Accepted {
                rehash: self.stored.zip(rehash),
                is_blocked,
            }
        };
        Ok(Checked { outcome, too_long })
    }
}

pub(super) struct Checked {
    pub(super) outcome: Outcome,
    // How long the check took, if that is longer than can be hidden.
    pub(super) too_long: Option<Duration>,
}

pub(super) enum Outcome {
    /// With the old and the new hash, if the old one is obsolete.
    Accepted {
        rehash: Option<(PasswordHash, PasswordHash)>,
        is_blocked: bool,
    },
    Corrupt(Error),
    Refused,
}
