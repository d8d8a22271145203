//! The two services that the core takes from an adapter's async runtime.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

/// A future that owns all that it needs, as a runtime takes it.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// What the core needs of an async runtime, and cannot do itself: a timer, for the deadline of
/// bodies, and a way to run a task that outlives the request, for logins whose client goes away.
///
/// An adapter implements it, over the runtime of its framework.
pub trait Runtime: Debug + Send + Sync + 'static {
    /// Returns a future that is ready after `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<()>;

    /// Runs `task` to its end, whatever becomes of the request that it comes of. It is called while a
    /// future is being dropped, so it must not panic; where no task can be run any more, as while the
    /// runtime shuts down, it may drop `task`.
    fn spawn(&self, task: BoxFuture<()>);
}

/// Whether the client of a request still waits for the answer. By default it does until the end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caller(Option<Arc<AtomicBool>>);

impl Caller {
    /// One that may go.
    pub(crate) fn that_may_go() -> Self {
        Self(Some(Arc::default()))
    }

    pub(crate) fn has_gone(&self) -> bool {
        let gone = self.0.as_ref();
        gone.is_some_and(|gone| gone.load(Ordering::Acquire))
    }

    fn leave(&self) {
        if let Some(gone) = &self.0 {
            gone.store(true, Ordering::Release);
        }
    }
}

/// A future that goes on as a task of `runtime` if it is dropped before its end. Its `caller` has
/// gone from then on, which it can find out and end early.
pub(crate) struct Outliving<T: Send + 'static> {
    future: Option<BoxFuture<T>>,
    caller: Caller,
    runtime: &'static dyn Runtime,
}

impl<T: Send + 'static> Outliving<T> {
    pub(crate) fn new(
        caller: Caller,
        runtime: &'static dyn Runtime,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Self {
        Self {
            future: Some(Box::pin(future)),
            caller,
            runtime,
        }
    }
}

impl<T: Send + 'static> Future for Outliving<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        // Taken out, so that one that panics is not polled again.
        let Some(mut future) = self.future.take() else {
            return Poll::Pending;
        };
        let answer = future.as_mut().poll(cx);
        if answer.is_pending() {
            self.future = Some(future);
        }
        answer
    }
}

impl<T: Send + 'static> Drop for Outliving<T> {
    fn drop(&mut self) {
        // A runtime of somebody else's is not asked for anything while a panic unwinds.
        if std::thread::panicking() {
            return;
        }
        if let Some(future) = self.future.take() {
            self.caller.leave();
            self.runtime.spawn(Box::pin(async move {
                future.await;
            }));
        }
    }
}
