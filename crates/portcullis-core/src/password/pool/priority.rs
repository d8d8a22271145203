//! Lets hashing threads give way to threads that serve requests.

/// Lowers the priority of the calling thread, where that can be done for one thread.
#[cfg(target_os = "linux")]
pub(super) fn lower() {
    // On Linux "process" 0 is the calling thread (setpriority(2), "C library/kernel differences").
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "hashing threads keep their priority");
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn lower() {}

/// A tenth of the processor time of a thread at 0 that competes for it (`sched(7)`, weights).
#[cfg(target_os = "linux")]
const NICE: i32 = 10;
