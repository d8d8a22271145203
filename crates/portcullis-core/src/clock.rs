//! Where the core learns the time, so that tests can say what time it is.

use std::fmt::Debug;
use std::hint;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

/// A source of time. Everything in portcullis that depends on time takes one.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The time of day, for what leaves the process: `iat`, `exp`, stored instants.
    fn now(&self) -> SystemTime;

    /// Time since a fixed but arbitrary moment. Never goes back, whatever happens to
    /// [`now`](Self::now): for measuring how long something took.
    fn monotonic(&self) -> Duration;

    /// Keeps the calling thread busy until [`monotonic`](Self::monotonic) has reached `until`, as
    /// exactly as it can. Called on hashing threads, for the time by which an old hash is cheaper
    /// to check than a current one.
    fn busy_wait(&self, until: Duration);
}

/// The clock of the operating system.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "it has a name and nothing else")]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn monotonic(&self) -> Duration {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed()
    }

    // Sleeping would be kinder, but wakes up late by as much as an attacker can measure.
    fn busy_wait(&self, until: Duration) {
        while self.monotonic() < until {
            hint::spin_loop();
        }
    }
}
