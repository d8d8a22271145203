//! Password hashing that takes no time and hides nothing.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portcullis_core::password::{Arena, PasswordHash, PasswordHasher, Verdict};
use portcullis_core::{Error, ErrorKind};

use crate::manual_clock::ManualClock;

/// A hasher whose hashes are `$fake$<cost>$<password in hex>`: the same for the same password,
/// and **readable by anybody**.
///
/// It remembers the work it was given, so that a test can compare what two logins cost.
///
/// ```
/// use portcullis_core::password::{Arena, PasswordHasher, Verdict};
/// use portcullis_testkit::{FakeHasher, HashWork};
///
/// let hasher = FakeHasher::new(1);
/// let arena = &mut Arena::new();
/// let hash = hasher.hash(b"secret", arena)?;
/// assert_eq!(hash.expose(), "$fake$1$736563726574");
/// assert_eq!(hasher.verify(b"guess", &hash, arena)?, Verdict::Mismatch);
///
/// hasher.set_cost(2);
/// assert!(hasher.needs_rehash(&hash));
/// assert_eq!(
///     hasher.take_work(),
///     [HashWork::Hash { cost: 1 }, HashWork::Verify { cost: 1 }],
/// );
/// # Ok::<(), portcullis_core::Error>(())
/// ```
#[derive(Debug)]
pub struct FakeHasher {
    cost: AtomicU32,
    work: Mutex<Vec<HashWork>>,
    clock: Option<Arc<ManualClock>>,
    held: Mutex<Held>,
    changed: Condvar,
}

/// Whether work waits, and how much of it does.
#[derive(Debug, Default)]
struct Held {
    held: bool,
    waiting: usize,
}

/// One step of work that a [`FakeHasher`] did.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the methods of `PasswordHasher` that cost anything"
)]
pub enum HashWork {
    /// A new hash was made.
    Hash {
        /// The cost of the new hash.
        cost: u32,
    },
    /// A password was compared with a hash.
    Verify {
        /// The cost in the hash.
        cost: u32,
    },
}

impl FakeHasher {
    /// Makes a hasher whose new hashes have `cost`. It is only a number: nothing gets slower,
    /// unless [`with_clock`](Self::with_clock) says so.
    #[must_use]
    pub fn new(cost: u32) -> Self {
        Self {
            cost: AtomicU32::new(cost),
            work: Mutex::default(),
            clock: None,
            held: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Makes each step of work take as many seconds on `clock` as it costs.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<ManualClock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Changes the cost of new hashes; older ones then need a rehash.
    pub fn set_cost(&self, cost: u32) {
        self.cost.store(cost, Ordering::SeqCst);
    }

    /// Lets no step of work begin until [`release`](Self::release): the thread waits. So a pool is
    /// kept busy for as long as a test wants; an inline pool would keep the test itself.
    pub fn hold(&self) {
        self.held().held = true;
    }

    /// Blocks until a step of work has begun and is held.
    pub fn wait_for_work(&self) {
        let waiting = self
            .changed
            .wait_while(self.held(), |held| held.waiting == 0);
        drop(waiting.unwrap_or_else(PoisonError::into_inner));
    }

    /// Lets work begin again.
    pub fn release(&self) {
        self.held().held = false;
        self.changed.notify_all();
    }

    /// Takes the work done since the last call, in order. A hash that could not be read was none.
    #[must_use]
    pub fn take_work(&self) -> Vec<HashWork> {
        std::mem::take(&mut self.work())
    }

    fn cost(&self) -> u32 {
        self.cost.load(Ordering::SeqCst)
    }

    fn did(&self, work: HashWork) {
        let mut held = self.held();
        held.waiting += 1;
        self.changed.notify_all();
        let held = self.changed.wait_while(held, |held| held.held);
        held.unwrap_or_else(PoisonError::into_inner).waiting -= 1;
        self.work().push(work);
        let (HashWork::Hash { cost } | HashWork::Verify { cost }) = work;
        if let Some(clock) = &self.clock {
            clock.advance(Duration::from_secs(cost.into()));
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) -> MutexGuard<'_, Vec<HashWork>> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for FakeHasher {
    fn default() -> Self {
        Self::new(1)
    }
}

impl PasswordHasher for FakeHasher {
    fn hash(&self, password: &[u8], _: &mut Arena) -> Result<PasswordHash, Error> {
        let cost = self.cost();
        self.did(HashWork::Hash { cost });
        Ok(PasswordHash::new(format!("$fake${cost}${}", hex(password))))
    }

    fn verify(
        &self,
        password: &[u8],
        hash: &PasswordHash,
        _: &mut Arena,
    ) -> Result<Verdict, Error> {
        let (cost, digest) = parse(hash)
            .ok_or_else(|| Error::new(ErrorKind::Corrupt, "the password hash is not a fake one"))?;
        self.did(HashWork::Verify { cost });
        Ok(if digest == hex(password) {
            Verdict::Match
        } else {
            Verdict::Mismatch
        })
    }

    fn attack_cost(&self, hash: &PasswordHash) -> Option<f64> {
        parse(hash).map(|(cost, _)| cost.into())
    }

    fn needs_rehash(&self, hash: &PasswordHash) -> bool {
        parse(hash).is_none_or(|(cost, _)| cost != self.cost())
    }
}

fn parse(hash: &PasswordHash) -> Option<(u32, &str)> {
    let (cost, digest) = hash.expose().strip_prefix("$fake$")?.split_once('$')?;
    let is_hex = digest.len().is_multiple_of(2) && digest.bytes().all(|b| b.is_ascii_hexdigit());
    Some((cost.parse().ok()?, is_hex.then_some(digest)?))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        // Writing to a `String` does not fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
