//! The queue of a pool: what is taken, in which order it runs, when it is refused.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{HashPoolConfig, HashPoolMetrics};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind};
use crate::password::{Arena, PasswordHasher};

pub(super) type Job = Box<dyn FnOnce(Turn<'_>) + Send>;

/// What a job is told when it leaves the queue.
pub(super) struct Turn<'a> {
    /// `None` if it waited too long.
    pub(super) worker: Option<(&'a dyn PasswordHasher, &'a mut Arena)>,
    /// To be called with what became of the job, before its caller is answered: who has an answer
    /// finds the thread free and the job counted.
    pub(super) ended: &'a dyn Fn(Ended),
}

/// What became of a job.
#[derive(Clone, Copy)]
pub(super) enum Ended {
    Done,
    Refused,
    Skipped,
}

pub(super) struct Queue {
    hasher: Arc<dyn PasswordHasher>,
    config: HashPoolConfig,
    state: Mutex<State>,
    // Signalled when a job is queued or the queue stops.
    changed: Condvar,
    // Of an inline pool; a thread's arena lives on its stack.
    inline_arena: Mutex<Arena>,
}

#[derive(Default)]
struct State {
    // Each with the monotonic time it was queued at.
    jobs: VecDeque<(Duration, Job)>,
    mean_service: Duration,
    draining: bool,
    stopped: bool,
    // Told once nothing is queued or runs any more.
    drained: Vec<oneshot::Sender<()>>,
    // `queued` is filled in when they are asked for.
    metrics: HashPoolMetrics,
}

impl Queue {
    pub(super) fn new(hasher: Arc<dyn PasswordHasher>, config: HashPoolConfig) -> Self {
        Self {
            hasher,
            config,
            state: Mutex::default(),
            changed: Condvar::new(),
            inline_arena: Mutex::default(),
        }
    }

    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        &self.config.clock
    }

    /// Refuses what could not be queued now.
    pub(super) fn admit(&self) -> Result<(), Error> {
        self.lock().admit(&self.config)
    }

    pub(super) fn push(&self, job: Job) -> Result<(), Error> {
        let now = self.config.clock.monotonic();
        let mut state = self.lock();
        state.admit(&self.config)?;
        state.jobs.push_back((now, job));
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// The life of a hashing thread.
    pub(super) fn work(&self) {
        let mut arena = Arena::new();
        while let Some((queued_at, job)) = self.pop() {
            self.run(job, queued_at, &mut arena);
        }
    }

    /// Runs a job on the calling thread. Its own lock makes jobs take turns.
    pub(super) fn run_inline(&self, job: Job) -> Result<(), Error> {
        let mut arena = self
            .inline_arena
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut state = self.lock();
        state.refuse_if_draining()?;
        state.metrics.running += 1;
        drop(state);
        self.run(job, self.config.clock.monotonic(), &mut arena);
        Ok(())
    }

    pub(super) fn drain(&self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.lock();
        state.draining = true;
        state.drained.push(sender);
        state.tell_if_drained();
        receiver
    }

    pub(super) fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        // A call borrows a pool until it is answered, so nobody waits for these any more.
        let jobs = mem::take(&mut state.jobs);
        drop(state);
        self.changed.notify_all();
        drop(jobs);
    }

    pub(super) fn metrics(&self) -> HashPoolMetrics {
        let state = self.lock();
        let mut metrics = state.metrics;
        metrics.queued = state.jobs.len();
        metrics
    }

    fn pop(&self) -> Option<(Duration, Job)> {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return None;
            }
            if let Some(job) = state.jobs.pop_front() {
                state.metrics.running += 1;
                return Some(job);
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A hasher that panics answers `Internal` (its sender is dropped) and costs no thread.
    fn run(&self, job: Job, queued_at: Duration, arena: &mut Arena) {
        let started = self.config.clock.monotonic();
        let waited = started.saturating_sub(queued_at);
        let in_time = waited <= self.config.deadline;
        let recorded = Cell::new(false);
        let ended = |ended| {
            let served = self.config.clock.monotonic().saturating_sub(started);
            self.lock().record(ended, waited, served);
            recorded.set(true);
        };
        let turn = Turn {
            worker: in_time.then_some((self.hasher.as_ref(), arena)),
            ended: &ended,
        };
        if catch_unwind(AssertUnwindSafe(|| job(turn))).is_err() {
            tracing::error!("a password hasher panicked");
            if !recorded.get() {
                ended(Ended::Done);
            }
        }
    }

    // Jobs run outside the lock, so what a poisoned lock guards is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("hasher", &self.hasher)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl State {
    fn admit(&mut self, config: &HashPoolConfig) -> Result<(), Error> {
        self.refuse_if_draining()?;
        let threads = config.threads.get();
        let wait = self.estimated_wait(threads);
        // What an idle thread is about to take does not wait.
        let idle = threads.saturating_sub(self.metrics.running);
        let room = config.queue.saturating_add(idle);
        if self.jobs.len() >= room || wait > config.deadline {
            self.metrics.refused += 1;
            return Err(overloaded(wait));
        }
        Ok(())
    }

    fn refuse_if_draining(&self) -> Result<(), Error> {
        if self.draining {
            return Err(
                Error::new(ErrorKind::Unavailable, "this node is shutting down")
                    .with_retry_after(Duration::from_secs(1)),
            );
        }
        Ok(())
    }

    fn estimated_wait(&self, threads: usize) -> Duration {
        if self.metrics.running < threads {
            return Duration::ZERO;
        }
        // In half services: a running one has on average half of its time before it.
        let halves = saturating_u32(self.jobs.len() * 2 + self.metrics.running);
        self.mean_service.saturating_mul(halves) / saturating_u32(threads * 2)
    }

    fn record(&mut self, ended: Ended, waited: Duration, served: Duration) {
        let metrics = &mut self.metrics;
        metrics.running -= 1;
        match ended {
            Ended::Refused => metrics.refused += 1,
            Ended::Skipped => metrics.skipped += 1,
            Ended::Done => {
                metrics.done += 1;
                metrics.waited = metrics.waited.saturating_add(waited);
                metrics.served = metrics.served.saturating_add(served);
                self.mean_service = moving_mean(self.mean_service, served);
            }
        }
        self.tell_if_drained();
    }

    fn tell_if_drained(&mut self) {
        if self.draining && self.jobs.is_empty() && self.metrics.running == 0 {
            for drained in self.drained.drain(..) {
                let _ = drained.send(());
            }
        }
    }
}

/// Moves the mean by an eighth of the difference, as TCP does for round trips (RFC 6298 §2).
fn moving_mean(mean: Duration, next: Duration) -> Duration {
    if mean.is_zero() {
        next
    } else {
        mean.saturating_mul(7).saturating_add(next) / 8
    }
}

pub(super) fn overloaded(wait: Duration) -> Error {
    Error::new(
        ErrorKind::Overloaded,
        "too many logins are waiting to be hashed",
    )
    .with_retry_after(wait.max(Duration::from_secs(1)))
}

fn saturating_u32(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
