//! A runtime whose time passes, and whose tasks run, when a test says so.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use portcullis_core::adapter::{BoxFuture, Runtime};

/// A [`Runtime`] that keeps timers and tasks until it is told to go on.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use std::time::Duration;
///
/// use portcullis_core::adapter::Runtime;
/// use portcullis_testkit::ManualRuntime;
///
/// let runtime = ManualRuntime::leak();
/// let sleep = runtime.sleep(Duration::from_secs(10));
/// runtime.spawn(sleep);
/// assert_eq!(runtime.tasks(), 1);
/// runtime.advance(Duration::from_secs(10));
/// runtime.run().await;
/// assert_eq!(runtime.tasks(), 0);
/// # }
/// ```
#[derive(Default)]
pub struct ManualRuntime {
    timer: Arc<Mutex<Timer>>,
    tasks: Mutex<Vec<BoxFuture<()>>>,
}

#[derive(Default)]
struct Timer {
    now: Duration,
    sleepers: Vec<Waker>,
}

impl ManualRuntime {
    /// Makes a runtime that is never freed, as the core wants one.
    #[must_use]
    pub fn leak() -> &'static Self {
        Box::leak(Box::default())
    }

    /// Lets `duration` pass for whoever sleeps.
    pub fn advance(&self, duration: Duration) {
        let sleepers = {
            let mut timer = lock(&self.timer);
            timer.now += duration;
            std::mem::take(&mut timer.sleepers)
        };
        sleepers.into_iter().for_each(Waker::wake);
    }

    /// How many tasks were spawned and have not been [`run`](Self::run).
    #[must_use]
    pub fn tasks(&self) -> usize {
        lock(&self.tasks).len()
    }

    /// Runs the tasks that were spawned to their end, one after the other.
    pub async fn run(&self) {
        loop {
            let tasks = std::mem::take(&mut *lock(&self.tasks));
            if tasks.is_empty() {
                return;
            }
            for task in tasks {
                task.await;
            }
        }
    }
}

impl Runtime for ManualRuntime {
    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        let timer = Arc::clone(&self.timer);
        let until = lock(&timer).now + duration;
        Box::pin(poll_fn(move |cx| {
            let mut timer = lock(&timer);
            if timer.now >= until {
                return Poll::Ready(());
            }
            timer.sleepers.push(cx.waker().clone());
            Poll::Pending
        }))
    }

    fn spawn(&self, task: BoxFuture<()>) {
        lock(&self.tasks).push(task);
    }
}

impl fmt::Debug for ManualRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualRuntime")
            .field("now", &lock(&self.timer).now)
            .field("tasks", &self.tasks())
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
