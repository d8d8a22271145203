//! The life of an account, and the order of the steps in which it changes.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use thiserror::Error as ThisError;

use crate::adapter::Caller;
use crate::audit::{Audit, LoginEvent, LoginEventKind};
use crate::authenticator::{Authenticator, DisabledUsers};
use crate::clock::Clock;
use crate::endpoint::TokenRefusal;
use crate::error::{Error, ErrorKind};
use crate::password::{PasswordHash, PasswordPolicy, PasswordRefusal};
use crate::password_check::{Outcome, PasswordCheck, Sender};
use crate::random::{OsRandom, SecureRandom};
use crate::refresh::{RefreshTokens, Session};
use crate::secret::Secret;
use crate::store::{Credential, CredentialStore, TokenStore, UserId, UserStatus, Username};
use crate::throttle::{LoginSource, Throttle};
use crate::token::is_scope_token;

/// Makes accounts, changes and deletes them. Clones share what it holds.
///
/// Who changes a password wants every token of before to be dead, and the order in which that is done
/// is a security property. So it is here once: first the user's record, in one step of the store that
/// also moves the user's cut-off ([`Credential::tokens_valid_from`]), by which guards and refresh tokens
/// refuse what is older; then what is kept of tokens is deleted. Should a later step fail, the earlier
/// ones stand and the error says so; the same call can be made again, but for a change of password, which
/// has happened then.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
///
/// use portcullis_core::memory::MemoryCredentialStore;
/// use portcullis_core::password::Argon2Params;
/// use portcullis_core::{Accounts, Argon2idHasher, Authenticator, HashPool, Secret, Username};
///
/// let pool = HashPool::inline(Arc::new(Argon2idHasher::new(Argon2Params::default())));
/// let authenticator = Authenticator::new(Arc::new(MemoryCredentialStore::new()), pool)?;
/// let accounts = Accounts::new(authenticator);
///
/// let password = Secret::from("correct horse battery staple".to_owned());
/// let ada = accounts.sign_up(Username::new("ada@example.com"), password, ["read"]).await?;
/// accounts.disable(&ada.user_id).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Accounts {
    authenticator: Authenticator,
    policy: PasswordPolicy,
    throttle: Option<Throttle>,
    refresh_tokens: Option<RefreshTokens>,
    tokens: Option<Arc<dyn TokenStore>>,
    audit: Audit,
    clock: Arc<dyn Clock>,
    random: Arc<dyn SecureRandom>,
}

impl Accounts {
    /// Changes the users of `authenticator`'s store, and hashes their passwords on its pool.
    #[must_use]
    pub fn new(authenticator: Authenticator) -> Self {
        Self {
            clock: Arc::clone(authenticator.pool().clock()),
            authenticator,
            policy: PasswordPolicy::default(),
            throttle: None,
            refresh_tokens: None,
            tokens: None,
            audit: Audit::new(),
            random: Arc::new(OsRandom),
        }
    }

    /// Says which new passwords are taken. Default [`PasswordPolicy::default`].
    #[must_use]
    pub fn with_policy(mut self, policy: PasswordPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Limits how often the current password may be tried: the throttle of the
    /// [`TokenEndpoint`](crate::TokenEndpoint). Without it, whoever has an access token can try as many
    /// passwords as they like.
    #[must_use]
    pub fn with_throttle(mut self, throttle: Throttle) -> Self {
        self.throttle = Some(throttle);
        self
    }

    /// Ends these refresh tokens where sessions end.
    #[must_use]
    pub fn with_refresh_tokens(mut self, tokens: RefreshTokens) -> Self {
        self.refresh_tokens = Some(tokens);
        self
    }

    /// Ends these opaque access tokens where sessions end.
    #[must_use]
    pub fn with_access_tokens(mut self, tokens: Arc<dyn TokenStore>) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// Tells the observers of `audit` what happens. Default: [`Audit::new`], which logs.
    #[must_use]
    pub fn with_audit(mut self, audit: Audit) -> Self {
        self.audit = audit;
        self
    }

    /// Takes the time from `clock`. Default: that of the hash pool.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Takes the bytes of user ids from `random`. Default [`OsRandom`].
    #[must_use]
    pub fn with_random(mut self, random: Arc<dyn SecureRandom>) -> Self {
        self.random = random;
        self
    }

    /// The same accounts, asked through an endpoint with this throttle and these observers.
    pub(crate) fn at(&self, throttle: Option<&Throttle>, audit: &Audit) -> Self {
        let mut accounts = self.clone();
        accounts.throttle = accounts.throttle.or_else(|| throttle.cloned());
        accounts.audit = audit.clone();
        accounts
    }

    /// Makes an account with a new id, enabled, for whoever may have `scopes`.
    ///
    /// The username is taken as it is: whether it is an address of the right form, and whether it is
    /// the sender's, is for the application to find out first.
    ///
    /// Cancellation safe: dropped half-way, the account is there, whole, or not.
    ///
    /// # Errors
    /// [`SignUpRefusal::Password`] if the policy does not take the password, [`SignUpRefusal::NameTaken`]
    /// if another has the username, [`SignUpRefusal::NameEmpty`] for an empty one,
    /// [`SignUpRefusal::NoScopeToken`] for a scope that is none,
    /// [`SignUpRefusal::Failed`] if the store or the pool failed.
    pub async fn sign_up<S: Into<String>>(
        &self,
        username: Username,
        password: Secret,
        scopes: impl IntoIterator<Item = S>,
    ) -> Result<Credential, SignUpRefusal> {
        if username.as_str().is_empty() {
            return Err(SignUpRefusal::NameEmpty);
        }
        let scopes: Vec<String> = scopes.into_iter().map(Into::into).collect();
        if !scopes.iter().all(|scope| is_scope_token(scope)) {
            return Err(SignUpRefusal::NoScopeToken);
        }
        let password = self.check_new(password, &username).await??;
        let hash = self.authenticator.pool().hash(password).await?;
        self.import(username, Some(hash), scopes, UserStatus::Enabled)
            .await
    }

    /// Makes an account with a new id from what another system kept of it, hash included. No policy is
    /// asked, since nobody knows the password.
    ///
    /// # Errors
    /// As [`sign_up`](Self::sign_up), without those of the password.
    pub async fn import(
        &self,
        username: Username,
        password_hash: Option<PasswordHash>,
        scopes: Vec<String>,
        status: UserStatus,
    ) -> Result<Credential, SignUpRefusal> {
        if username.as_str().is_empty() {
            return Err(SignUpRefusal::NameEmpty);
        }
        if !scopes.iter().all(|scope| is_scope_token(scope)) {
            return Err(SignUpRefusal::NoScopeToken);
        }
        let mut user = Credential::new(UserId::random(&*self.random)?, username);
        user.password_hash = password_hash;
        user.scopes = scopes;
        user.status = status;
        match self.store().create(&user).await {
            Ok(()) => {
                self.tell(LoginEventKind::SignedUp, &user.user_id);
                Ok(user)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(SignUpRefusal::NameTaken),
            Err(error) => Err(SignUpRefusal::Failed(error)),
        }
    }

    /// Replaces the password of a user who sends the current one, and ends all their sessions: the
    /// tokens of before are dead. The caller makes new ones for the session that goes on.
    ///
    /// The current password is checked through the throttle, as at a login. Of two changes at once with
    /// the same current password one wins, and the other is refused.
    ///
    /// Where the user is disabled, or all sessions are ended, while the password is changed, the password is
    /// new and no session goes on. Tokens that could not be deleted are logged, and are refused wherever the
    /// user is asked for.
    ///
    /// Cancellation: dropped before the store was asked, nothing has changed; dropped later, the password
    /// is new and what is older is refused, while records of tokens may be left until they expire.
    ///
    /// # Errors
    /// [`TokenRefusal::NewPassword`] if the policy does not take the new password,
    /// [`TokenRefusal::BadCurrentPassword`] if the current one is wrong or was changed meanwhile,
    /// [`TokenRefusal::Throttled`], and [`TokenRefusal::Failed`] if a store or the pool failed.
    pub async fn change_password(
        &self,
        user_id: &UserId,
        current: Secret,
        new: Secret,
        remote_address: Option<IpAddr>,
    ) -> Result<ChangedPassword, TokenRefusal> {
        let found = self.store().find_by_id(user_id).await?;
        let found = found.ok_or(TokenRefusal::BadCurrentPassword)?;
        let new = self.check_new(new, &found.username).await?;
        let new = new.map_err(TokenRefusal::NewPassword)?;
        let check = PasswordCheck {
            authenticator: &self.authenticator,
            throttle: self.throttle.as_ref(),
            audit: &self.audit,
            disabled_users: DisabledUsers::Refused,
        };
        let source = LoginSource::from(remote_address);
        let sender = Sender {
            username: &found.username,
            source: &source,
            client_id: None,
        };
        let checked = check.run(sender, current, &Caller::default()).await;
        let (user, attempt) = checked.map_err(|refusal| match refusal {
            TokenRefusal::BadCredentials => TokenRefusal::BadCurrentPassword,
            other => other,
        })?;
        // The username may have become somebody else's since the first look-up.
        if user.user_id() != user_id {
            check.end(attempt, Outcome::Failed, sender).await?;
            return Err(TokenRefusal::BadCurrentPassword);
        }
        check.end(attempt, Outcome::Succeeded(None), sender).await?;
        let at = user.authenticated_at();
        let user = user.into_credential();
        let Some(old) = &user.password_hash else {
            return Err(TokenRefusal::BadCurrentPassword);
        };
        let new = self.authenticator.pool().hash(new).await?;
        let changed = self.store().change_password(user_id, old, &new, at);
        let cut_off = changed.await?.ok_or(TokenRefusal::BadCurrentPassword)?;
        self.tell(LoginEventKind::PasswordChanged, user_id);
        // The password is new whatever becomes of this, and what is older is refused by the cut-off.
        let forgotten = self.forget_tokens(user_id, "the password was changed");
        if let Err(error) = forgotten.await {
            error.log("tokens of before a change of password could not be deleted");
        }
        if let Some(throttle) = &self.throttle
            && throttle.devices().is_some()
            && let Err(error) = throttle.forget_devices(&user.username).await
        {
            error.log("devices of before a change of password are still known");
        }
        // Somebody may have ended the user's sessions, or have disabled them, since the look-up: then the
        // cut-off is further than this change alone has moved it, and no session goes on. Where clocks of
        // nodes differ by more than this took, a status that was changed still tells.
        let goes_on = cut_off == user.next_cut_off(at);
        match self.store().find_by_id(user_id).await? {
            Some(user) if goes_on && user.status == UserStatus::Enabled => {
                Ok(ChangedPassword { user, at })
            }
            _ => Err(TokenRefusal::Failed(Error::new(
                ErrorKind::Unavailable,
                "the sessions of the user were ended while the password was changed",
            ))),
        }
    }

    /// Sets the password of a user, whatever it was, ends all their sessions, and unlocks the account:
    /// for an operator, or after a proof by other means than the current password.
    ///
    /// # Errors
    /// [`ResetRefusal::Password`] if the policy does not take the password, [`ResetRefusal::NoSuchUser`],
    /// [`ResetRefusal::Failed`] if a store or the pool failed.
    pub async fn set_password(&self, user_id: &UserId, new: Secret) -> Result<(), ResetRefusal> {
        let found = self.store().find_by_id(user_id).await?;
        let user = found.ok_or(ResetRefusal::NoSuchUser)?;
        let new = self.check_new(new, &user.username).await??;
        let hash = self.authenticator.pool().hash(new).await?;
        self.reset(&user, &hash).await
    }

    /// As [`set_password`](Self::set_password), with a hash that was made elsewhere. No policy is asked,
    /// since nobody knows the password.
    ///
    /// # Errors
    /// [`ResetRefusal::NoSuchUser`], and [`ResetRefusal::Failed`] if a store failed.
    pub async fn set_password_hash(
        &self,
        user_id: &UserId,
        new: &PasswordHash,
    ) -> Result<(), ResetRefusal> {
        let found = self.store().find_by_id(user_id).await?;
        let user = found.ok_or(ResetRefusal::NoSuchUser)?;
        self.reset(&user, new).await
    }

    async fn reset(&self, user: &Credential, new: &PasswordHash) -> Result<(), ResetRefusal> {
        let user_id = &user.user_id;
        let set = self.store().set_password(user_id, new, self.clock.now());
        if set.await?.is_none() {
            return Err(ResetRefusal::NoSuchUser);
        }
        self.tell(LoginEventKind::PasswordChanged, user_id);
        self.forget_tokens(user_id, "the password was set").await?;
        self.unlock(&user.username).await?;
        Ok(())
    }

    /// Asks the policy about a new password, which comes back if it is taken. What takes longer than
    /// counting it is done where passwords are hashed.
    async fn check_new(
        &self,
        password: Secret,
        username: &Username,
    ) -> Result<Result<Secret, PasswordRefusal>, Error> {
        let policy = self.policy.clone();
        if policy.blocklist.is_none() {
            return Ok(policy.check(&password, username).map(|()| password));
        }
        let username = username.clone();
        let checked = self.authenticator.pool().run(move |_, _| {
            let checked = policy.check(&password, &username);
            checked.map(|()| password)
        });
        checked.await
    }

    /// Disables a user and ends all their sessions; `false` if there is no such user. Tokens of before
    /// stay dead when the user is enabled again.
    ///
    /// # Errors
    /// As the stores. A step that was done stands; the call can be made again.
    pub async fn disable(&self, user_id: &UserId) -> Result<bool, Error> {
        // First, so that no login begins while the sessions end.
        if !self
            .store()
            .set_status(user_id, UserStatus::Disabled)
            .await?
        {
            return Ok(false);
        }
        self.tell(LoginEventKind::Disabled, user_id);
        self.end_all(user_id, "the user was disabled").await?;
        Ok(true)
    }

    /// Enables a user; `false` if there is no such user.
    ///
    /// # Errors
    /// As [`CredentialStore::set_status`].
    pub async fn enable(&self, user_id: &UserId) -> Result<bool, Error> {
        let enabled = self
            .store()
            .set_status(user_id, UserStatus::Enabled)
            .await?;
        if enabled {
            self.tell(LoginEventKind::Enabled, user_id);
        }
        Ok(enabled)
    }

    /// Deletes a user and ends all their sessions; `false` if there is no such user.
    ///
    /// # Errors
    /// As the stores. The user may be disabled then, and is there until all else is done: the call can
    /// be made again.
    pub async fn delete(&self, user_id: &UserId) -> Result<bool, Error> {
        if !self.disable(user_id).await? {
            return Ok(false);
        }
        let deleted = self.store().delete(user_id).await?;
        if deleted {
            self.tell(LoginEventKind::Deleted, user_id);
        }
        Ok(deleted)
    }

    /// Has the throttle forget what it counted for a username; without a throttle there is nothing to
    /// do.
    ///
    /// # Errors
    /// As [`Throttle::unlock`].
    pub async fn unlock(&self, username: &Username) -> Result<(), Error> {
        if let Some(throttle) = &self.throttle {
            throttle.unlock(username).await?;
            self.audit.tell(&LoginEvent {
                kind: LoginEventKind::Unlocked,
                user_id: None,
                account: self.audit.account(username),
                remote_address: None,
                client_id: None,
            });
        }
        Ok(())
    }

    /// Ends all sessions of a user: tokens of before are dead. `false` if there is no such user.
    ///
    /// # Errors
    /// As the stores. A step that was done stands; the call can be made again.
    pub async fn log_out_everywhere(&self, user_id: &UserId) -> Result<bool, Error> {
        let ended = self
            .end_all(user_id, "older access tokens are refused")
            .await?;
        if ended {
            self.tell(LoginEventKind::SessionsEnded, user_id);
        }
        Ok(ended)
    }

    /// The sessions of a user, the last one used first; none where these accounts have no
    /// [refresh tokens](Self::with_refresh_tokens).
    ///
    /// # Errors
    /// As [`RefreshTokens::sessions`].
    pub async fn sessions(&self, user_id: &UserId) -> Result<Vec<Session>, Error> {
        match &self.refresh_tokens {
            Some(tokens) => tokens.sessions(user_id).await,
            None => Ok(Vec::new()),
        }
    }

    /// Ends one session of a user; `false` if they have none of that name.
    ///
    /// # Errors
    /// As [`RefreshTokens::end_session`].
    pub async fn end_session(&self, user_id: &UserId, session_id: &str) -> Result<bool, Error> {
        let Some(tokens) = &self.refresh_tokens else {
            return Ok(false);
        };
        let ended = tokens.end_session(user_id, session_id).await?;
        if ended {
            self.tell(LoginEventKind::Revoked, user_id);
        }
        Ok(ended)
    }

    /// Moves the cut-off, and deletes what is kept of tokens.
    async fn end_all(&self, user_id: &UserId, done: &str) -> Result<bool, Error> {
        let moved = self.store().end_sessions(user_id, self.clock.now()).await;
        match moved {
            Ok(None) => return Ok(false),
            Ok(Some(_)) => {}
            // A table of the application's own that has no column for it.
            Err(error) if error.kind() == ErrorKind::Unsupported => {}
            Err(error) => return Err(error),
        }
        self.forget_tokens(user_id, done).await?;
        Ok(true)
    }

    async fn forget_tokens(&self, user_id: &UserId, done: &str) -> Result<(), Error> {
        let forgotten = async {
            if let Some(tokens) = &self.refresh_tokens {
                tokens.revoke_all(user_id).await?;
            }
            if let Some(tokens) = &self.tokens {
                tokens.revoke_all(user_id).await?;
            }
            Ok(())
        };
        forgotten.await.map_err(|error: Error| {
            let kind = error.kind();
            let message = format!(
                "{done}, but opaque and refresh tokens may still be good until they expire"
            );
            Error::new(kind, message).with_source(error)
        })
    }

    fn store(&self) -> &dyn CredentialStore {
        &**self.authenticator.store()
    }

    fn tell(&self, kind: LoginEventKind<'_>, user_id: &UserId) {
        self.audit.tell(&LoginEvent::of(kind, user_id));
    }
}

/// A user whose password has just been changed by [`Accounts::change_password`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ChangedPassword {
    /// The user as stored now.
    pub user: Credential,
    /// When the password was changed.
    pub at: SystemTime,
}

/// Why [`Accounts`] does not make an account.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum SignUpRefusal {
    /// The store or the pool failed.
    #[error("the account could not be made")]
    Failed(#[from] Error),
    /// The username is empty.
    #[error("the username is empty")]
    NameEmpty,
    /// Another account has the username.
    #[error("the username is taken")]
    NameTaken,
    /// A scope is not a `scope-token` (RFC 6749 §3.3), which a token cannot say.
    #[error("a scope is empty or has characters that no scope may have, such as a space")]
    NoScopeToken,
    /// The policy does not take the password.
    #[error(transparent)]
    Password(#[from] PasswordRefusal),
}

/// Why [`Accounts`] does not set a password.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum ResetRefusal {
    /// A store or the pool failed.
    #[error("the password could not be set")]
    Failed(#[from] Error),
    /// There is no such user.
    #[error("there is no such user")]
    NoSuchUser,
    /// The policy does not take the password.
    #[error(transparent)]
    Password(#[from] PasswordRefusal),
}
