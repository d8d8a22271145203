//! Where the core learns the time, so that tests can say what time it is.

use std::fmt::Debug;
use std::hint;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

#[cfg(target_os = "linux")]
use rustix::time::{ClockId, clock_gettime};

use crate::error::{Error, ErrorKind};

mod unix_time;
pub use unix_time::UnixTime;

/// The time of day as stores and tokens write it.
pub(crate) fn unix_time(time: SystemTime) -> Result<UnixTime, Error> {
    UnixTime::from_system(time).ok_or_else(|| {
        Error::new(
            ErrorKind::Internal,
            "the clock is set before 1970 or after 9999",
        )
    })
}

/// A source of time. Everything in portcullis that depends on time takes one.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The time of day, for what leaves the process: `iat`, `exp`, stored instants.
    fn now(&self) -> SystemTime;

    /// Time since a fixed but arbitrary moment. Never goes back, whatever happens to
    /// [`now`](Self::now): for measuring how long something took.
    fn monotonic(&self) -> Duration;

    /// Processor time of the calling thread since a fixed but arbitrary moment: it stands still
    /// while another thread has the processor. Where the platform does not tell, as
    /// [`monotonic`](Self::monotonic).
    fn thread_time(&self) -> Duration;

    /// Keeps the calling thread busy until [`thread_time`](Self::thread_time) has reached `until`,
    /// as exactly as it can. Called on hashing threads, for the time by which an old hash is cheaper
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

    #[cfg(target_os = "linux")]
    fn thread_time(&self) -> Duration {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.try_into().unwrap_or_else(|_| self.monotonic())
    }

    #[cfg(not(target_os = "linux"))]
    fn thread_time(&self) -> Duration {
        self.monotonic()
    }

    // Sleeping would be kinder, but wakes up late by as much as an attacker can measure.
    fn busy_wait(&self, until: Duration) {
        while self.thread_time() < until {
            hint::spin_loop();
        }
    }
}
