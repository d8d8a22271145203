//! Runs password hashing on threads of its own, behind a bounded queue.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::{Arena, Argon2Params, Argon2idHasher, PasswordHash, PasswordHasher, Verdict};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind};
use crate::secret::Secret;

/// A pool of hashing threads with one FIFO queue. Clones share it; the last one to be dropped
/// stops the threads.
///
/// Memory is bounded by threads times the largest hash, whatever the load, because each thread
/// reuses one [`Arena`]. Time is bounded too: a request that finds the queue full, or that would
/// wait longer than the deadline, is refused with [`ErrorKind::Overloaded`] and a `Retry-After`
/// before any work is done. A request whose caller has gone is skipped.
///
/// Needs no async runtime: its futures are woken by the threads and may be awaited anywhere.
#[derive(Clone)]
pub struct HashPool {
    shared: Arc<Shared>,
    // Dropped with the last clone; the threads themselves hold only `shared`.
    _stop: Option<Arc<StopOnDrop>>,
}

impl HashPool {
    /// Starts the threads.
    ///
    /// # Errors
    /// `Unavailable` if the system gives no thread; those already started are stopped.
    pub fn new(hasher: Arc<dyn PasswordHasher>, config: HashPoolConfig) -> Result<Self, Error> {
        let threads = config.threads.get();
        let shared = Arc::new(Shared::new(hasher, config));
        let stop = Arc::new(StopOnDrop(Arc::clone(&shared)));
        for n in 0..threads {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name(format!("portcullis-{n}"))
                .spawn(move || shared.work())
                .map_err(|source| {
                    Error::new(ErrorKind::Unavailable, "no thread for password hashing")
                        .with_source(source)
                })?;
        }
        Ok(Self {
            shared,
            _stop: Some(stop),
        })
    }

    /// Starts a pool as most services want it: Argon2id at the default parameters, a thread for
    /// each processor.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn argon2id() -> Result<Self, Error> {
        let hasher = Argon2idHasher::new(Argon2Params::default());
        Self::new(Arc::new(hasher), HashPoolConfig::default())
    }

    /// Makes a pool without threads: each hash runs on the thread that asks for it, one at a time,
    /// and blocks it. For tests, benchmarks and command-line tools; in a server it would stall
    /// every other request.
    #[must_use]
    pub fn inline(hasher: Arc<dyn PasswordHasher>) -> Self {
        Self {
            shared: Arc::new(Shared::new(hasher, HashPoolConfig::default())),
            _stop: None,
        }
    }

    /// Hashes a password with a new salt at the current parameters.
    ///
    /// Cancellation safe: a dropped future that has not begun to hash never does.
    ///
    /// # Errors
    /// `Overloaded` if refused, `Unavailable` if there is no memory or randomness, `Internal` if
    /// the hasher panicked.
    pub async fn hash(&self, password: Secret) -> Result<PasswordHash, Error> {
        self.run(move |hasher, arena| hasher.hash(password.expose().as_bytes(), arena))
            .await?
    }

    /// Tells whether `password` is the one that `hash` was made from.
    ///
    /// Cancellation safe: a dropped future that has not begun to hash never does.
    ///
    /// # Errors
    /// As [`PasswordHasher::verify`], and as [`hash`](Self::hash).
    pub async fn verify(&self, password: Secret, hash: PasswordHash) -> Result<Verdict, Error> {
        self.run(move |hasher, arena| hasher.verify(password.expose().as_bytes(), &hash, arena))
            .await?
    }

    /// Runs `work` on a hashing thread.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn PasswordHasher, &mut Arena) -> T + Send + 'static,
    ) -> Result<T, Error> {
        self.submit(work)?.await.unwrap_or_else(|_| Err(gone()))
    }

    /// As [`run`](Self::run), but blocks the calling thread until the answer is there.
    pub(crate) fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn PasswordHasher, &mut Arena) -> T + Send + 'static,
    ) -> Result<T, Error> {
        self.submit(work)?.recv().unwrap_or_else(|_| Err(gone()))
    }

    fn submit<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn PasswordHasher, &mut Arena) -> T + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<T, Error>>, Error> {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |turn| {
            let Turn::Run(hasher, arena) = turn else {
                let _ = sender.send(Err(overloaded(Duration::ZERO)));
                return Ran::No;
            };
            if sender.is_closed() {
                return Ran::No;
            }
            let _ = sender.send(Ok(work(hasher, arena)));
            Ran::Yes
        });
        if self._stop.is_some() {
            self.shared.enqueue(job)?;
        } else {
            self.shared.run_inline(job);
        }
        Ok(receiver)
    }
}

impl fmt::Debug for HashPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashPool")
            .field("hasher", &self.shared.hasher)
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}

/// How a [`HashPool`] is laid out.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HashPoolConfig {
    /// How many hashes run at once. Default: the processors this process may use.
    pub threads: NonZeroUsize,
    /// How many requests may wait. Default 1,000.
    pub queue: usize,
    /// How long a request may wait before it is hashed. Default 3 s.
    pub deadline: Duration,
    /// Measures waiting and hashing.
    pub clock: Arc<dyn Clock>,
}

impl Default for HashPoolConfig {
    fn default() -> Self {
        Self {
            threads: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            queue: 1_000,
            deadline: Duration::from_secs(3),
            clock: Arc::new(SystemClock),
        }
    }
}

type Job = Box<dyn FnOnce(Turn<'_>) -> Ran + Send>;

/// What a job is told when it leaves the queue.
enum Turn<'a> {
    Late,
    Run(&'a dyn PasswordHasher, &'a mut Arena),
}

/// Whether a job did the work, so that its time counts.
#[derive(PartialEq)]
enum Ran {
    No,
    Yes,
}

struct Shared {
    hasher: Arc<dyn PasswordHasher>,
    config: HashPoolConfig,
    state: Mutex<State>,
    // Signalled when a job is queued or the pool stops.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    // Each with the monotonic time it was queued at.
    jobs: VecDeque<(Duration, Job)>,
    running: usize,
    stopped: bool,
    mean_service: Duration,
    // Of an inline pool; a thread's arena lives on its stack.
    inline_arena: Arena,
}

impl Shared {
    fn new(hasher: Arc<dyn PasswordHasher>, config: HashPoolConfig) -> Self {
        Self {
            hasher,
            config,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    // Jobs run outside the lock (but for an inline pool's, whose panics are caught), so what a
    // poisoned lock guards is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enqueue(&self, job: Job) -> Result<(), Error> {
        let now = self.config.clock.monotonic();
        let mut state = self.lock();
        let wait = state.estimated_wait(self.config.threads.get());
        if state.jobs.len() >= self.config.queue || wait > self.config.deadline {
            return Err(overloaded(wait));
        }
        state.jobs.push_back((now, job));
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    fn work(&self) {
        let mut arena = Arena::new();
        while let Some((queued_at, job)) = self.next_job() {
            let started = self.config.clock.monotonic();
            let late = started.saturating_sub(queued_at) > self.config.deadline;
            let ran = self.run(job, late, &mut arena);
            let service = self.config.clock.monotonic().saturating_sub(started);
            let mut state = self.lock();
            state.running -= 1;
            if ran == Ran::Yes {
                state.record(service);
            }
        }
    }

    fn next_job(&self) -> Option<(Duration, Job)> {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return None;
            }
            if let Some(job) = state.jobs.pop_front() {
                state.running += 1;
                return Some(job);
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn run_inline(&self, job: Job) {
        let mut state = self.lock();
        self.run(job, false, &mut state.inline_arena);
    }

    /// A hasher that panics answers `Internal` (its sender is dropped) and costs no thread.
    fn run(&self, job: Job, late: bool, arena: &mut Arena) -> Ran {
        let turn = if late {
            Turn::Late
        } else {
            Turn::Run(self.hasher.as_ref(), arena)
        };
        catch_unwind(AssertUnwindSafe(|| job(turn))).unwrap_or_else(|_| {
            tracing::error!("a password hasher panicked");
            Ran::No
        })
    }
}

impl State {
    fn estimated_wait(&self, threads: usize) -> Duration {
        if self.running < threads {
            return Duration::ZERO;
        }
        // In half services: a running one has on average half of its time before it.
        let halves = saturating_u32(self.jobs.len() * 2 + self.running);
        self.mean_service.saturating_mul(halves) / saturating_u32(threads * 2)
    }

    /// Moves the mean by an eighth of the difference, as TCP does for round trips (RFC 6298 §2).
    fn record(&mut self, service: Duration) {
        self.mean_service = if self.mean_service.is_zero() {
            service
        } else {
            self.mean_service.saturating_mul(7).saturating_add(service) / 8
        };
    }
}

struct StopOnDrop(Arc<Shared>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.stopped = true;
        // A call borrows a pool until it is answered, so nobody waits for these any more.
        let jobs = mem::take(&mut state.jobs);
        drop(state);
        self.0.changed.notify_all();
        drop(jobs);
    }
}

fn overloaded(wait: Duration) -> Error {
    Error::new(
        ErrorKind::Overloaded,
        "too many logins are waiting to be hashed",
    )
    .with_retry_after(wait.max(Duration::from_secs(1)))
}

fn saturating_u32(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn gone() -> Error {
    Error::new(ErrorKind::Internal, "the hash pool gave no answer")
}
