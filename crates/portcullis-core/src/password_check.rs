//! Checks a password for whoever sends one: by the throttle's leave, and heard by the observers.

use std::time::Duration;

use crate::adapter::Caller;
use crate::audit::{Audit, LoginEvent, LoginEventKind};
use crate::authenticator::{AuthenticatedUser, Authentication, Authenticator, DisabledUsers};
use crate::device::Device;
use crate::endpoint::TokenRefusal;
use crate::error::{Error, ErrorKind};
use crate::secret::Secret;
use crate::store::Username;
use crate::throttle::{Admission, Attempt, LoginSource, Throttle, ThrottledBy, Told};
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
    pub(crate) source: &'a LoginSource,
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
        match self.begin(sender).await? {
            Begun::Granted(attempt) => self.check(attempt, sender, password, caller).await,
            Begun::Refused { by, retry_after } => Err(self.throttled(sender, by, retry_after)),
        }
    }

    /// The second half of [`run`](Self::run), after [`begin`](Self::begin).
    pub(crate) async fn check(
        &self,
        attempt: PendingAttempt,
        sender: Sender<'_>,
        password: Secret,
        caller: &Caller,
    ) -> Result<(AuthenticatedUser, PendingAttempt), TokenRefusal> {
        let authenticated = self
            .authenticator
            .authenticate_for(sender.username, password, self.disabled_users, caller)
            .await;
        match authenticated {
            Ok(Some(Authentication::Accepted(user))) if !caller.has_gone() => Ok((user, attempt)),
            Ok(Some(Authentication::Refused(refused))) => {
                self.end(attempt, Outcome::Failed, sender).await?;
                let reason = refused.reason;
                let event = LoginEvent {
                    user_id: refused.user_id.as_ref(),
                    ..self.event(LoginEventKind::Refused { reason }, sender)
                };
                self.audit.tell(&event);
                self.raise_alarm();
                Err(TokenRefusal::BadCredentials)
            }
            Ok(Some(Authentication::Accepted(_)) | None) => {
                self.end(attempt, Outcome::Withdrawn, sender).await?;
                Err(Error::new(ErrorKind::Unavailable, "the client has gone").into())
            }
            Err(error) => {
                self.end(attempt, Outcome::Withdrawn, sender).await?;
                Err(error.into())
            }
        }
    }

    /// Tells the throttle how an attempt ended. Nothing of it may be answered but an error of this: what
    /// was one of many at once, of which another has failed, is kept back.
    ///
    /// Where it cannot be noted, it is a failure later; the client hears the outcome all the same, unless
    /// it was one of many.
    pub(crate) async fn end(
        &self,
        attempt: PendingAttempt,
        outcome: Outcome<'_>,
        sender: Sender<'_>,
    ) -> Result<(), TokenRefusal> {
        let PendingAttempt(Some(attempt)) = attempt else {
            return Ok(());
        };
        let is_one_of_many = attempt.is_one_of_many();
        let told = match outcome {
            Outcome::Failed => attempt.failed().await,
            Outcome::Succeeded(None) => attempt.succeeded().await,
            Outcome::Succeeded(Some(device)) => attempt.succeeded_on(device).await,
            Outcome::Withdrawn => attempt.withdraw().await,
        };
        match told {
            Ok(Told::AsItIs) => Ok(()),
            Ok(Told::NotNow { retry_after }) => {
                Err(self.throttled(sender, ThrottledBy::Account, retry_after))
            }
            Err(error) if is_one_of_many => Err(error.into()),
            Err(error) => {
                error.log("the end of an attempt could not be noted");
                Ok(())
            }
        }
    }

    /// What the client of a refused attempt hears, and the observers.
    pub(crate) fn throttled(
        &self,
        sender: Sender<'_>,
        by: ThrottledBy,
        retry_after: Duration,
    ) -> TokenRefusal {
        let kind = LoginEventKind::Throttled { by, retry_after };
        self.audit.tell(&self.event(kind, sender));
        TokenRefusal::Throttled { retry_after }
    }

    fn raise_alarm(&self) {
        if let Some(refused) = self.throttle.and_then(Throttle::note_refusal) {
            self.audit.tell(&LoginEvent {
                kind: LoginEventKind::Alarm { refused },
                user_id: None,
                account: None,
                remote_address: None,
                client_id: None,
            });
        }
    }

    /// An event about whoever sent the password.
    pub(crate) fn event<'e>(&self, kind: LoginEventKind<'e>, sender: Sender<'e>) -> LoginEvent<'e> {
        LoginEvent {
            kind,
            user_id: None,
            account: self.audit.account(sender.username),
            remote_address: sender.source.address,
            client_id: short_client_id(sender.client_id),
        }
    }

    /// Asks the throttle.
    pub(crate) async fn begin(&self, sender: Sender<'_>) -> Result<Begun, Error> {
        let Some(throttle) = self.throttle else {
            return Ok(Begun::Granted(PendingAttempt(None)));
        };
        // Under a storm, what is refused must cost the store nothing.
        self.authenticator.pool().admit()?;
        Ok(
            match throttle.begin(sender.username, sender.source).await? {
                Admission::Granted(attempt) => Begun::Granted(PendingAttempt(Some(attempt))),
                Admission::Refused { retry_after, by } => Begun::Refused { by, retry_after },
            },
        )
    }
}

/// What the throttle says of an attempt.
pub(crate) enum Begun {
    Granted(PendingAttempt),
    Refused {
        by: ThrottledBy,
        retry_after: Duration,
    },
}

/// An attempt of which the throttle, if there is one, is to be told how it ended.
#[must_use = "an attempt that is not told how it ended is a failure"]
pub(crate) struct PendingAttempt(Option<Attempt>);

impl PendingAttempt {
    /// Whether the device that the login came with has logged in to this account before.
    pub(crate) fn knows_device(&self) -> bool {
        self.0.as_ref().is_some_and(Attempt::knows_device)
    }
}

/// How an attempt ended.
#[derive(Clone, Copy)]
pub(crate) enum Outcome<'a> {
    Failed,
    /// From now on with this device, if there is one.
    Succeeded(Option<&'a Device>),
    /// Nobody can say, or it is not to count.
    Withdrawn,
}
