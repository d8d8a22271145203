//! Where the core learns the time, so that tests can say what time it is.

use std::fmt::Debug;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

/// A source of time. Everything in portcullis that depends on time takes one.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The time of day, for what leaves the process: `iat`, `exp`, stored instants.
    fn now(&self) -> SystemTime;

    /// Time since a fixed but arbitrary moment. Never goes back, whatever happens to
    /// [`now`](Self::now): for measuring how long something took.
    fn monotonic(&self) -> Duration;
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
}
