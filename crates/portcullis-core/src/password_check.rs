//! Checks a password for whoever sends one: by the throttle's leave, and heard by the observers.

use std::net::IpAddr;

use crate::adapter::Caller;
use crate::audit::{Audit, LoginEvent, LoginEventKind};
use crate::authenticator::{AuthenticatedUser, Authentication, Authenticator, DisabledUsers};
use crate::endpoint::TokenRefusal;
use crate::error::{Error, ErrorKind};
use crate::secret::Secret;
use crate::store::Username;
use crate::throttle::{Admission, Attempt, Throttle};
use crate::token::short_client_id;

/// Everything that a password is checked with.
#[derive(Clone, Copy)]
pub(crate) struct PasswordCheck<'a> {
    pub(crate) authenticator: &'a Authenticator,
    pub(crate) throttle: Option<&'a Throttle>,
    pub(crate) audit: &'a Audit,
    pub(crate) disabled_users: DisabledUsers,
}

/// Who sent a password, as far as is known.
#[derive(Clone, Copy)]
pub(crate) struct Sender<'a> {
    pub(crate) username: &'a Username,
    pub(crate) remote_address: Option<IpAddr>,
    pub(crate) client_id: Option<&'a str>,
}

impl PasswordCheck<'_> {
    /// Checks a password. What comes of it is told to the returned attempt, which has failed until
    /// then.
    ///
    /// An attempt whose `caller` has gone is counted if the password is wrong; if it is right, or was
    /// not looked at, the attempt is taken back.
    pub(crate) async fn run(
        &self,
        sender: Sender<'_>,
        password: Secret,
        caller: &Caller,
    ) -> Result<(AuthenticatedUser, PendingAttempt), TokenRefusal> {
        let attempt = self.begin(sender).await?;
        let authenticated = self
            .authenticator
            .authenticate_for(sender.username, password, self.disabled_users, caller)
            .await;
        match authenticated {
            Ok(Some(Authentication::Accepted(user))) if !caller.has_gone() => Ok((user, attempt)),
            Ok(Some(Authentication::Refused(refused))) => {
                let reason = refused.reason;
                let event = LoginEvent {
                    user_id: refused.user_id.as_ref(),
                    ..self.event(LoginEventKind::Refused { reason }, sender)
                };
                self.audit.tell(&event);
                Err(TokenRefusal::BadCredentials)
            }
            Ok(Some(Authentication::Accepted(_)) | None) => {
                attempt.withdraw().await;
                Err(Error::new(ErrorKind::Unavailable, "the client has gone").into())
            }
            Err(error) => {
                attempt.withdraw().await;
                Err(error.into())
            }
        }
    }

    /// An event about whoever sent the password.
    pub(crate) fn event<'e>(&self, kind: LoginEventKind<'e>, sender: Sender<'e>) -> LoginEvent<'e> {
        LoginEvent {
            kind,
            user_id: None,
            account: self.audit.account(sender.username),
            remote_address: sender.remote_address,
            client_id: short_client_id(sender.client_id),
        }
    }

    async fn begin(&self, sender: Sender<'_>) -> Result<PendingAttempt, TokenRefusal> {
        let Some(throttle) = self.throttle else {
            return Ok(PendingAttempt(None));
        };
        // Under a storm, what is refused must cost the store nothing.
        self.authenticator.pool().admit()?;
        match throttle
            .begin(sender.username, sender.remote_address)
            .await?
        {
            Admission::Granted(attempt) => Ok(PendingAttempt(Some(attempt))),
            Admission::Refused { retry_after } => {
                let kind = LoginEventKind::Throttled { retry_after };
                self.audit.tell(&self.event(kind, sender));
                Err(TokenRefusal::Throttled { retry_after })
            }
        }
    }
}

/// An attempt of which the throttle, if there is one, is to be told how it ended. Should that fail, it
/// has failed for the throttle; who knows the password is let in all the same.
#[must_use = "an attempt that is not told that it succeeded has failed"]
pub(crate) struct PendingAttempt(Option<Attempt>);

impl PendingAttempt {
    pub(crate) async fn succeed(self) {
        if let Some(attempt) = self.0
            && let Err(error) = attempt.succeeded().await
        {
            error.log(NOT_TOLD);
        }
    }

    pub(crate) async fn withdraw(self) {
        if let Some(attempt) = self.0
            && let Err(error) = attempt.withdraw().await
        {
            error.log(NOT_TOLD);
        }
    }

    /// It has failed, as it has been counted.
    pub(crate) fn fail(self) {
        drop(self);
    }
}

const NOT_TOLD: &str = "an attempt that did not fail is counted as a failure";
