//! What a backend keeps of a user, and the trait by which the core reaches it.

use std::fmt;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use uuid::Builder;

use crate::clock::UnixTime;
use crate::error::{Error, ErrorKind};
use crate::password::PasswordHash;
use crate::random::SecureRandom;

/// Keeps the users. Implement this to put them anywhere; prove it with the conformance suite of
/// `portcullis-testkit`.
///
/// A store stores: it compares no password and decides nothing about a login. Every method is one
/// atomic step, also between processes, and is cancellation safe: a future dropped half-way has
/// either done the whole step or nothing.
///
/// Each method fails with [`ErrorKind::Unavailable`] if the store does not answer and with
/// [`ErrorKind::Corrupt`] if what it holds cannot be read; neither may look like an absent user.
/// A store over somebody else's data may refuse to change it, with [`ErrorKind::Unsupported`].
/// Dropping the returned future must not block the calling thread.
#[async_trait]
pub trait CredentialStore: fmt::Debug + Send + Sync + 'static {
    /// Finds a user by exact username. `None` when there is no such user.
    ///
    /// Usernames are compared byte for byte: no trimming, case folding or normalisation
    /// (FastAPI 0.165.0 does the same).
    async fn find(&self, username: &Username) -> Result<Option<Credential>, Error>;

    /// Finds a user by id. `None` when there is no such user.
    async fn find_by_id(&self, user_id: &UserId) -> Result<Option<Credential>, Error>;

    /// Lists up to `limit` users whose username sorts after `after`, in byte order of usernames.
    ///
    /// An empty list says that there are no more. Users created or deleted between two calls may
    /// or may not be seen; each of the others is listed exactly once.
    async fn list(&self, after: Option<&Username>, limit: usize) -> Result<Vec<Credential>, Error>;

    /// Adds a user, whole or not at all.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] if the username or the id is taken; the user who has it is
    /// never overwritten.
    async fn create(&self, credential: &Credential) -> Result<(), Error>;

    /// Replaces the password hash only if it still equals `old`, byte for byte; `false` if it does
    /// not or there is no such user. For a rehash after login, which must not undo a password
    /// change that happened meanwhile.
    async fn replace_hash(
        &self,
        user_id: &UserId,
        old: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<bool, Error>;

    /// Replaces the password hash only if it still equals `old`, byte for byte, and in the same step
    /// moves [`Credential::tokens_valid_from`] to [`Credential::next_cut_off`]. Returns the cut-off
    /// as it now stands; `None`, and changes nothing, if the hash is another or there is no such user.
    ///
    /// For a user who changes the password and has proved to know the one with the hash `old`: of
    /// several who do so at the same time, one succeeds.
    async fn change_password(
        &self,
        user_id: &UserId,
        old: &PasswordHash,
        new: &PasswordHash,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, Error>;

    /// Sets the password hash whatever it was, and in the same step moves
    /// [`Credential::tokens_valid_from`] to [`Credential::next_cut_off`]. Returns the cut-off as it
    /// now stands; `None` if there is no such user. For an operator.
    async fn set_password(
        &self,
        user_id: &UserId,
        new: &PasswordHash,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, Error>;

    /// Moves [`Credential::tokens_valid_from`] to [`Credential::next_cut_off`] and changes nothing
    /// else. Returns the cut-off as it now stands; `None` if there is no such user. For "log out
    /// everywhere".
    async fn end_sessions(
        &self,
        user_id: &UserId,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, Error>;

    /// Disables or enables a user; `false` if there is no such user.
    async fn set_status(&self, user_id: &UserId, status: UserStatus) -> Result<bool, Error>;

    /// Deletes a user; `false` if there was none.
    async fn delete(&self, user_id: &UserId) -> Result<bool, Error>;
}

/// One user, as far as logging in goes. Application data hangs off [`Self::user_id`] in the
/// application's own tables.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Credential {
    /// The stable name of the user; the `sub` of tokens (RFC 7519 §4.1.2).
    pub user_id: UserId,
    /// What the user types.
    pub username: Username,
    /// `None` while no password is set: such a user cannot log in with one.
    pub password_hash: Option<PasswordHash>,
    /// Whether the user may log in.
    pub status: UserStatus,
    /// The scopes the user may have (RFC 6749 §3.3); a request can narrow but not widen them.
    pub scopes: Vec<String>,
    /// The cut-off: what was issued before it is dead. Stores keep whole microseconds, for any time
    /// from 1970 to 9999, and drop a smaller fraction. Once the user is created it only grows.
    pub tokens_valid_from: SystemTime,
}

impl Credential {
    /// Makes an enabled user with no password and no scopes.
    #[must_use]
    pub fn new(user_id: UserId, username: Username) -> Self {
        Self {
            user_id,
            username,
            password_hash: None,
            status: UserStatus::Enabled,
            scopes: Vec::new(),
            tokens_valid_from: SystemTime::UNIX_EPOCH,
        }
    }

    /// Gives the user a password.
    #[must_use]
    pub fn with_password_hash(mut self, password_hash: PasswordHash) -> Self {
        self.password_hash = Some(password_hash);
        self
    }

    /// Says where [`tokens_valid_from`](Self::tokens_valid_from) moves when everything that was
    /// issued until `now` is to be dead: to `now`, or to a microsecond after where it stands if that
    /// is later. The result is in whole microseconds.
    ///
    /// So no two cut-offs of a user are equal and the later one is the larger, even if the clock is
    /// set back or is behind another node's. Only at the end of 9999, [`UnixTime::MAX`], a cut-off
    /// stays where it is.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    ///
    /// use portcullis_core::{Credential, UserId, Username};
    ///
    /// let at = |micros| SystemTime::UNIX_EPOCH + Duration::from_micros(micros);
    /// let mut user = Credential::new(UserId::new("1"), Username::new("ada"));
    /// user.tokens_valid_from = at(20);
    /// assert_eq!(user.next_cut_off(at(30)), at(30));
    /// assert_eq!(user.next_cut_off(at(20)), at(21));
    /// assert_eq!(user.next_cut_off(at(10)), at(21));
    /// ```
    #[must_use]
    pub fn next_cut_off(&self, now: SystemTime) -> SystemTime {
        let stored = UnixTime::saturating_from_system(self.tokens_valid_from).to_system();
        // No platform's time ends so soon after 9999 that this overflows.
        let next = now.max(stored + Duration::from_micros(1));
        UnixTime::saturating_from_system(next).to_system()
    }
}

/// Whether a user may log in.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum UserStatus {
    /// Logging in fails as if the password were wrong.
    Disabled,
    /// The normal state.
    Enabled,
}

/// The stable, opaque name of a user. Any non-secret text; ours are random UUIDs (RFC 9562 §5.4),
/// as fastapi-users makes them.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UserId(String);

impl UserId {
    /// Takes an id the application already has.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// Makes a new id: a version 4 UUID.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if `random` has no bytes to give.
    pub fn random(random: &dyn SecureRandom) -> Result<Self, Error> {
        let mut bytes = [0; 16];
        random.fill(&mut bytes).map_err(|source| {
            Error::new(ErrorKind::Unavailable, "no randomness for a user id").with_source(source)
        })?;
        Ok(Self(
            Builder::from_random_bytes(bytes).into_uuid().to_string(),
        ))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a user types to say who they are: exact text, never trimmed, folded or normalised.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Username(String);

impl Username {
    /// Takes the text as it is. Any text is a username, NUL and 10 kB included.
    pub fn new(username: impl Into<String>) -> Self {
        Self(username.into())
    }

    /// The username as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
