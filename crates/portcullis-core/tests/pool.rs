//! The bounds of the hash pool, shown with hashers that wait until they are told.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::{Duration, SystemTime};

use portcullis_core::password::{
    Arena, HashPoolConfig, HashPoolMetrics, PasswordHash, PasswordHasher, Verdict,
};
use portcullis_core::{BoxError, Error, ErrorKind, HashPool, Secret};
use portcullis_testkit::ManualClock;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_pool_hashes_and_verifies() -> Result<(), BoxError> {
    let pool = HashPool::argon2id()?;
    let hash = pool.hash(secret("right")).await?;
    assert_eq!(
        pool.verify(secret("right"), hash.clone()).await?,
        Verdict::Match
    );
    assert_eq!(pool.verify(secret("wrong"), hash).await?, Verdict::Mismatch);
    Ok(())
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let stage = Stage::new(|config| config.queue = 2);
    let running = stage.start("running");
    stage.wait_until_begun("running");
    let waiting = [stage.start("first"), stage.start("second")];

    let refused = stage.pool.hash(secret("third")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Overloaded);
    assert!(refused.retry_after() >= Some(SECOND));

    stage.finish(3);
    assert!(running.await.unwrap().is_ok());
    for task in waiting {
        assert!(task.await.unwrap().is_ok());
    }
    assert_eq!(
        stage.begun(),
        ["first", "second"],
        "queued in order; the refused never ran"
    );
}

#[tokio::test]
async fn without_a_queue_idle_threads_still_hash() {
    let stage = Stage::new(|config| config.queue = 0);
    let running = stage.start("running");
    stage.wait_until_begun("running");
    let refused = stage.pool.hash(secret("second")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Overloaded);
    stage.finish(1);
    assert!(running.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_wait_longer_than_the_deadline_is_refused_at_once() {
    let stage = Stage::new(|config| config.deadline = 3 * SECOND);
    // One hash of 2 s teaches the pool what to expect.
    let first = stage.start("first");
    stage.wait_until_begun("first");
    stage.clock.advance(2 * SECOND);
    stage.finish(1);
    assert!(first.await.unwrap().is_ok());

    let running = stage.start("running");
    stage.wait_until_begun("running");
    // Half of the running one and none, then one, before it: 1 s, 3 s.
    let waiting = [stage.start("second"), stage.start("third")];
    let refused = stage.pool.hash(secret("fourth")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Overloaded);
    assert_eq!(refused.retry_after(), Some(5 * SECOND));

    stage.finish(3);
    assert!(running.await.unwrap().is_ok());
    for task in waiting {
        assert!(task.await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn what_waited_longer_than_the_deadline_is_refused_and_not_late() {
    let stage = Stage::new(|config| config.deadline = 3 * SECOND);
    let running = stage.start("running");
    stage.wait_until_begun("running");
    let late = stage.start("late");
    stage.clock.advance(4 * SECOND);
    stage.finish(1);
    assert!(running.await.unwrap().is_ok());
    assert_eq!(
        late.await.unwrap().unwrap_err().kind(),
        ErrorKind::Overloaded
    );
    assert!(stage.begun().is_empty());
}

#[tokio::test]
async fn a_caller_that_has_gone_is_not_hashed_for() {
    let stage = Stage::new(|_| {});
    let running = stage.start("running");
    stage.wait_until_begun("running");
    {
        let mut gone = pin!(stage.pool.hash(secret("gone")));
        let polled = gone.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
    }
    let next = stage.start("next");
    stage.finish(2);
    assert!(running.await.unwrap().is_ok());
    assert!(next.await.unwrap().is_ok());
    assert_eq!(stage.begun(), ["next"]);
}

#[tokio::test]
async fn a_panicking_hasher_is_internal_and_costs_no_thread() {
    let stage = Stage::new(|_| {});
    for _ in 0..3 {
        let task = stage.start("panic");
        stage.finish(1);
        assert_eq!(task.await.unwrap().unwrap_err().kind(), ErrorKind::Internal);
    }
    let next = stage.start("next");
    stage.finish(1);
    assert!(next.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_draining_pool_finishes_what_it_took_and_takes_no_more() {
    let stage = Stage::new(|_| {});
    let running = stage.start("running");
    stage.wait_until_begun("running");
    let waiting = stage.start("waiting");
    let mut drained = pin!(stage.pool.drain());
    let context = &mut Context::from_waker(Waker::noop());
    assert!(drained.as_mut().poll(context).is_pending());

    let late = stage.pool.hash(secret("late")).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Unavailable);
    stage.finish(2);
    drained.await;
    assert!(running.await.unwrap().is_ok());
    assert!(waiting.await.unwrap().is_ok());
    stage.pool.drain().await;
}

#[tokio::test]
async fn the_metrics_count_each_request_once() {
    let stage = Stage::new(|config| {
        config.queue = 3;
        config.deadline = 3 * SECOND;
    });
    let running = stage.start("running");
    stage.wait_until_begun("running");
    let waiting = stage.start("waiting");
    {
        let mut gone = pin!(stage.pool.hash(secret("gone")));
        let context = &mut Context::from_waker(Waker::noop());
        assert!(gone.as_mut().poll(context).is_pending());
    }
    let late = stage.start("late");
    assert!(stage.pool.hash(secret("refused")).await.is_err());
    let metrics = stage.pool.metrics();
    assert_eq!((metrics.queued, metrics.running), (3, 1));

    stage.clock.advance(2 * SECOND);
    stage.finish(1);
    assert!(running.await.unwrap().is_ok());
    stage.wait_until_begun("waiting");
    stage.clock.advance(2 * SECOND);
    stage.finish(1);
    assert!(waiting.await.unwrap().is_ok());
    assert!(late.await.unwrap().is_err());
    stage.pool.drain().await;

    let mut expected = HashPoolMetrics::default();
    expected.done = 2;
    expected.refused = 2;
    expected.skipped = 1;
    expected.waited = 2 * SECOND;
    expected.served = 4 * SECOND;
    assert_eq!(stage.pool.metrics(), expected);
}

/// A pool of one thread whose hasher reports each hash and waits to be told to finish it.
struct Stage {
    pool: HashPool,
    clock: Arc<ManualClock>,
    begun: Mutex<Receiver<String>>,
    finish: Sender<()>,
}

impl Stage {
    fn new(change: impl FnOnce(&mut HashPoolConfig)) -> Self {
        let (begin, begun) = channel();
        let (finish, finished) = channel();
        let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
        let mut config = HashPoolConfig::default();
        config.threads = NonZeroUsize::MIN;
        config.clock = Arc::clone(&clock) as _;
        change(&mut config);
        let hasher = StagedHasher {
            begin: Mutex::new(begin),
            finished: Mutex::new(finished),
        };
        Self {
            pool: HashPool::new(Arc::new(hasher), config).unwrap(),
            clock,
            begun: Mutex::new(begun),
            finish,
        }
    }

    /// Submits a hash, and returns once it is queued.
    fn start(&self, name: &str) -> tokio::task::JoinHandle<Result<PasswordHash, Error>> {
        let (pool, name) = (self.pool.clone(), secret(name));
        let mut hash = Box::pin(async move { pool.hash(name).await });
        let polled = hash.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        tokio::spawn(hash)
    }

    fn wait_until_begun(&self, name: &str) {
        assert_eq!(self.begun.lock().unwrap().recv().unwrap(), name);
    }

    fn finish(&self, hashes: usize) {
        for _ in 0..hashes {
            self.finish.send(()).unwrap();
        }
    }

    /// What has begun since it was last asked.
    fn begun(&self) -> Vec<String> {
        self.begun.lock().unwrap().try_iter().collect()
    }
}

#[derive(Debug)]
struct StagedHasher {
    begin: Mutex<Sender<String>>,
    finished: Mutex<Receiver<()>>,
}

impl PasswordHasher for StagedHasher {
    fn hash(&self, password: &[u8], _: &mut Arena) -> Result<PasswordHash, Error> {
        let name = String::from_utf8(password.to_vec()).unwrap();
        self.begin.lock().unwrap().send(name.clone()).unwrap();
        self.finished.lock().unwrap().recv().unwrap();
        assert_ne!(name, "panic");
        Ok(PasswordHash::new(name))
    }

    fn verify(&self, _: &[u8], _: &PasswordHash, _: &mut Arena) -> Result<Verdict, Error> {
        Ok(Verdict::Mismatch)
    }

    fn attack_cost(&self, _: &PasswordHash) -> Option<f64> {
        Some(1.0)
    }

    fn needs_rehash(&self, _: &PasswordHash) -> bool {
        false
    }
}

fn secret(text: &str) -> Secret {
    Secret::from(text.to_owned())
}
