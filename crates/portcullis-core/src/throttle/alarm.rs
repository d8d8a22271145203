//! Whether many passwords have been refused lately, whosoever.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::attempts::millis;

/// Counts refused passwords on this node.
#[derive(Debug)]
pub(super) struct Alarm {
    at: u32,
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    /// In milliseconds since 1970.
    began: u64,
    refused: u32,
}

impl Alarm {
    pub(super) fn new(at: u32) -> Self {
        Self {
            at: at.max(1),
            window: Mutex::default(),
        }
    }

    /// Counts one more. Tells how many there were, once in each five minutes with too many.
    pub(super) fn note(&self, now: u64) -> Option<u32> {
        let mut window = self.lock();
        let is_over = now.saturating_sub(window.began) >= millis(WINDOW) || now < window.began;
        if is_over {
            *window = Window {
                began: now,
                refused: 0,
            };
        }
        window.refused = window.refused.saturating_add(1);
        (window.refused == self.at).then_some(window.refused)
    }

    fn lock(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const WINDOW: Duration = Duration::from_secs(300);
