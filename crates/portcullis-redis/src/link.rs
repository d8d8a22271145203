//! What a server and a cluster have in common: a connection that calls share, until it is no good.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::RedisResult;
use tokio::time::{Instant, timeout_at};

/// What is known of a connection that calls share.
#[derive(Default)]
pub(crate) struct Health {
    /// Set when it was closed, also while nobody used it, or when nobody answered.
    pub(crate) lost: AtomicBool,
    /// Set when the other end refused since it is not the one to ask.
    pub(crate) refused: AtomicBool,
}

/// When a connection was last given up since the other end refused.
///
/// A server may go on refusing, with nobody to take over. Without a pause each call would connect
/// anew, to all nodes of a cluster.
#[derive(Default)]
pub(crate) struct Departure(Mutex<Option<Instant>>);

impl Departure {
    /// Tells whether to connect anew: at once if the connection was lost; if the other end refused,
    /// unless another was given up for that less than [`PAUSE`] ago. Whoever is told so must.
    pub(crate) fn is_due(&self, health: &Health) -> bool {
        if health.lost.load(Ordering::Relaxed) {
            return true;
        }
        if !health.refused.load(Ordering::Relaxed) {
            return false;
        }
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| last.elapsed() >= PAUSE);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }

    /// Begins the pause anew.
    pub(crate) fn postpone(&self) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(Instant::now());
    }
}

const PAUSE: Duration = Duration::from_secs(1);

/// Gives `work` until `deadline`.
pub(crate) async fn by<T>(
    deadline: Instant,
    work: impl Future<Output = RedisResult<T>>,
) -> RedisResult<T> {
    match timeout_at(deadline, work).await {
        Ok(done) => done,
        Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
    }
}
