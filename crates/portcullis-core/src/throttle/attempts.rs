//! What is known of the attempts on one account, and what follows: no I/O, no clock.

use std::cmp::Reverse;
use std::time::Duration;

use super::ThrottlePolicy;
use super::client::{Client, Place, SPELLING_LEN};
use crate::clock::UnixTime;
use crate::device::KNOWN_FOR;

/// The attempts on one account.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Attempts {
    /// From whoever has not logged in to it.
    pub(super) strangers: Count,
    /// From each address that has, and from each device.
    pub(super) known: [Option<Known>; SLOTS],
    /// Given to each count that begins, so that none takes back what another counted.
    pub(super) epoch: u32,
}

/// Attempts of one kind.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Count {
    /// Of those that ended, how many failed since the last that succeeded.
    pub(super) failures: u16,
    /// Begun, and not ended yet.
    pub(super) under_way: u16,
    /// When the last began, in milliseconds since 1970.
    pub(super) last: u64,
    /// That of [`Attempts`] when `under_way` was 0 for another reason than that all had ended.
    pub(super) epoch: u32,
    /// Another one from the first failure after a success on.
    pub(super) flight: u16,
}

/// Somebody who has logged in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Known {
    pub(super) place: Place,
    /// Of the exact spelling of the username.
    pub(super) spelling: [u8; SPELLING_LEN],
    /// When they last logged in, in milliseconds since 1970.
    pub(super) since: u64,
    pub(super) count: Count,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ending {
    Failed,
    Succeeded,
    /// Nobody can say, or it is not to count.
    Withdrawn,
}

impl Attempts {
    /// Counts one more attempt, which is under way until [`end`](Self::end) says how it ended.
    ///
    /// # Errors
    /// How long to wait, if it may not be made now. It is not counted then: who only knocks keeps
    /// nobody out for longer.
    pub(super) fn begin(
        mut self,
        client: &Client,
        now: u64,
        policy: &ThrottlePolicy,
    ) -> Result<(Self, Mark), Duration> {
        self.forget(now, policy);
        if let Some(place) = client.proven() {
            self.adopt(place, client.spelling, now);
        }
        let slot = self.slot_of(client);
        let place = slot.and_then(|slot| Some(self.known[slot].as_ref()?.place));
        let count = self.count_at(slot);
        let wait = count.wait(now, policy, place.is_some());
        if !wait.is_zero() {
            return Err(wait);
        }
        let mark = Mark {
            place,
            epoch: count.epoch,
            flight: count.flight,
            is_one_of_many: place.is_some()
                && count.failures == 0
                && u32::from(count.under_way) >= policy.delay_from,
            last: now,
            last_before: count.last,
        };
        count.under_way = count.under_way.saturating_add(1);
        count.last = now;
        Ok((self, mark))
    }

    /// Whether `client` has a count of its own.
    pub(super) fn knows(&self, client: &Client) -> bool {
        self.slot_of(client).is_some()
    }

    /// Notes how an attempt ended. `Err` with how long to wait if nobody may hear how: it was one of
    /// many at once that were let through as long as none failed, and one has.
    pub(super) fn end(
        mut self,
        client: &Client,
        mark: Mark,
        ending: Ending,
        now: u64,
        policy: &ThrottlePolicy,
    ) -> (Self, Result<(), Duration>) {
        let mut count = self.count_of(mark);
        if let Some(count) = &mut count {
            count.under_way = count.under_way.saturating_sub(1);
        }
        let is_first_flight = count
            .as_ref()
            .is_some_and(|count| count.flight == mark.flight);
        if mark.is_one_of_many && !is_first_flight {
            return (self, Err(policy.first_delay));
        }
        if let Some(count) = count {
            match ending {
                Ending::Failed => {
                    if count.failures == 0 {
                        count.flight = count.flight.wrapping_add(1);
                    }
                    count.failures = count.failures.saturating_add(1);
                }
                Ending::Succeeded | Ending::Withdrawn => {
                    if count.last == mark.last {
                        count.last = mark.last_before;
                    }
                    if ending == Ending::Succeeded && mark.place.is_some() {
                        count.failures = 0;
                    }
                }
            }
        }
        if ending == Ending::Succeeded {
            for place in client.places() {
                self.remember(place, client.spelling, now);
            }
        }
        (self, Ok(()))
    }

    /// An operator says so: as if nobody had ever tried.
    pub(super) fn unlock(mut self) -> Self {
        self.strangers = self.next_count();
        self.known = Default::default();
        self
    }

    /// The devices of one spelling are strangers from now on.
    pub(super) fn forget_devices(mut self, spelling: [u8; SPELLING_LEN]) -> Self {
        for slot in &mut self.known {
            let is_one = |known: &Known| {
                known.spelling == spelling && matches!(known.place, Place::Device(_))
            };
            if slot.as_ref().is_some_and(is_one) {
                *slot = None;
            }
        }
        self
    }

    /// From when on this says nothing any more, in milliseconds since 1970.
    pub(super) fn expires_at(&self, policy: &ThrottlePolicy) -> u64 {
        let strangers = self.strangers.forgotten_at(policy);
        self.known
            .iter()
            .flatten()
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

    /// Where the place of `client` is that is known. A device comes before an address, which it may
    /// share with whoever guesses.
    fn slot_of(&self, client: &Client) -> Option<usize> {
        client.places().find_map(|place| self.slot_at(place))
    }

    fn slot_at(&self, place: Place) -> Option<usize> {
        let mut slots = self.known.iter();
        slots.position(|slot| slot.as_ref().is_some_and(|known| known.place == place))
    }

    /// The count of a known place, or the strangers'.
    fn count_at(&mut self, slot: Option<usize>) -> &mut Count {
        match slot.and_then(|slot| self.known[slot].as_mut()) {
            Some(known) => &mut known.count,
            None => &mut self.strangers,
        }
    }

    /// The count in which an attempt is still under way.
    fn count_of(&mut self, mark: Mark) -> Option<&mut Count> {
        let slot = match mark.place {
            Some(place) => Some(self.slot_at(place)?),
            None => None,
        };
        let count = self.count_at(slot);
        (count.epoch == mark.epoch).then_some(count)
    }

    /// Knows a place from now on. Where there is no room the spelling that takes the most makes it, so
    /// that no account can have those of another forgotten whose name differs only in spelling, but
    /// its last.
    fn remember(&mut self, place: Place, spelling: [u8; SPELLING_LEN], now: u64) {
        let count = self.next_count();
        let slots = match place {
            Place::Address(_) => &mut self.known[..ADDRESSES],
            Place::Device(_) => &mut self.known[ADDRESSES..],
        };
        let mut known = slots.iter_mut().flatten();
        if let Some(known) = known.find(|known| known.place == place) {
            known.since = now;
            return;
        }
        let slot = match slots.iter().position(Option::is_none) {
            Some(free) => free,
            None => {
                let taken_by = |spelling| {
                    let taken = slots.iter().flatten();
                    taken.filter(|known| known.spelling == spelling).count()
                };
                let claims = slots.iter().flatten().enumerate().map(|(slot, known)| {
                    let is_own = known.spelling == spelling;
                    let taken = taken_by(known.spelling);
                    (taken, is_own, Reverse(known.since), Reverse(slot))
                });
                match claims.max() {
                    Some((taken, is_own, _, Reverse(slot))) if taken > 1 || is_own => slot,
                    _ => return,
                }
            }
        };
        slots[slot] = Some(Known {
            place,
            spelling,
            since: now,
            count,
        });
    }

    /// Gives a device a count that it does not have yet. None makes room for it that has attempts counted:
    /// whoever has many sessions would have as many tries as they like.
    fn adopt(&mut self, place: Place, spelling: [u8; SPELLING_LEN], now: u64) {
        if self.slot_at(place).is_some() {
            return;
        }
        let count = self.next_count();
        let devices = &mut self.known[ADDRESSES..];
        let may_go = |known: &Known| known.spelling == spelling && known.count.begun() == 0;
        let room = devices
            .iter_mut()
            .filter(|slot| slot.as_ref().is_none_or(may_go))
            .min_by_key(|slot| slot.as_ref().map(|known| known.since));
        if let Some(slot) = room {
            *slot = Some(Known {
                place,
                spelling,
                since: now,
                count,
            });
        }
    }

    fn forget(&mut self, now: u64, policy: &ThrottlePolicy) {
        for slot in &mut self.known {
            let is_over = |known: &Known| known.since.saturating_add(millis(KNOWN_FOR)) <= now;
            if slot.as_ref().is_some_and(is_over) {
                *slot = None;
            }
        }
        let anew = self.next_count();
        let known = self
            .known
            .iter_mut()
            .flatten()
            .map(|known| &mut known.count);
        for count in known.chain([&mut self.strangers]) {
            if count.under_way > 0 && count.last.saturating_add(millis(UNHEARD_OF)) <= now {
                count.failures = count.failures.saturating_add(count.under_way);
                count.under_way = 0;
                count.epoch = anew.epoch;
            }
            if count.begun() > 0 && count.forgotten_at(policy) <= now {
                *count = anew.clone();
            }
        }
    }
}

impl Count {
    /// Attempts that have failed, or may yet.
    fn begun(&self) -> u32 {
        u32::from(self.failures) + u32::from(self.under_way)
    }

    /// How long from `now` until the next attempt may be made.
    fn wait(&self, now: u64, policy: &ThrottlePolicy, is_known: bool) -> Duration {
        // Some clock was wrong, by more than those of nodes differ. Nobody is to wait for its time to
        // come: the next attempt sets this right.
        if self.last > now.saturating_add(millis(MAX_SKEW)) {
            return Duration::ZERO;
        }
        if u32::from(self.failures) >= policy.stop_at {
            return Duration::from_millis(self.forgotten_at(policy).saturating_sub(now));
        }
        // As many as would stop it if all failed.
        if self.begun() >= policy.stop_at {
            return policy.first_delay;
        }
        // A right login is not refused for being one of many.
        if is_known && self.failures == 0 {
            return Duration::ZERO;
        }
        let delay = policy.delay(self.begun());
        let at = self.last.saturating_add(millis(delay));
        let wait = if delay.is_zero() {
            0
        } else {
            at.saturating_sub(now)
        };
        let wait = Duration::from_millis(wait);
        if u32::from(self.under_way) >= policy.delay_from {
            return wait.max(policy.first_delay);
        }
        wait
    }

    fn forgotten_at(&self, policy: &ThrottlePolicy) -> u64 {
        let kept = if self.begun() >= policy.stop_at {
            policy.stop_for
        } else {
            FORGIVEN_PER_FAILURE
                .saturating_mul(self.begun())
                .max(policy.delay(self.begun()))
        };
        self.last.saturating_add(millis(kept))
    }
}

/// What is to be known of an attempt that is under way, to end it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    /// Whose count it is in: that of a known place, or the strangers'.
    place: Option<Place>,
    epoch: u32,
    flight: u16,
    /// It was let through since none had failed yet, beside as many as could fail at once.
    pub(super) is_one_of_many: bool,
    last: u64,
    last_before: u64,
}

impl Mark {
    pub(super) fn is_of_device(&self) -> bool {
        matches!(self.place, Some(Place::Device(_)))
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How many addresses of an account are known at most: what is stored must not grow.
pub(super) const ADDRESSES: usize = 8;

/// How many devices.
pub(super) const DEVICES: usize = 4;

pub(super) const SLOTS: usize = ADDRESSES + DEVICES;

/// Failures are forgotten an hour for each after the last. So a name that was tried once takes no
/// room for long, whoever waits for it has one try an hour on average, and what few failures were
/// counted for is forgotten before what many were.
const FORGIVEN_PER_FAILURE: Duration = Duration::from_secs(3600);

/// By how much the clocks of nodes may differ.
pub(super) const MAX_SKEW: Duration = Duration::from_secs(300);

/// An attempt that nobody has ended for so long after the last one began has failed: its node was
/// stopped. A minute, which is more than a hash may wait and a store may take, and what clocks differ.
const UNHEARD_OF: Duration = Duration::from_secs(60).saturating_add(MAX_SKEW);
