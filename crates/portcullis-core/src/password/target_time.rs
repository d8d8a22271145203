//! How long checking a current hash takes here and now, so that cheaper ones can take as long.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many checks are remembered: enough to have their spread, few enough to follow the load.
const REMEMBERED: usize = 64;

/// The durations of the last checks of current hashes, in processor time: a thread that is
/// interrupted takes longer by as much whether it hashes or fills up.
///
/// What is filled up takes one of these, each in its turn, and not their mean: otherwise the
/// *spread* of the durations would tell old hashes from current ones.
#[derive(Debug)]
pub(crate) struct TargetTime {
    recent: Mutex<Recent>,
}

#[derive(Debug)]
struct Recent {
    durations: [Duration; REMEMBERED],
    next_written: usize,
    next_read: usize,
}

impl TargetTime {
    /// Starts with the duration of one check.
    pub(crate) fn new(first: Duration) -> Self {
        Self {
            recent: Mutex::new(Recent {
                durations: [first; REMEMBERED],
                next_written: 0,
                next_read: 0,
            }),
        }
    }

    /// Remembers how long checking a current hash took.
    pub(crate) fn record(&self, duration: Duration) {
        let mut recent = self.lock();
        let place = recent.next_written;
        recent.durations[place] = duration;
        recent.next_written = (place + 1) % REMEMBERED;
    }

    /// How long the next cheaper check is to take.
    pub(crate) fn next(&self) -> Duration {
        let mut recent = self.lock();
        let place = recent.next_read;
        recent.next_read = (place + 1) % REMEMBERED;
        recent.durations[place]
    }

    fn lock(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
