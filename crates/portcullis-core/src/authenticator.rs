//! Turns a username and a password into a user, or into one refusal for every reason.

use std::collections::HashSet;
use std::error::Error as StdError;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::clock::Clock;
use crate::credential_store::{Credential, CredentialStore, UserId, UserStatus, Username};
use crate::error::{Error, ErrorKind};
use crate::password::{
    Arena, HashPool, MAX_PASSWORD_BYTES, PasswordHash, PasswordHasher, TargetTime, Verdict,
};
use crate::secret::Secret;

/// Checks passwords. The only place that decides whether one is right.
///
/// An unknown user, a wrong password, a disabled user, a user without a password and a hash that
/// cannot be read take the same path and do the same work: one look-up, one hash. Where there is
/// no hash to check, a decoy at the current parameters is checked in its place. Where checking the
/// stored hash is cheaper than that, as with one that was migrated from another system, the
/// hashing thread stays busy until it has used as much processor time.
///
/// A stored hash that is *dearer* than the current parameters cannot be hidden: its user can be
/// told from others until their next login, when the hash is replaced. Each is logged.
#[derive(Clone, Debug)]
pub struct Authenticator {
    store: Arc<dyn CredentialStore>,
    pool: HashPool,
    decoy: PasswordHash,
    target: Arc<TargetTime>,
}

impl Authenticator {
    /// Makes an authenticator over `store`. Blocks for two hashes, which prove that hashing works
    /// here, make the decoy, and measure what checking it takes.
    ///
    /// # Errors
    /// As [`HashPool::hash`] and [`HashPool::verify`].
    pub fn new(store: Arc<dyn CredentialStore>, pool: HashPool) -> Result<Self, Error> {
        let clock = Arc::clone(pool.clock());
        let (decoy, first) = pool.run_blocking(move |hasher, arena| {
            // Its password need not be secret: a match with the decoy is never accepted.
            let decoy = hasher.hash(b"decoy", arena)?;
            let started = clock.thread_time();
            hasher.verify(b"decoy", &decoy, arena)?;
            let duration = clock.thread_time().saturating_sub(started);
            Ok::<_, Error>((decoy, duration))
        })??;
        Ok(Self {
            store,
            pool,
            decoy,
            target: Arc::new(TargetTime::new(first)),
        })
    }

    /// Finds out who this is.
    ///
    /// A hash made at other than the current parameters is replaced after a match, if it has not
    /// changed meanwhile; should that fail, the login succeeds all the same.
    ///
    /// Cancellation safe: dropped before the hash begins, nothing is hashed; dropped later, at most
    /// the replacement of the hash is lost.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt` from the store, `Overloaded` from the pool: whether the password
    /// is right is then not known.
    pub async fn authenticate(
        &self,
        username: &Username,
        password: &Secret,
    ) -> Result<Authentication, Error> {
        // Before the look-up: under a storm, what is refused must cost the store nothing.
        self.pool.admit()?;
        let authenticated_at = self.pool.clock().now();
        let credential = self.store.find(username).await?;
        let stored = credential
            .as_ref()
            .and_then(|user| user.password_hash.clone());
        let enabled = credential
            .as_ref()
            .is_some_and(|user| user.status == UserStatus::Enabled);
        let too_long = password.expose().len() > MAX_PASSWORD_BYTES;
        let check = Check {
            // What is too long is refused, by the same work as a short one.
            password: if too_long {
                Secret::from(String::new())
            } else {
                password.clone()
            },
            acceptable: enabled && stored.is_some() && !too_long,
            hash: stored.unwrap_or_else(|| self.decoy.clone()),
            decoy: self.decoy.clone(),
            clock: Arc::clone(self.pool.clock()),
            target: Arc::clone(&self.target),
        };
        let checked = self
            .pool
            .run(move |hasher, arena| check.run(hasher, arena))
            .await??;
        if let (Some(excess), Some(user)) = (checked.excess, &credential) {
            tracing::info!(
                user_id = %user.user_id,
                ?excess,
                "checking this user's password hash takes longer than a current one"
            );
        }
        match (checked.outcome, credential) {
            (Outcome::Accepted { rehash }, Some(credential)) => {
                if let Some((old, new)) = rehash {
                    self.replace_hash(&credential.user_id, &old, &new).await;
                }
                Ok(Authentication::Accepted(AuthenticatedUser {
                    credential,
                    authenticated_at,
                }))
            }
            (Outcome::Corrupt(error), Some(Credential { user_id, .. })) => {
                tracing::error!(
                    %user_id,
                    error = &error as &dyn StdError,
                    "a user cannot log in until the password is set anew"
                );
                Ok(Authentication::Refused)
            }
            _ => Ok(Authentication::Refused),
        }
    }

    /// Finds out whether a user who was authenticated at `authenticated_at`, by a password or what
    /// was given for one, may still be taken for logged in: exists, is enabled, and has not had
    /// what is older revoked ([`Credential::tokens_valid_from`], to the microsecond). No password
    /// is asked for.
    ///
    /// Cancellation safe: nothing is changed.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt` from the store.
    pub async fn recall(
        &self,
        user_id: &UserId,
        authenticated_at: SystemTime,
    ) -> Result<Authentication, Error> {
        let looked_up_at = self.pool.clock().now();
        let credential = self.store.find_by_id(user_id).await?;
        let recalled = credential.filter(|user| {
            user.status == UserStatus::Enabled && user.tokens_valid_from <= authenticated_at
        });
        Ok(recalled.map_or(Authentication::Refused, |credential| {
            Authentication::Accepted(AuthenticatedUser {
                credential,
                authenticated_at: looked_up_at,
            })
        }))
    }

    /// Refuses now what [`authenticate`](Self::authenticate) would refuse for want of time.
    pub(crate) fn admit(&self) -> Result<(), Error> {
        self.pool.admit()
    }

    async fn replace_hash(&self, user_id: &UserId, old: &PasswordHash, new: &PasswordHash) {
        match self.store.replace_hash(user_id, old, new).await {
            Ok(true) => tracing::debug!(%user_id, "replaced an obsolete password hash"),
            // Somebody changed the password meanwhile: theirs stands.
            Ok(false) => {}
            // A store that is only read from: whoever writes to it sees to its hashes.
            Err(error) if error.kind() == ErrorKind::Unsupported => {}
            Err(error) => tracing::warn!(
                %user_id,
                error = &error as &dyn StdError,
                "could not replace an obsolete password hash"
            ),
        }
    }
}

/// The outcome of a check of a username and a password.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Authentication {
    /// The user may log in, and the password is right if there was one.
    Accepted(AuthenticatedUser),
    /// Anything else. The reasons are not told apart, here or anywhere.
    Refused,
}

/// A user whose password has just been checked, or who has been recalled. Having one is the proof.
#[derive(Clone, Debug)]
pub struct AuthenticatedUser {
    credential: Credential,
    authenticated_at: SystemTime,
}

impl AuthenticatedUser {
    /// The stable name of the user.
    #[must_use]
    pub fn user_id(&self) -> &UserId {
        &self.credential.user_id
    }

    /// What the user typed.
    #[must_use]
    pub fn username(&self) -> &Username {
        &self.credential.username
    }

    /// When the user was looked up. What was changed since, such as the password, this proof does
    /// not know of.
    #[must_use]
    pub fn authenticated_at(&self) -> SystemTime {
        self.authenticated_at
    }

    /// The scopes to grant: those of `requested` that the user may have, or all of them if none
    /// were asked for (RFC 6749 §3.3). FastAPI itself leaves the scopes of the form alone.
    #[must_use]
    pub fn grant_scopes<'a>(&self, requested: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let allowed = &self.credential.scopes;
        let requested: HashSet<&str> = requested.into_iter().collect();
        if requested.is_empty() {
            return allowed.clone();
        }
        allowed
            .iter()
            .filter(|scope| requested.contains(scope.as_str()))
            .cloned()
            .collect()
    }

    /// Of the scopes `granted` before those that the user still may have, and that are among
    /// `requested` if any are (RFC 6749 §6).
    pub(crate) fn narrow_scopes<'a>(
        &self,
        granted: &[String],
        requested: impl IntoIterator<Item = &'a str>,
    ) -> Vec<String> {
        let mut scopes = self.grant_scopes(requested);
        scopes.retain(|scope| granted.contains(scope));
        scopes
    }
}

/// The work on a hashing thread.
struct Check {
    password: Secret,
    // Whether a match would log anybody in. Nothing before the verdict depends on it.
    acceptable: bool,
    hash: PasswordHash,
    decoy: PasswordHash,
    clock: Arc<dyn Clock>,
    target: Arc<TargetTime>,
}

impl Check {
    fn run(mut self, hasher: &dyn PasswordHasher, arena: &mut Arena) -> Result<Checked, Error> {
        let started = self.clock.thread_time();
        let password = self.password.expose().as_bytes();
        let mut corrupt = None;
        let verdict = match hasher.verify(password, &self.hash, arena) {
            Ok(verdict) => verdict,
            // One user's hash is broken, and the answer must not tell whose: it is as if there were
            // none, in all that follows too.
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                corrupt = Some(error);
                self.hash = self.decoy;
                hasher.verify(password, &self.hash, arena)?
            }
            Err(error) => return Err(error),
        };
        let obsolete = hasher.needs_rehash(&self.hash);
        let duration = self.clock.thread_time().saturating_sub(started);
        let mut excess = None;
        if obsolete {
            let target = self.target.next();
            self.clock.busy_wait(started.saturating_add(target));
            excess = duration.checked_sub(target.saturating_mul(2));
        } else {
            self.target.record(duration);
        }
        let outcome = if let Some(error) = corrupt {
            Outcome::Corrupt(error)
        } else if verdict == Verdict::Mismatch || !self.acceptable {
            Outcome::Refused
        } else {
            let rehash = if obsolete {
                hasher.hash(password, arena).ok()
            } else {
                None
            };
            Outcome::Accepted {
                rehash: rehash.map(|new| (self.hash, new)),
            }
        };
        Ok(Checked { outcome, excess })
    }
}

struct Checked {
    outcome: Outcome,
    // By how much the check took longer than twice a current one: so much is not noise.
    excess: Option<Duration>,
}

enum Outcome {
    /// With the old and the new hash, if the old one is obsolete.
    Accepted {
        rehash: Option<(PasswordHash, PasswordHash)>,
    },
    Corrupt(Error),
    Refused,
}
