//! Turns a username and a password into a user, or into one refusal for every reason.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::adapter::Caller;
use crate::audit::RefusedBecause;
use crate::error::{Error, ErrorKind};
use crate::password::{Blocklist, Class, HashPool, MAX_PASSWORD_BYTES, PasswordHash, TargetTime};
use crate::secret::Secret;
use crate::store::{Credential, CredentialStore, UserId, UserStatus, Username};

mod check;
mod user;

use check::{Check, Outcome};
pub use user::AuthenticatedUser;
pub(crate) use user::RecalledUser;

/// Checks passwords. The only place that decides whether one is right.
///
/// An unknown user, a wrong password, a disabled user, a user without a password and a hash that
/// cannot be read take the same path and do the same work: one look-up, one hash. Where there is
/// no hash to check, a decoy at the current parameters is checked in its place. Where checking that is
/// cheaper than checking the dearest hashes of the store, as with those that were migrated from another
/// system, the hashing thread stays busy until it has used as much processor time. Which hashes are
/// dearest it learns while it runs, and by [`learn`](Self::learn) at the start.
///
/// What takes longer than a second to check is not hidden, see
/// [`with_longest_check`](Self::with_longest_check): its user can be told from others, and each such check
/// is logged.
#[derive(Clone, Debug)]
pub struct Authenticator {
    store: Arc<dyn CredentialStore>,
    pool: HashPool,
    decoy: Arc<PasswordHash>,
    target: Arc<TargetTime>,
    blocklist: Option<Arc<dyn Blocklist>>,
}

impl Authenticator {
    /// Makes an authenticator over `store`. Blocks for two hashes, which prove that hashing works
    /// here, make the decoy, and measure what checking it takes.
    ///
    /// # Errors
    /// As [`HashPool::hash`] and [`HashPool::verify`].
    pub fn new(store: Arc<dyn CredentialStore>, pool: HashPool) -> Result<Self, Error> {
        let clock = Arc::clone(pool.clock());
        let (decoy, class, first) = pool.run_blocking(move |hasher, arena| {
            // Its password need not be secret: a match with the decoy is never accepted.
            let decoy = hasher.hash(b"decoy", arena)?;
            let started = clock.thread_time();
            hasher.verify(b"decoy", &decoy, arena)?;
            let duration = clock.thread_time().saturating_sub(started);
            let class = Class::of(hasher, &decoy);
            Ok::<_, Error>((decoy, class, duration))
        })??;
        if cfg!(debug_assertions) && first > SLOW_FOR_A_DEBUG_BUILD {
            tracing::warn!(
                hash = ?first,
                "hashing is built without optimisation, and some ten times slower for it: set \
                 opt-level = 3 for the packages argon2 and blake2 in [profile.dev.package]"
            );
        }
        Ok(Self {
            store,
            pool,
            decoy: Arc::new(decoy),
            target: Arc::new(TargetTime::new(class, first, LONGEST_CHECK)),
            blocklist: None,
        })
    }

    /// Asks `blocklist` about each password that was right, so that a [`LoginGate`](crate::LoginGate) can
    /// refuse or warn users who set theirs before it was known to be common or stolen:
    /// [`AuthenticatedUser::has_blocked_password`]. Default: none is asked. New passwords are
    /// [`PasswordPolicy`](crate::password::PasswordPolicy)'s affair.
    #[must_use]
    pub fn with_blocklist(mut self, blocklist: Arc<dyn Blocklist>) -> Self {
        self.blocklist = Some(blocklist);
        self
    }

    /// Sets up to what processor time the dearest stored hashes are hidden, by having all checks take as
    /// long. What is longer is bounded by nobody but who can write into the store. Default 1 second.
    #[must_use]
    pub fn with_longest_check(mut self, duration: Duration) -> Self {
        self.target = Arc::new(self.target.with_limit(duration));
        self
    }

    /// Learns which hashes the store has, from the first 1,000 users, by checking one of each kind: so that
    /// from the first login on all take as long as the dearest. Call it once at the start. A kind that only
    /// later users have is learnt at their first login.
    ///
    /// # Errors
    /// As [`CredentialStore::list`] and [`HashPool::verify`].
    pub async fn learn(&self) -> Result<(), Error> {
        let users = self.store.list(None, SAMPLE).await?;
        let hashes: Vec<_> = users
            .into_iter()
            .filter_map(|user| user.password_hash)
            .collect();
        let caller = Caller::default();
        for hash in hashes {
            let (target, clock) = (Arc::clone(&self.target), Arc::clone(self.pool.clock()));
            let learnt = self.pool.run_for(&caller, move |hasher, arena| {
                let class = Class::of(hasher, &hash);
                if !target.knows(&class) {
                    let started = clock.thread_time();
                    // One that cannot be checked takes the time of the decoy.
                    if hasher.verify(b"decoy", &hash, arena).is_ok() {
                        target.record(&class, clock.thread_time().saturating_sub(started));
                    }
                }
            });
            learnt.await?;
        }
        Ok(())
    }

    /// Finds out who this is.
    ///
    /// A hash made at other than the current parameters is replaced after a match, if it has not
    /// changed meanwhile; should that fail, the login succeeds all the same.
    ///
    /// It does not limit how often passwords may be tried: a [`Throttle`](crate::Throttle) does, which
    /// [`TokenEndpoint`](crate::TokenEndpoint) and [`Accounts`](crate::Accounts) ask first.
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
        password: Secret,
    ) -> Result<Authentication, Error> {
        // Before the look-up: under a storm, what is refused must cost the store nothing.
        self.pool.admit()?;
        let looked_up_at = self.pool.clock().now();
        let found = self.store.find(username).await?;
        let checked = self
            .check(
                found,
                looked_up_at,
                password,
                DisabledUsers::Refused,
                &Caller::default(),
            )
            .await?;
        // The caller is here: it polls this.
        Ok(
            checked.unwrap_or(Authentication::Refused(RefusedCredentials {
                reason: RefusedBecause::WrongPassword,
                user_id: None,
            })),
        )
    }

    /// As [`authenticate`](Self::authenticate), for a request that may go on without its client: `None`
    /// if `caller` had gone before the password was hashed.
    pub(crate) async fn authenticate_for(
        &self,
        username: &Username,
        password: Secret,
        disabled_users: DisabledUsers,
        caller: &Caller,
    ) -> Result<Option<Authentication>, Error> {
        self.pool.admit()?;
        let looked_up_at = self.pool.clock().now();
        let found = self.store.find(username).await?;
        self.check(found, looked_up_at, password, disabled_users, caller)
            .await
    }

    async fn check(
        &self,
        mut credential: Option<Credential>,
        authenticated_at: SystemTime,
        password: Secret,
        disabled_users: DisabledUsers,
        caller: &Caller,
    ) -> Result<Option<Authentication>, Error> {
        let stored = credential
            .as_ref()
            .and_then(|user| user.password_hash.clone());
        let may_log_in = credential.as_ref().is_some_and(|user| {
            user.status == UserStatus::Enabled || disabled_users == DisabledUsers::Judged
        });
        let too_long = password.expose().len() > MAX_PASSWORD_BYTES;
        let has_password = stored.is_some();
        let check = Check {
            // What is too long is refused, by the same work as a short one.
            password: if too_long {
                Secret::from(String::new())
            } else {
                password
            },
            acceptable: may_log_in && has_password && !too_long,
            stored,
            decoy: Arc::clone(&self.decoy),
            clock: Arc::clone(self.pool.clock()),
            target: Arc::clone(&self.target),
            blocklist: self
                .blocklist
                .as_ref()
                .zip(credential.as_ref())
                .map(|(blocklist, user)| (Arc::clone(blocklist), user.username.clone())),
        };
        let checked = self
            .pool
            .run_for(caller, move |hasher, arena| check.run(hasher, arena))
            .await?;
        let Some(checked) = checked else {
            return Ok(None);
        };
        let checked = checked?;
        if let (Some(duration), Some(user)) = (checked.too_long, &credential) {
            tracing::info!(
                user_id = ?user.user_id.as_str(),
                ?duration,
                "checking this user's password hash takes longer than can be hidden"
            );
        }
        let mut has_blocked_password = false;
        let reason = match (checked.outcome, &mut credential) {
            (Outcome::Accepted { rehash, is_blocked }, Some(user)) => {
                has_blocked_password = is_blocked;
                if let Some((old, new)) = rehash
                    && self.replace_hash(&user.user_id, &old, &new).await
                {
                    user.password_hash = Some(new);
                }
                None
            }
            (_, None) => Some(RefusedBecause::UnknownUser),
            (Outcome::Corrupt(error), Some(user)) => {
                tracing::error!(
                    user_id = ?user.user_id.as_str(),
                    error = &error as &dyn StdError,
                    "a user cannot log in until the password is set anew"
                );
                Some(RefusedBecause::CorruptHash)
            }
            (Outcome::Refused, Some(_)) if !has_password => Some(RefusedBecause::NoPassword),
            (Outcome::Refused, Some(_)) if !may_log_in => Some(RefusedBecause::Disabled),
            (Outcome::Refused, Some(_)) => Some(RefusedBecause::WrongPassword),
        };
        Ok(Some(match (reason, credential) {
            (None, Some(credential)) => Authentication::Accepted(AuthenticatedUser {
                credential,
                authenticated_at,
                has_blocked_password,
            }),
            (reason, credential) => Authentication::Refused(RefusedCredentials {
                reason: reason.unwrap_or(RefusedBecause::UnknownUser),
                user_id: credential.map(|user| user.user_id),
            }),
        }))
    }

    /// Finds a user who was authenticated before, by a password or by what was given for one, if they
    /// may still be taken for logged in: they exist, are enabled, and their cut-off
    /// ([`Credential::tokens_valid_from`]) is no later than it was then. No password is asked for.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt` from the store.
    pub(crate) async fn recall(
        &self,
        user_id: &UserId,
        cut_off: SystemTime,
    ) -> Result<Option<RecalledUser>, Error> {
        let recalled_at = self.pool.clock().now();
        let credential = self.store.find_by_id(user_id).await?;
        let recalled = credential
            .filter(|user| user.status == UserStatus::Enabled && user.tokens_valid_from <= cut_off);
        Ok(recalled.map(|credential| RecalledUser {
            credential,
            recalled_at,
        }))
    }

    /// The users.
    pub(crate) fn store(&self) -> &Arc<dyn CredentialStore> {
        &self.store
    }

    /// Where passwords are hashed.
    pub(crate) fn pool(&self) -> &HashPool {
        &self.pool
    }

    /// Whether it was replaced.
    async fn replace_hash(&self, user_id: &UserId, old: &PasswordHash, new: &PasswordHash) -> bool {
        let replaced = self.store.replace_hash(user_id, old, new).await;
        match &replaced {
            Ok(true) => {
                tracing::debug!(user_id = ?user_id.as_str(), "replaced an obsolete password hash");
            }
            // Somebody changed the password meanwhile: theirs stands.
            Ok(false) => {}
            // A store that is only read from: whoever writes to it sees to its hashes.
            Err(error) if error.kind() == ErrorKind::Unsupported => {}
            Err(error) => tracing::warn!(
                user_id = ?user_id.as_str(),
                error = error as &dyn StdError,
                "could not replace an obsolete password hash"
            ),
        }
        replaced.unwrap_or(false)
    }
}

/// The outcome of a check of a username and a password.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Authentication {
    /// The user may log in, and the password is right.
    Accepted(AuthenticatedUser),
    /// Anything else. Callers cannot tell the reasons apart; observers of logins hear them.
    Refused(RefusedCredentials),
}

/// A username and a password that were refused. It says no more to its holder, so that no answer can
/// depend on the reason.
#[derive(Clone)]
pub struct RefusedCredentials {
    pub(crate) reason: RefusedBecause,
    pub(crate) user_id: Option<UserId>,
}

impl fmt::Debug for RefusedCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefusedCredentials")
    }
}

/// What becomes of users who are disabled and send the right password.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum DisabledUsers {
    /// A gate decides.
    Judged,
    /// They are refused, as for a wrong password.
    Refused,
}

/// An optimised hash at OWASP's parameters takes 15 to 50 ms on a server, and one that is not 250.
const SLOW_FOR_A_DEBUG_BUILD: Duration = Duration::from_millis(120);

/// Of processor time. bcrypt at its usual cost of 12 takes a quarter of it.
const LONGEST_CHECK: Duration = Duration::from_secs(1);

/// Users whose hashes are looked at: some few kinds cover nearly all.
const SAMPLE: usize = 1_000;
