//! What is known of the attempts on one account, and what follows: no I/O, no clock.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ThrottlePolicy;
use crate::clock::UnixTime;
use crate::store::ThrottleKey;

/// The attempts on one account. Field order is the order in the store.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Attempts {
    /// From sources that have not logged in to it.
    strangers: Count,
    /// From each source that has, the last to do so first.
    known: Vec<Known>,
    /// How often a count began anew.
    epoch: u32,
}

/// Attempts since the last one that succeeded.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
struct Count {
    failures: u32,
    /// When the last was made, in milliseconds since 1970.
    last: u64,
    /// That of [`Attempts`] when this began: what was counted before is not taken back after.
    epoch: u32,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Known {
    source: Source,
    /// When it last logged in, in milliseconds since 1970.
    since: u64,
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
    ) -> Result<(Self, Mark), Duration> {
        self.forget(now, policy);
        let count = self.count(source);
        let wait = count.wait(now, policy);
        if !wait.is_zero() {
            return Err(wait);
        }
        let mark = Mark {
            epoch: count.epoch,
            last: now,
            last_before: count.last,
        };
        count.failures = count.failures.saturating_add(1);
        count.last = now;
        Ok((self, mark))
    }

    /// The attempt from `source` succeeded: its count starts anew. Where it was known, those of
    /// strangers do not: whoever guesses would have tries again each time the owner logs in.
    pub(super) fn succeed(mut self, source: Option<&Source>, now: u64) -> Self {
        let anew = self.next_count();
        *self.count(source) = anew;
        if let Some(source) = source {
            self.known.retain(|known| known.source != *source);
            let known = Known {
                source: source.clone(),
                since: now,
                count: self.next_count(),
            };
            self.known.insert(0, known);
            self.known.truncate(MAX_KNOWN);
        }
        self
    }

    /// Nobody can say how the attempt from `source` ended: it does not count, and if it was the
    /// last, nor does its time.
    pub(super) fn withdraw(mut self, source: Option<&Source>, mark: Mark) -> Self {
        let count = self.count(source);
        if count.epoch == mark.epoch {
            count.failures = count.failures.saturating_sub(1);
            if count.last == mark.last {
                count.last = mark.last_before;
            }
        }
        self
    }

    /// An operator says so: as if nobody had ever tried.
    pub(super) fn unlock(mut self) -> Self {
        self.strangers = self.next_count();
        self.known.clear();
        self
    }

    /// From when on this says nothing any more, in milliseconds since 1970.
    pub(super) fn expires_at(&self, policy: &ThrottlePolicy) -> u64 {
        let strangers = self.strangers.forgotten_at(policy);
        self.known
            .iter()
            .map(|known| known.since.saturating_add(millis(KNOWN_FOR)))
            .fold(strangers, u64::max)
            .min(UnixTime::MAX.millis())
    }

    /// A count that begins anew.
    fn next_count(&mut self) -> Count {
        self.epoch = self.epoch.wrapping_add(1);
        Count {
            epoch: self.epoch,
            ..Count::default()
        }
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
        self.known
            .retain(|known| known.since.saturating_add(millis(KNOWN_FOR)) > now);
        let anew = self.next_count();
        let known = self.known.iter_mut().map(|known| &mut known.count);
        for count in known.chain([&mut self.strangers]) {
            if count.failures > 0 && count.forgotten_at(policy) <= now {
                *count = anew.clone();
            }
        }
    }
}

impl Count {
    /// How long from `now` until the next attempt may be made.
    fn wait(&self, now: u64, policy: &ThrottlePolicy) -> Duration {
        let from = if self.failures >= policy.stop_at {
            self.forgotten_at(policy)
        } else {
            let delay = policy.delay(self.failures);
            if delay.is_zero() {
                return Duration::ZERO;
            }
            self.last.saturating_add(millis(delay))
        };
        // Some clock was wrong, by more than those of nodes differ. Nobody is to wait for its time to
        // come: the next attempt sets this right.
        if self.last > now.saturating_add(millis(MAX_SKEW)) {
            return Duration::ZERO;
        }
        Duration::from_millis(from.saturating_sub(now))
    }

    fn forgotten_at(&self, policy: &ThrottlePolicy) -> u64 {
        let kept = if self.failures >= policy.stop_at {
            STOPPED_FOR
        } else {
            FORGIVEN_PER_FAILURE
                .saturating_mul(self.failures)
                .max(policy.delay(self.failures))
        };
        self.last.saturating_add(millis(kept))
    }
}

/// What is to be known of an attempt that was counted, to take it back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    epoch: u32,
    last: u64,
    last_before: u64,
}

/// Where attempts come from, told apart within one account only. There are few addresses, so that
/// whoever reads the store can find out which it is.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Source(String);

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

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

/// For how long the hard stop lasts, if nobody unlocks it.
const STOPPED_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// By how much the clocks of nodes may differ.
const MAX_SKEW: Duration = Duration::from_secs(300);
