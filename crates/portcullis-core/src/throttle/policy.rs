//! What a throttle allows.

use std::net::IpAddr;
use std::time::Duration;

use super::spraying::MAX_NAMES;
use crate::error::{Error, ErrorKind};

/// How many attempts in a row may fail, and what the next one waits. The delays are our choice: NIST
/// wants them to grow, and leaves it open from where to where.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ThrottlePolicy {
    /// From this failure in a row on there is a delay, and so many may be under way at once. Default 5;
    /// at least 1.
    pub delay_from: u32,
    /// The first delay; each further failure doubles it. Default 1 s.
    pub first_delay: Duration,
    /// The longest delay. Default 900 s.
    pub max_delay: Duration,
    /// After so many failures in a row there are no further attempts. Default 100, the most that
    /// NIST SP 800-63B-4 §3.2.2 allows; at most 10,000.
    pub stop_at: u32,
    /// For how long there are none then, if nobody [unlocks](super::Throttle::unlock) the account.
    /// Default 30 days, our choice: NIST wants the password to be set anew, which would let anybody
    /// end another's account for good.
    pub stop_for: Duration,
}

impl ThrottlePolicy {
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.delay_from == 0 || self.stop_at == 0 {
            return invalid(
                "the throttle must let at least one attempt be made: set `delay_from` and `stop_at` to 1 or more",
            );
        }
        if self.stop_at > MOST_ATTEMPTS {
            return invalid("the throttle must stop after 10,000 attempts at most: set `stop_at`");
        }
        if self.first_delay.is_zero() || self.first_delay > self.max_delay {
            return invalid(
                "the first delay of the throttle must be longer than zero and no longer than the longest",
            );
        }
        if self.stop_for < self.max_delay {
            return invalid(
                "the throttle must stop for no less than its longest delay: set `stop_for`",
            );
        }
        Ok(())
    }

    /// What to wait after so many failures in a row.
    pub(super) fn delay(&self, failures: u32) -> Duration {
        let Some(doublings) = failures.checked_sub(self.delay_from) else {
            return Duration::ZERO;
        };
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        self.first_delay.saturating_mul(factor).min(self.max_delay)
    }
}

impl Default for ThrottlePolicy {
    fn default() -> Self {
        Self {
            delay_from: 5,
            first_delay: Duration::from_secs(1),
            max_delay: Duration::from_secs(900),
            stop_at: 100,
            stop_for: Duration::from_secs(30 * 24 * 3600),
        }
    }
}

/// How many different names may fail from one address within an hour.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SprayingPolicy {
    /// So many, within some 4 %: they are counted in a record of fixed size. Default 100, our choice;
    /// from 1 to 1,000.
    pub names: u32,
    /// Whether addresses count too that are private, of the same machine or the same link. Default
    /// false: they are those of proxies as a rule, which all clients come through.
    pub private_addresses: bool,
}

impl SprayingPolicy {
    pub(super) fn check(&self) -> Result<(), Error> {
        if !(1..=MAX_NAMES).contains(&self.names) {
            return invalid(
                "the throttle can let from 1 to 1,000 names of one address fail within an hour: set `names`",
            );
        }
        Ok(())
    }

    pub(super) fn counts(&self, address: IpAddr) -> bool {
        self.private_addresses || !is_private(address)
    }
}

impl Default for SprayingPolicy {
    fn default() -> Self {
        Self {
            names: 100,
            private_addresses: false,
        }
    }
}

/// Of the machine, the link, or a network that is not routed (RFC 1918, 4193, 6598).
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_unspecified()
                || (first == 100 && second & 0xC0 == 64)
        }
        IpAddr::V6(address) => {
            address.is_loopback()
                || address.is_unspecified()
                || address.is_unique_local()
                || address.is_unicast_link_local()
        }
    }
}

fn invalid(message: &'static str) -> Result<(), Error> {
    Err(Error::new(ErrorKind::InvalidConfig, message))
}

/// What a record can count.
const MOST_ATTEMPTS: u32 = 10_000;
