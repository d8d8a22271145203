//! How many requests an app is at.

use std::sync::Arc;

use tokio::sync::watch;

/// Counts the requests an app is at, also where it drops one whose client has gone.
#[derive(Clone, Debug, Default)]
pub struct InFlight {
    count: Arc<watch::Sender<usize>>,
}

impl InFlight {
    /// Counts one until what this returns is dropped.
    #[must_use]
    pub fn enter(&self) -> impl Send + use<> {
        self.count.send_modify(|count| *count += 1);
        Entered(Arc::clone(&self.count))
    }

    /// How many there are now.
    #[must_use]
    pub fn count(&self) -> usize {
        *self.count.borrow()
    }

    /// Waits until there are `count`.
    ///
    /// Cancellation safe: nothing is changed.
    pub async fn reaches(&self, count: usize) {
        // The sender is not dropped while this waits, which would be the only error.
        let _ = self.count.subscribe().wait_for(|now| *now == count).await;
    }
}

struct Entered(Arc<watch::Sender<usize>>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
