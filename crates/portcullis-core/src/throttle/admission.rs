//! What the throttle answers, and what it is told.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::attempts::{Ending, Mark};
use super::client::Client;
use super::{Changed, Throttle, too_many_turns};
use crate::device::Device;
use crate::error::Error;
use crate::store::{ThrottleKey, ThrottleRecord};

/// Where a login comes from, as far as is known.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct LoginSource {
    /// The address of the client. Without it, or where it is that of a proxy that all come through,
    /// strangers are not told from those who have logged in before.
    pub address: Option<IpAddr>,
    /// The device, by its cookie.
    pub device: Option<Device>,
    /// Whether it has logged in to the account before, whatever the record of that says.
    pub(super) is_proven: bool,
}

impl LoginSource {
    /// A client at `address`.
    #[must_use]
    pub fn at(address: IpAddr) -> Self {
        Self {
            address: Some(address),
            ..Self::default()
        }
    }

    /// The client that has this device.
    #[must_use]
    pub fn with_device(mut self, device: Option<Device>) -> Self {
        self.device = device;
        self.is_proven = false;
        self
    }

    /// The client that has this device, which is one of somebody who has logged in to the account.
    pub(crate) fn with_proven_device(mut self, device: Device) -> Self {
        self.device = Some(device);
        self.is_proven = true;
        self
    }
}

impl From<Option<IpAddr>> for LoginSource {
    fn from(address: Option<IpAddr>) -> Self {
        Self {
            address,
            ..Self::default()
        }
    }
}

/// Whether a password may be tried.
#[derive(Debug)]
#[non_exhaustive]
pub enum Admission {
    /// The password may be checked. Report the outcome to the [`Attempt`].
    Granted(Attempt),
    /// The password may not be checked now, whoever asks.
    Refused {
        /// How long to wait.
        retry_after: Duration,
        /// What of.
        by: ThrottledBy,
    },
}

/// What has had too many failures.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ThrottledBy {
    /// The account.
    Account,
    /// The address, with many names.
    Address,
}

impl ThrottledBy {
    /// A name for logs and metrics, in snake case. It stays the same between releases.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Address => "address",
        }
    }
}

/// An attempt that may be made. Until it is told how it ended it is under way, and later a failure.
#[must_use = "an attempt that is not told how it ended is a failure"]
pub struct Attempt {
    pub(super) throttle: Throttle,
    pub(super) key: ThrottleKey,
    pub(super) client: Client,
    pub(super) is_known: bool,
    pub(super) mark: Mark,
    /// What was there once this was counted.
    pub(super) record: ThrottleRecord,
    pub(super) names: Option<NamesAttempt>,
}

/// What is under way from an address.
pub(super) struct NamesAttempt {
    pub(super) key: ThrottleKey,
    pub(super) record: ThrottleRecord,
}

impl Attempt {
    /// The password was right: empties the count of the place that the login came from, and knows that
    /// from now on.
    ///
    /// # Errors
    /// As [`Throttle::begin`]; the attempt then is a failure later.
    pub async fn succeeded(self) -> Result<Told, Error> {
        self.end(Ending::Succeeded).await
    }

    /// As [`succeeded`](Self::succeeded), and knows `device` too.
    ///
    /// # Errors
    /// As [`succeeded`](Self::succeeded).
    pub async fn succeeded_on(mut self, device: &Device) -> Result<Told, Error> {
        self.client = self.client.on(device.id());
        self.end(Ending::Succeeded).await
    }

    /// The password was wrong: counts one failure more.
    ///
    /// # Errors
    /// As [`succeeded`](Self::succeeded).
    pub async fn failed(self) -> Result<Told, Error> {
        self.end(Ending::Failed).await
    }

    /// Nobody knows whether the password was right, as when a store was down: does not count. Where
    /// the same store is down that counts, this cannot be noted, and it does.
    ///
    /// # Errors
    /// As [`succeeded`](Self::succeeded).
    pub async fn withdraw(self) -> Result<Told, Error> {
        self.end(Ending::Withdrawn).await
    }

    /// Whether the device that the login came with has logged in to this account before.
    pub(crate) fn knows_device(&self) -> bool {
        self.mark.is_of_device()
    }

    /// Whether its answer must be kept back if it cannot be noted how it ended.
    pub(crate) fn is_one_of_many(&self) -> bool {
        self.mark.is_one_of_many
    }

    async fn end(self, ending: Ending) -> Result<Told, Error> {
        let throttle = &self.throttle;
        let ended = throttle.change(
            &self.key,
            Some(Some(self.record.clone())),
            |attempts, now| {
                let policy = &throttle.parts.policy;
                let (attempts, told) = attempts.end(&self.client, self.mark, ending, now, policy);
                Ok::<_, ()>((attempts, told))
            },
        );
        let ended = ended.await?;
        let failed = (ending == Ending::Failed).then_some(&self.key);
        throttle.end_name(self.names.as_ref(), failed).await;
        match ended {
            Changed::To(Ok(()), _) => Ok(Told::AsItIs),
            Changed::To(Err(retry_after), _) => Ok(Told::NotNow { retry_after }),
            Changed::Refused(()) | Changed::TooManyTurns => Err(too_many_turns()),
        }
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt")
            .field("is_known", &self.is_known)
            .finish_non_exhaustive()
    }
}

/// Whether the client may hear how its attempt ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use = "an answer that is to be kept back must not be given, right or wrong"]
#[expect(clippy::exhaustive_enums, reason = "a caller must handle each")]
pub enum Told {
    /// It may.
    AsItIs,
    /// It may not, and must try again: another of many at once has failed. It does not count.
    NotNow {
        /// How long to wait.
        retry_after: Duration,
    },
}
