//! How many requests an app is at.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the requests an app is at, also where it drops one whose client has gone.
#[derive(Clone, Debug, Default)]
pub struct InFlight {
    count: Arc<AtomicUsize>,
}

impl InFlight {
    /// Counts one until what this returns is dropped.
    #[must_use]
    pub fn enter(&self) -> impl Send + use<> {
        self.count.fetch_add(1, Ordering::SeqCst);
        Entered(Arc::clone(&self.count))
    }

    /// How many there are now.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

struct Entered(Arc<AtomicUsize>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
