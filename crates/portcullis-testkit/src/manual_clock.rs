//! Time that passes when a test says so.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use portcullis_core::clock::Clock;

/// A clock that stands still until it is moved.
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use portcullis_core::clock::Clock;
/// use portcullis_testkit::ManualClock;
///
/// let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
/// clock.advance(Duration::from_secs(5));
/// assert_eq!(clock.monotonic(), Duration::from_secs(5));
///
/// // Somebody sets the time of day: no time has passed.
/// clock.set(SystemTime::UNIX_EPOCH);
/// assert_eq!(clock.now(), SystemTime::UNIX_EPOCH);
/// assert_eq!(clock.monotonic(), Duration::from_secs(5));
/// ```
#[derive(Debug)]
pub struct ManualClock {
    time: Mutex<Time>,
}

impl ManualClock {
    /// Makes a clock at `now`, with [`monotonic`](Clock::monotonic) at zero.
    #[must_use]
    pub fn new(now: SystemTime) -> Self {
        Self {
            time: Mutex::new(Time {
                now,
                monotonic: Duration::ZERO,
            }),
        }
    }

    /// Lets `duration` pass.
    ///
    /// # Panics
    /// If that is beyond the end of time of the platform.
    pub fn advance(&self, duration: Duration) {
        let mut time = self.lock();
        time.now += duration;
        time.monotonic += duration;
    }

    /// Sets the time of day, forwards or back, as an operator or NTP does.
    pub fn set(&self, now: SystemTime) {
        self.lock().now = now;
    }

    fn lock(&self) -> MutexGuard<'_, Time> {
        self.time.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        self.lock().now
    }

    fn monotonic(&self) -> Duration {
        self.lock().monotonic
    }

    /// As [`monotonic`](Clock::monotonic): every thread always has a processor.
    fn thread_time(&self) -> Duration {
        self.monotonic()
    }

    /// Lets the time pass that is waited for.
    fn busy_wait(&self, until: Duration) {
        let mut time = self.lock();
        let duration = until.saturating_sub(time.monotonic);
        time.now += duration;
        time.monotonic += duration;
    }
}

#[derive(Debug)]
struct Time {
    now: SystemTime,
    monotonic: Duration,
}
