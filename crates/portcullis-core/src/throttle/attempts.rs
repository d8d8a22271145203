//! What is known of the attempts on one account, and what follows: no I/O, no clock.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ThrottlePolicy;
use crate::throttle_store::ThrottleKey;

/// The attempts on one account. Field order is the order in the store.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Attempts {
    /// From sources that have not logged in to it.
    strangers: Count,
    /// From each source that has, the last to do so first.
    known: Vec<Known>,
}

/// Attempts since the last one that succeeded.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
struct Count {
    failures: u32,
    /// When the last was made, in milliseconds since 1970.
    last: u64,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Known {
    source: Source,
    #[serde(flatten)]
    count: Count,
}

impl Attempts {
    /// Counts one more attempt, as a failure until it is known to be none: so of attempts made at
    /// the same time each sees those before it.
    ///
    /// # Errors
    /// How long to wait, if it may not be made now. It is not counted then: who only knocks keeps
    /// nobody out for longer.
    pub(super) fn begin(
        mut self,
        source: Option<&Source>,
        now: u64,
        policy: &ThrottlePolicy,
    ) -> Result<Self, Duration> {
        self.forget(now, policy);
        let count = self.count(source);
        let wait = count.wait(now, policy);
        if !wait.is_zero() {
            return Err(wait);
        }
        count.failures = count.failures.saturating_add(1);
        count.last = now;
        Ok(self)
    }

    /// The attempt from `source` succeeded: it and strangers start anew.
    pub(super) fn succeed(mut self, source: Option<&Source>, now: u64) -> Self {
        self.strangers = Count::default();
        if let Some(source) = source {
            self.known.retain(|known| known.source != *source);
            let count = Count {
                failures: 0,
                last: now,
            };
            let known = Known {
                source: source.clone(),
                count,
            };
            self.known.insert(0, known);
            self.known.truncate(MAX_KNOWN);
        }
        self
    }

    /// Nobody can say how the attempt from `source` ended: it does not count.
    pub(super) fn withdraw(mut self, source: Option<&Source>) -> Self {
        let count = self.count(source);
        count.failures = count.failures.saturating_sub(1);
        self
    }

    /// From when on this says nothing any more, in milliseconds since 1970.
    pub(super) fn expires_at(&self, policy: &ThrottlePolicy) -> u64 {
        let strangers = self.strangers.forgotten_at(policy);
        self.known
            .iter()
            .map(|known| known.count.last.saturating_add(millis(KNOWN_FOR)))
            .fold(strangers, u64::max)
    }

    /// The count that an attempt from `source` belongs to.
    fn count(&mut self, source: Option<&Source>) -> &mut Count {
        let mut known = self.known.iter_mut();
        match known.find(|known| Some(&known.source) == source) {
            Some(known) => &mut known.count,
            None => &mut self.strangers,
        }
    }

    fn forget(&mut self, now: u64, policy: &ThrottlePolicy) {
        if self.strangers.forgotten_at(policy) <= now {
            self.strangers = Count::default();
        }
        self.known.retain_mut(|known| {
            let last = known.count.last;
            if known.count.forgotten_at(policy) <= now {
                known.count.failures = 0;
            }
            last.saturating_add(millis(KNOWN_FOR)) > now
        });
    }
}

impl Count {
    /// How long from `now` until the next attempt may be made.
    fn wait(&self, now: u64, policy: &ThrottlePolicy) -> Duration {
        let from = if self.failures >= policy.stop_at {
            self.forgotten_at(policy)
        } else {
            self.last
                .saturating_add(millis(policy.delay(self.failures)))
        };
        Duration::from_millis(from.saturating_sub(now))
    }

    fn forgotten_at(&self, policy: &ThrottlePolicy) -> u64 {
        let kept = if self.failures >= policy.stop_at {
            STOPPED_FOR
        } else {
            FORGIVEN_PER_FAILURE.saturating_mul(self.failures)
        };
        self.last.saturating_add(millis(kept))
    }
}

/// Where attempts come from, told apart within one account only: nobody learns from the store which
/// accounts are used from one place.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Source(String);

impl Source {
    pub(super) fn new(key: &ThrottleKey, address: IpAddr) -> Self {
        let digest = Sha256::new().chain_update(key.as_bytes());
        let digest = match address.to_canonical() {
            IpAddr::V4(address) => digest.chain_update(address.octets()),
            // Whoever has one address of IPv6 has its /64 (RFC 6177 §2).
            IpAddr::V6(address) => digest.chain_update(&address.octets()[..8]),
        };
        Self(BASE64URL.encode(&digest.finalize()[..SOURCE_LEN]))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Bytes. Enough that no two sources of an account are the same by chance.
const SOURCE_LEN: usize = 16;

/// How many sources of an account are known at most: what is stored must not grow.
const MAX_KNOWN: usize = 8;

/// For how long a source stays known.
const KNOWN_FOR: Duration = Duration::from_secs(90 * 24 * 3600);

/// Failures are forgotten an hour for each after the last. So a name that was tried once takes no
/// room for long, whoever waits for it has one try an hour on average, and what few failures were
/// counted for is forgotten before what many were.
const FORGIVEN_PER_FAILURE: Duration = Duration::from_secs(3600);

/// For how long the hard stop lasts, if nobody logs in from a known source or unlocks it.
const STOPPED_FOR: Duration = Duration::from_secs(30 * 24 * 3600);
