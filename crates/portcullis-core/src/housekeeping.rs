//! Deletes what has expired in a store, now and then, at the expense of whoever comes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crate::clock::Clock;
use crate::error::Error;

/// When to clean a store next.
#[derive(Debug, Default)]
pub(crate) struct Housekeeping {
    /// In seconds of [`Clock::monotonic`].
    due: AtomicU64,
}

impl Housekeeping {
    /// Lets `delete` delete what has expired, if nobody else has done so for a while. It is told the
    /// time and how many to delete at most, and tells how many it did.
    ///
    /// A failure is logged, as `failure`: nothing depends on it now.
    pub(crate) async fn run(
        &self,
        failure: &'static str,
        clock: &dyn Clock,
        delete: impl AsyncFnOnce(SystemTime, u32) -> Result<u32, Error>,
    ) {
        let now = clock.monotonic().as_secs();
        let due = self.due.load(Ordering::Relaxed);
        let next = now.saturating_add(INTERVAL.as_secs());
        let mine = now >= due
            && self
                .due
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if mine {
            match delete(clock.now(), BATCH).await {
                Ok(deleted) => {
                    tracing::debug!(deleted, "deleted what has expired");
                    if deleted >= BATCH {
                        self.due.store(now, Ordering::Relaxed);
                    }
                }
                Err(error) => error.log(failure),
            }
        }
    }
}

const INTERVAL: Duration = Duration::from_secs(5 * 60);

/// How many are deleted at a time: a login waits for it.
const BATCH: u32 = 1_000;
