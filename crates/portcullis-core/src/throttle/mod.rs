//! Limits how often passwords may be tried for one account.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use crate::clock::{Clock, SystemClock, unix_time};
use crate::error::{Error, ErrorKind};
use crate::housekeeping::Housekeeping;
use crate::store::{ThrottleKey, ThrottleRecord, ThrottleStore, Username};

mod attempts;

use attempts::{Attempts, Mark, Source};

/// Slows down whoever tries passwords for an account, and stops them in the end (NIST SP 800-63B-4
/// §3.2.2).
///
/// From the fifth attempt in a row that failed, each must wait before the next: 1 s, 2 s, 4 s and
/// so on up to 15 minutes; after a hundred there is none for 30 days, unless
/// [`unlock`](Self::unlock)ed. A success starts anew. Names without an account are counted just the
/// same.
///
/// A source from which somebody has logged in within 90 days has a count of its own for that
/// account: strangers, who share one, cannot lock its owner out there, and its logins do not give
/// strangers new tries. A source is an IPv4 address or an IPv6 /64. Eight are known of an account
/// at most, so that 900 attempts in a row can fail, a hundred by each.
///
/// An attempt is counted before it is made, in one atomic step of the store, and taken back once it
/// succeeds: however many are made at once, on however many nodes, none is free. So of one count
/// five can be under way at once, right or wrong, before others wait; and a login whose client goes
/// away before it is answered counts as one that failed.
///
/// Failures are forgotten an hour for each after the last, so that what is stored is bounded: a
/// record of 2 KiB at most for each name tried within an hour, and for each account tried more
/// often or used. Nodes whose clocks differ by up to five minutes may share a store.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), portcullis_core::Error> {
/// use std::sync::Arc;
///
/// use portcullis_core::memory::MemoryThrottleStore;
/// use portcullis_core::throttle::Admission;
/// use portcullis_core::{Throttle, Username};
///
/// let throttle = Throttle::new(Arc::new(MemoryThrottleStore::new()));
/// let ada = Username::new("ada");
/// for _ in 0..5 {
///     // Not told that it succeeded, an attempt has failed.
///     let attempt = throttle.begin(&ada, None).await?;
///     assert!(matches!(attempt, Admission::Granted(_)));
/// }
/// let refused = throttle.begin(&ada, None).await?;
/// assert!(matches!(refused, Admission::Refused { .. }));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Throttle {
    store: Arc<dyn ThrottleStore>,
    policy: ThrottlePolicy,
    clock: Arc<dyn Clock>,
    housekeeping: Arc<Housekeeping>,
}

impl Throttle {
    /// Makes a throttle that counts in `store`. All nodes of a service share one store.
    #[must_use]
    pub fn new(store: Arc<dyn ThrottleStore>) -> Self {
        Self {
            store,
            policy: ThrottlePolicy::default(),
            clock: Arc::new(SystemClock),
            housekeeping: Arc::default(),
        }
    }

    /// Sets how many attempts are free, and what the others wait.
    ///
    /// # Errors
    /// `InvalidConfig` if the policy leaves no attempt, has no delay, or has a first delay that is
    /// longer than the longest.
    pub fn with_policy(mut self, policy: ThrottlePolicy) -> Result<Self, Error> {
        policy.check()?;
        self.policy = policy;
        Ok(self)
    }

    /// Takes the time from `clock`. Default [`SystemClock`].
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Asks whether a password may be tried for `username` by a client at `address`, and counts it.
    ///
    /// Without an address, the client is a stranger.
    ///
    /// Cancellation safe: dropped half-way, the attempt is counted or not.
    ///
    /// # Errors
    /// As [`ThrottleStore`]; `Overloaded` if many others try at the same time, with what to wait.
    pub async fn begin(
        &self,
        username: &Username,
        address: Option<IpAddr>,
    ) -> Result<Admission, Error> {
        let key = ThrottleKey::of(username);
        let source = address.map(|address| Source::new(&key, address));
        let begun = self
            .change(&key, None, |attempts, now| {
                attempts.begin(source.as_ref(), now, &self.policy)
            })
            .await?;
        let (mark, record) = match begun {
            Ok(begun) => begun,
            Err(retry_after) => {
                tracing::debug!(?retry_after, "an account is throttled");
                return Ok(Admission::Refused { retry_after });
            }
        };
        self.housekeeping
            .run(
                "expired attempts could not be deleted",
                &*self.clock,
                async |now, limit| self.store.delete_expired(now, limit).await,
            )
            .await;
        Ok(Admission::Granted(Attempt {
            throttle: self.clone(),
            key,
            source,
            mark,
            record,
        }))
    }

    /// Forgets what was counted for `username`, and from where it is known: for an operator, and
    /// after a password was set anew by other means.
    ///
    /// # Errors
    /// As [`begin`](Self::begin); a record that only the core cannot read is repaired.
    pub async fn unlock(&self, username: &Username) -> Result<(), Error> {
        let key = ThrottleKey::of(username);
        let unlocked = self.update(&key, None, |record| {
            let attempts = record.and_then(|record| read(record).ok());
            let unlocked = attempts.unwrap_or_default().unlock();
            Ok(Ok::<_, ()>((unlocked, ())))
        });
        unlocked.await.map(drop)
    }

    /// Makes one change to what was counted, whoever else does. `Err` if `change` refuses to.
    async fn change<T, R>(
        &self,
        key: &ThrottleKey,
        expected: Option<&ThrottleRecord>,
        change: impl Fn(Attempts, u64) -> Result<(Attempts, T), R>,
    ) -> Result<Result<(T, ThrottleRecord), R>, Error> {
        self.update(key, expected, |record| {
            let attempts = record.map_or_else(|| Ok(Attempts::default()), read)?;
            Ok(change(attempts, self.now()?))
        })
        .await
    }

    /// Puts in the place of a record what `decide` makes of it, and gives that away too. `Err` if it
    /// refuses to. A record that is `expected` is looked up only if it is another.
    async fn update<T, R>(
        &self,
        key: &ThrottleKey,
        expected: Option<&ThrottleRecord>,
        decide: impl Fn(Option<&ThrottleRecord>) -> Result<Result<(Attempts, T), R>, Error>,
    ) -> Result<Result<(T, ThrottleRecord), R>, Error> {
        for turn in 0..MAX_TURNS {
            let old = match expected {
                Some(expected) if turn == 0 => Some(expected.clone()),
                _ => self.store.find(key).await?,
            };
            let (attempts, decided) = match decide(old.as_ref())? {
                Ok(decided) => decided,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let expires_at = Duration::from_millis(attempts.expires_at(&self.policy));
            let new = serde_json::to_string(&attempts)
                .map(ThrottleRecord::new)
                .map_err(|source| {
                    Error::new(ErrorKind::Internal, "attempts could not be written down")
                        .with_source(source)
                })?;
            let replaced = self
                .store
                .replace(key, old.as_ref(), &new, UNIX_EPOCH + expires_at)
                .await?;
            if replaced {
                return Ok(Ok((decided, new)));
            }
        }
        Err(
            Error::new(ErrorKind::Overloaded, "too many try one account at once")
                .with_retry_after(Duration::from_secs(1)),
        )
    }

    fn now(&self) -> Result<u64, Error> {
        Ok(unix_time(self.clock.now())?.millis())
    }
}

fn read(record: &ThrottleRecord) -> Result<Attempts, Error> {
    serde_json::from_str(record.as_str()).map_err(|source| {
        Error::new(
            ErrorKind::Corrupt,
            "the attempts on an account make no sense",
        )
        .with_source(source)
    })
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
    },
}

/// An attempt that may be made. Until it is told otherwise it has failed.
#[derive(Debug)]
#[must_use = "an attempt that is not told that it succeeded has failed"]
pub struct Attempt {
    throttle: Throttle,
    key: ThrottleKey,
    source: Option<Source>,
    mark: Mark,
    /// What was there once this was counted.
    record: ThrottleRecord,
}

impl Attempt {
    /// The password was right: starts the count anew, and knows the source from now on.
    ///
    /// # Errors
    /// As [`Throttle::begin`]; the attempt then counts as one that failed.
    pub async fn succeeded(self) -> Result<(), Error> {
        let source = self.source.as_ref();
        self.change(|attempts, now| attempts.succeed(source, now))
            .await
    }

    /// Nobody knows whether the password was right, as when a store was down: does not count. Where
    /// the same store is down that counts, this cannot be noted, and it does.
    ///
    /// # Errors
    /// As [`succeeded`](Self::succeeded).
    pub async fn withdraw(self) -> Result<(), Error> {
        let source = self.source.as_ref();
        self.change(|attempts, _| attempts.withdraw(source, self.mark))
            .await
    }

    async fn change(&self, change: impl Fn(Attempts, u64) -> Attempts) -> Result<(), Error> {
        let change = |attempts, now| Ok::<_, ()>((change(attempts, now), ()));
        let expected = Some(&self.record);
        let changed = self.throttle.change(&self.key, expected, change);
        changed.await.map(drop)
    }
}

/// How many attempts in a row may fail, and what the next one waits. The delays are our choice: NIST
/// wants them to grow, and leaves it open from where to where.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ThrottlePolicy {
    /// From this failure in a row on there is a delay. Default 5; at least 1.
    pub delay_from: u32,
    /// The first delay; each further failure doubles it. Default 1 s.
    pub first_delay: Duration,
    /// The longest delay. Default 900 s.
    pub max_delay: Duration,
    /// After so many failures in a row there are no further attempts. Default 100, the most that
    /// NIST SP 800-63B-4 §3.2.2 allows.
    pub stop_at: u32,
}

impl ThrottlePolicy {
    fn check(&self) -> Result<(), Error> {
        let invalid = |message| Err(Error::new(ErrorKind::InvalidConfig, message));
        if self.delay_from == 0 || self.stop_at == 0 {
            return invalid(
                "the throttle must let at least one attempt be made: set `delay_from` and `stop_at` to 1 or more",
            );
        }
        if self.first_delay.is_zero() || self.first_delay > self.max_delay {
            return invalid(
                "the first delay of the throttle must be longer than zero and no longer than the longest",
            );
        }
        Ok(())
    }

    /// What to wait after so many failures in a row.
    fn delay(&self, failures: u32) -> Duration {
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
        }
    }
}

/// How often a change is tried anew since somebody else was quicker. Those who are refused change
/// nothing, and so hardly anybody is.
const MAX_TURNS: u32 = 16;
