//! What the core takes from axum's runtime, which is tokio.

use std::time::Duration;

use portcullis_core::adapter::{BoxFuture, Runtime};
use tokio::runtime::Handle;

#[derive(Debug)]
pub(crate) struct AxumRuntime;

impl Runtime for AxumRuntime {
    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn spawn(&self, task: BoxFuture<()>) {
        // There is none where a request is dropped with its runtime.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(task);
        }
    }
}
