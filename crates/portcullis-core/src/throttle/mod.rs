//! Limits how often passwords may be tried for one account.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use crate::clock::{Clock, SystemClock, unix_time};
use crate::device::{Device, DeviceCookies};
use crate::error::{Error, ErrorKind};
use crate::housekeeping::Housekeeping;
use crate::random::{OsRandom, SecureRandom, random_bytes};
use crate::store::{ThrottleKey, ThrottleRecord, ThrottleStore, Username};

mod admission;
mod alarm;
mod attempts;
mod client;
mod policy;
mod record;
mod spraying;

use admission::NamesAttempt;
pub use admission::{Admission, Attempt, LoginSource, ThrottledBy, Told};
use alarm::Alarm;
use attempts::Attempts;
use client::Client;
pub use policy::{SprayingPolicy, ThrottlePolicy};
use spraying::Names;

/// Slows down whoever tries passwords for an account, and stops them in the end, after NIST SP 800-63B-4
/// §3.2.2.
///
/// From the fifth attempt in a row that failed, each must wait before the next: 1 s, 2 s, 4 s and
/// so on up to 15 minutes; after a hundred there is none for 30 days, unless
/// [`unlock`](Self::unlock)ed. Names without an account are counted just the same, and all spellings of
/// a name that a store could take for one are counted together ([`ThrottleKey::of`]).
///
/// An address from which somebody has logged in within 90 days has a count of its own for exactly that
/// spelling: strangers, who share one, cannot lock its owner out there. So has a device, by its cookie,
/// where [devices](Self::with_devices) are known. An address is one of IPv4, or a /64 of IPv6. Eight
/// addresses and four devices are known of an account at most, so that 1,300 attempts in a row can fail,
/// a hundred by each and a hundred by strangers.
///
/// A success empties the count of the place that it came from, if that was known, and makes it known if
/// it was not. It changes no other count: an owner who logs in gives strangers no new tries, and who
/// owns `ADA` gets none at `ada`.
///
/// An attempt is counted before it is made, in one atomic step of the store, and ends with another: so
/// however many are made at once, on however many nodes, none is free. Of strangers five can be under
/// way at once. From a known place as many can as would stop it if all failed, since an application may
/// log in many times at once; but once one has failed, the answers of all but five of these are kept
/// back, right or wrong. An attempt of which nothing is heard for six minutes has failed.
///
/// Failures are forgotten an hour for each after the last, so that what is stored is bounded: a
/// record of 600 bytes for each name tried within an hour, and for each account tried more
/// often or used. Its length does not tell which. Nodes whose clocks differ by up to five minutes may
/// share a store.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), portcullis_core::Error> {
/// use std::sync::Arc;
///
/// use portcullis_core::memory::MemoryThrottleStore;
/// use portcullis_core::throttle::{Admission, LoginSource};
/// use portcullis_core::{Throttle, Username};
///
/// let throttle = Throttle::new(Arc::new(MemoryThrottleStore::new()));
/// let ada = Username::new("ada");
/// for _ in 0..5 {
///     let admission = throttle.begin(&ada, &LoginSource::default()).await?;
///     let Admission::Granted(attempt) = admission else { panic!("it is refused") };
///     attempt.failed().await?;
/// }
/// let refused = throttle.begin(&ada, &LoginSource::default()).await?;
/// assert!(matches!(refused, Admission::Refused { .. }));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Throttle {
    parts: Arc<Parts>,
}

#[derive(Clone, Debug)]
struct Parts {
    store: Arc<dyn ThrottleStore>,
    policy: ThrottlePolicy,
    spraying: Option<SprayingPolicy>,
    devices: Option<DeviceCookies>,
    alarm: Arc<Alarm>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn SecureRandom>,
    housekeeping: Arc<Housekeeping>,
}

impl Throttle {
    /// Makes a throttle that counts in `store`. All nodes of a service share one store.
    #[must_use]
    pub fn new(store: Arc<dyn ThrottleStore>) -> Self {
        let parts = Parts {
            store,
            policy: ThrottlePolicy::default(),
            spraying: None,
            devices: None,
            alarm: Arc::new(Alarm::new(DEFAULT_ALARM)),
            clock: Arc::new(SystemClock),
            random: Arc::new(OsRandom),
            housekeeping: Arc::default(),
        };
        Self {
            parts: Arc::new(parts),
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Parts)) -> Self {
        change(Arc::make_mut(&mut self.parts));
        self
    }

    /// Sets how many attempts are free, and what the others wait.
    ///
    /// # Errors
    /// `InvalidConfig` if the policy leaves no attempt, has no delay, or has a first delay that is
    /// longer than the longest.
    pub fn with_policy(self, policy: ThrottlePolicy) -> Result<Self, Error> {
        policy.check()?;
        Ok(self.with(|parts| parts.policy = policy))
    }

    /// Also limits how many different names may fail from one address within an hour (password spraying,
    /// credential stuffing), whatever becomes of each. Default: no limit, since many people may share an
    /// address.
    ///
    /// It refuses nobody whose address or device has logged in to that account before. Each login that
    /// is not from such a place costs the store three more steps.
    ///
    /// # Errors
    /// `InvalidConfig` if the policy lets no name fail, or more than can be counted.
    pub fn with_spraying_limit(self, policy: SprayingPolicy) -> Result<Self, Error> {
        policy.check()?;
        Ok(self.with(|parts| parts.spraying = Some(policy)))
    }

    /// Knows devices by a cookie, so that an owner on the move is not kept out by who guesses. Default:
    /// none.
    #[must_use]
    pub fn with_devices(self, devices: DeviceCookies) -> Self {
        self.with(|parts| parts.devices = Some(devices))
    }

    /// Sets from how many refused passwords within five minutes on observers hear of it, by
    /// [`LoginEventKind::Alarm`](crate::audit::LoginEventKind::Alarm), once in each five minutes. Each
    /// node counts those that it refused itself. Nobody is refused for it. Default 1,000, our choice.
    #[must_use]
    pub fn with_alarm(self, refused: u32) -> Self {
        self.with(|parts| parts.alarm = Arc::new(Alarm::new(refused)))
    }

    /// Takes the time from `clock`. Default [`SystemClock`].
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        self.with(|parts| parts.clock = clock)
    }

    /// Takes the salts of [spraying limits](Self::with_spraying_limit) from `random`. Default
    /// [`OsRandom`].
    #[must_use]
    pub fn with_random(self, random: Arc<dyn SecureRandom>) -> Self {
        self.with(|parts| parts.random = random)
    }

    /// The cookies by which devices are known.
    pub(crate) fn devices(&self) -> Option<&DeviceCookies> {
        self.parts.devices.as_ref()
    }

    /// Notes that a password was refused; tells how many were lately, if observers are to hear it.
    pub(crate) fn note_refusal(&self) -> Option<u32> {
        let now = unix_time(self.parts.clock.now()).ok()?;
        self.parts.alarm.note(now.millis())
    }

    /// Asks whether a password may be tried for `username` by a client at `source`, and counts it.
    ///
    /// Cancellation safe: dropped half-way, the attempt is counted or not.
    ///
    /// # Errors
    /// As [`ThrottleStore`].
    pub async fn begin(
        &self,
        username: &Username,
        source: &LoginSource,
    ) -> Result<Admission, Error> {
        let device = source.device.as_ref().map(Device::id);
        let client = Client::new(username, source.address, device, source.is_proven);
        let key = ThrottleKey::of(username);
        // Refused without a step of anything else.
        let found = self.parts.store.find(&key).await?;
        let attempts = found
            .as_ref()
            .map_or_else(|| Ok(Attempts::default()), read)?;
        let is_known = source.is_proven || attempts.knows(&client);
        if let Err(retry_after) = attempts.begin(&client, self.now()?, &self.parts.policy) {
            return Ok(refused(retry_after, ThrottledBy::Account));
        }
        let names = match self.parts.spraying.as_ref().zip(source.address) {
            Some((policy, address)) if !is_known && policy.counts(address) => {
                match self.begin_name(address, policy.names).await? {
                    Ok(names) => Some(names),
                    Err(retry_after) => return Ok(refused(retry_after, ThrottledBy::Address)),
                }
            }
            _ => None,
        };
        let begun = self
            .change(&key, Some(found), |attempts, now| {
                attempts.begin(&client, now, &self.parts.policy)
            })
            .await;
        let begun = match begun {
            Ok(Changed::To(mark, record)) => Ok((mark, record)),
            Ok(Changed::Refused(retry_after)) => Err(refused(retry_after, ThrottledBy::Account)),
            // Whoever is quicker is let through, or stops this one. So it is not an outage.
            Ok(Changed::TooManyTurns) => {
                Err(refused(self.parts.policy.first_delay, ThrottledBy::Account))
            }
            Err(error) => {
                self.end_name(names.as_ref(), None).await;
                return Err(error);
            }
        };
        let (mark, record) = match begun {
            Ok(begun) => begun,
            Err(refusal) => {
                self.end_name(names.as_ref(), None).await;
                return Ok(refusal);
            }
        };
        self.parts
            .housekeeping
            .run(
                "expired attempts could not be deleted",
                &*self.parts.clock,
                async |now, limit| self.parts.store.delete_expired(now, limit).await,
            )
            .await;
        Ok(Admission::Granted(Attempt {
            throttle: self.clone(),
            key,
            client,
            is_known,
            mark,
            record,
            names,
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
            let attempts = record.and_then(Attempts::read).unwrap_or_default();
            let attempts = attempts.unlock();
            let expires_at = attempts.expires_at(&self.parts.policy);
            Ok(Ok::<_, ()>((attempts.write(), expires_at, ())))
        });
        is_done(&unlocked.await?)
    }

    /// Takes the devices of `username` for strangers from now on: their password was changed.
    /// [`Accounts`](crate::Accounts) does it by itself.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub async fn forget_devices(&self, username: &Username) -> Result<(), Error> {
        let (key, spelling) = (ThrottleKey::of(username), client::spelling(username));
        let forgotten = self.update(&key, None, |record| {
            // Nothing is written down for a name of which nothing is.
            let Some(record) = record else {
                return Ok(Err(()));
            };
            let attempts = read(record)?.forget_devices(spelling);
            Ok(Ok((
                attempts.write(),
                attempts.expires_at(&self.parts.policy),
                (),
            )))
        });
        is_done(&forgotten.await?)
    }

    /// Counts one more login from `address` as under way.
    async fn begin_name(
        &self,
        address: IpAddr,
        limit: u32,
    ) -> Result<Result<NamesAttempt, Duration>, Error> {
        let key = ThrottleKey::of_address(address);
        let salt = random_bytes(&*self.parts.random, "a salt")?;
        let begun = self.update(&key, None, |record| {
            let names = record.map_or_else(|| Ok(Names::new(*salt)), read_names)?;
            Ok(names.begin(self.now()?, limit).map(|names| {
                let expires_at = names.expires_at();
                (names.write(), expires_at, ())
            }))
        });
        Ok(match begun.await? {
            Changed::To((), record) => Ok(NamesAttempt { key, record }),
            Changed::Refused(retry_after) => Err(retry_after),
            Changed::TooManyTurns => Err(self.parts.policy.first_delay),
        })
    }

    /// Ends it, with the name that failed. Where that cannot be noted, it is under way for some minutes
    /// more.
    async fn end_name(&self, names: Option<&NamesAttempt>, failed: Option<&ThrottleKey>) {
        let Some(names) = names else { return };
        let expected = Some(Some(names.record.clone()));
        let ended = self.update(&names.key, expected, |record| {
            // It may have expired meanwhile.
            let Some(record) = record else {
                return Ok(Err(()));
            };
            let names = read_names(record)?.end(failed, self.now()?);
            let expires_at = names.expires_at();
            Ok(Ok((names.write(), expires_at, ())))
        });
        if let Err(error) = ended.await.and_then(|ended| is_done(&ended)) {
            error.log("the end of an attempt could not be noted for its address");
        }
    }

    /// Makes one change to what was counted for an account, whoever else does.
    async fn change<T, R>(
        &self,
        key: &ThrottleKey,
        expected: Option<Option<ThrottleRecord>>,
        change: impl Fn(Attempts, u64) -> Result<(Attempts, T), R>,
    ) -> Result<Changed<T, R>, Error> {
        self.update(key, expected, |record| {
            let attempts = record.map_or_else(|| Ok(Attempts::default()), read)?;
            Ok(change(attempts, self.now()?).map(|(attempts, told)| {
                let expires_at = attempts.expires_at(&self.parts.policy);
                (attempts.write(), expires_at, told)
            }))
        })
        .await
    }

    /// Puts in the place of a record what `decide` makes of it, to be kept until then, and gives that
    /// away too. A record that is `expected` is looked up only if it is another.
    async fn update<T, R>(
        &self,
        key: &ThrottleKey,
        expected: Option<Option<ThrottleRecord>>,
        decide: impl Fn(Option<&ThrottleRecord>) -> Result<Result<(ThrottleRecord, u64, T), R>, Error>,
    ) -> Result<Changed<T, R>, Error> {
        let mut expected = expected;
        for _ in 0..MAX_TURNS {
            let old = match expected.take() {
                Some(expected) => expected,
                None => self.parts.store.find(key).await?,
            };
            let (new, expires_at, decided) = match decide(old.as_ref())? {
                Ok(decided) => decided,
                Err(refusal) => return Ok(Changed::Refused(refusal)),
            };
            let expires_at = UNIX_EPOCH + Duration::from_millis(expires_at);
            let replaced = self
                .parts
                .store
                .replace(key, old.as_ref(), &new, expires_at);
            if replaced.await? {
                return Ok(Changed::To(decided, new));
            }
        }
        Ok(Changed::TooManyTurns)
    }

    fn now(&self) -> Result<u64, Error> {
        Ok(unix_time(self.parts.clock.now())?.millis())
    }
}

/// What became of a change.
enum Changed<T, R> {
    To(T, ThrottleRecord),
    Refused(R),
    TooManyTurns,
}

/// Fails for what could not be written; what did not have to be is done.
fn is_done(changed: &Changed<(), ()>) -> Result<(), Error> {
    match changed {
        Changed::To(..) | Changed::Refused(()) => Ok(()),
        Changed::TooManyTurns => Err(too_many_turns()),
    }
}

fn read(record: &ThrottleRecord) -> Result<Attempts, Error> {
    Attempts::read(record).ok_or_else(corrupt)
}

fn read_names(record: &ThrottleRecord) -> Result<Names, Error> {
    Names::read(record).ok_or_else(corrupt)
}

fn corrupt() -> Error {
    let message = "the attempts on an account, or from an address, make no sense";
    Error::new(ErrorKind::Corrupt, message)
}

fn too_many_turns() -> Error {
    let message = "what was counted for an account changes faster than it can be written";
    Error::new(ErrorKind::Overloaded, message).with_retry_after(Duration::from_secs(1))
}

fn refused(retry_after: Duration, by: ThrottledBy) -> Admission {
    tracing::debug!(?retry_after, ?by, "a login is throttled");
    Admission::Refused { retry_after, by }
}

/// How often a change is tried anew since somebody else was quicker. Of those who try at once one is
/// always quickest, and those who are refused change nothing: no more write at once than may be under
/// way, so that nobody comes near this.
const MAX_TURNS: u32 = 1_000;

/// Refused passwords within five minutes on one node.
const DEFAULT_ALARM: u32 = 1_000;
