//! Runs password hashing on threads of its own, behind a bounded queue.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::{Arena, Argon2Params, Argon2idHasher, PasswordHash, PasswordHasher, Verdict};
use crate::adapter::Caller;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind};
use crate::secret::Secret;

mod priority;
mod queue;

use queue::{Ended, Job, Queue, overloaded};

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
    queue: Arc<Queue>,
    threads: Threads,
}

/// Who runs the jobs of a pool.
#[derive(Clone)]
enum Threads {
    /// Whoever brings them.
    Inline,
    /// Threads, which hold only the queue; they end with the last clone of this.
    Own { _stop: Arc<StopOnDrop> },
}

impl HashPool {
    /// Starts the threads.
    ///
    /// # Errors
    /// `Unavailable` if the system gives no thread; those already started are stopped.
    pub fn new(hasher: Arc<dyn PasswordHasher>, config: HashPoolConfig) -> Result<Self, Error> {
        let (threads, priority) = (config.threads.get(), config.priority);
        let queue = Arc::new(Queue::new(hasher, config));
        let stop = Arc::new(StopOnDrop(Arc::clone(&queue)));
        for n in 0..threads {
            let queue = Arc::clone(&queue);
            thread::Builder::new()
                .name(format!("portcullis-{n}"))
                .spawn(move || {
                    if priority == ThreadPriority::Lowered {
                        priority::lower();
                    }
                    queue.work();
                })
                .map_err(|source| {
                    Error::new(ErrorKind::Unavailable, "no thread for password hashing")
                        .with_source(source)
                })?;
        }
        Ok(Self {
            queue,
            threads: Threads::Own { _stop: stop },
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
            queue: Arc::new(Queue::new(hasher, HashPoolConfig::default())),
            threads: Threads::Inline,
        }
    }

    /// Hashes a password with a new salt at the current parameters.
    ///
    /// Cancellation safe: a dropped future that has not begun to hash never does.
    ///
    /// # Errors
    /// `Overloaded` if refused, `Unavailable` if there is no memory or randomness or the pool
    /// drains, `Internal` if the hasher panicked.
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

    /// Takes no more work and waits until all that was taken is done; for the end of a service.
    /// From then on every call fails with `Unavailable`.
    ///
    /// Cancellation safe: dropped early, the pool drains all the same.
    pub async fn drain(&self) {
        // The sender is dropped with the answer, or without one when the pool is gone: done either
        // way.
        let _ = self.queue.drain().await;
    }

    /// Counts what the pool has done so far.
    #[must_use]
    pub fn metrics(&self) -> HashPoolMetrics {
        self.queue.metrics()
    }

    /// Refuses now what `run` would refuse, before its caller has gone to any trouble.
    pub(crate) fn admit(&self) -> Result<(), Error> {
        self.queue.admit()
    }

    /// The clock that hashing is measured by.
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        self.queue.clock()
    }

    /// Runs `work` on a hashing thread.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn PasswordHasher, &mut Arena) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let answer = self.submit(None, work)?.await;
        answer.unwrap_or_else(|_| Err(gone()))
    }

    /// As [`run`](Self::run), for a request that may go on without its client: `None` if `caller` had
    /// gone before the work began, which was not done then.
    pub(crate) async fn run_for<T: Send + 'static>(
        &self,
        caller: &Caller,
        work: impl FnOnce(&dyn PasswordHasher, &mut Arena) -> T + Send + 'static,
    ) -> Result<Option<T>, Error> {
        match self.submit(Some(caller.clone()), work)?.await {
            Ok(answer) => answer.map(Some),
            Err(_) if caller.has_gone() => Ok(None),
            Err(_) => Err(gone()),
        }
    }

    /// As [`run`](Self::run), but blocks the calling thread until the answer is there.
    pub(crate) fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn PasswordHasher, &mut Arena) -> T + Send + 'static,
    ) -> Result<T, Error> {
        self.submit(None, work)?
            .recv()
            .unwrap_or_else(|_| Err(gone()))
    }

    fn submit<T: Send + 'static>(
        &self,
        caller: Option<Caller>,
        work: impl FnOnce(&dyn PasswordHasher, &mut Arena) -> T + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<T, Error>>, Error> {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |turn| {
            if sender.is_closed() || caller.is_some_and(|caller| caller.has_gone()) {
                return (turn.ended)(Ended::Skipped);
            }
            let answer = match turn.worker {
                Some((hasher, arena)) => {
                    let answer = work(hasher, arena);
                    (turn.ended)(Ended::Done);
                    Ok(answer)
                }
                None => {
                    (turn.ended)(Ended::Refused);
                    Err(overloaded(Duration::ZERO))
                }
            };
            // Nobody may want it any more.
            let _ = sender.send(answer);
        });
        match self.threads {
            Threads::Inline => self.queue.run_inline(job)?,
            Threads::Own { .. } => self.queue.push(job)?,
        }
        Ok(receiver)
    }
}

impl fmt::Debug for HashPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashPool")
            .field("queue", &self.queue)
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
    /// Whether the threads give way to others. Default: lowered.
    pub priority: ThreadPriority,
    /// Measures waiting and hashing.
    pub clock: Arc<dyn Clock>,
}

impl Default for HashPoolConfig {
    fn default() -> Self {
        Self {
            threads: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            queue: 1_000,
            deadline: Duration::from_secs(3),
            priority: ThreadPriority::default(),
            clock: Arc::new(SystemClock),
        }
    }
}

/// How hashing threads compete with the other threads of the machine.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ThreadPriority {
    /// They give way to threads that serve requests, which so stay quick while all processors hash.
    /// On Linux by nice value 10; elsewhere as [`Self::Normal`].
    #[default]
    Lowered,
    /// As every other thread.
    Normal,
}

/// What a [`HashPool`] has done since it was made, and what it has before it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct HashPoolMetrics {
    /// Requests that wait now.
    pub queued: usize,
    /// Requests that are hashed now.
    pub running: usize,
    /// Requests that were hashed.
    pub done: u64,
    /// Requests that were refused: the queue was full, or the wait too long.
    pub refused: u64,
    /// Requests that were not hashed, since their caller had gone.
    pub skipped: u64,
    /// How long all requests that were hashed waited before, together.
    pub waited: Duration,
    /// How long hashing them took, together.
    pub served: Duration,
}

struct StopOnDrop(Arc<Queue>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Internal, "the hash pool gave no answer")
}
