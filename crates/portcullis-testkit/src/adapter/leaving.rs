//! Clients that do not wait for their answer.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::SystemTime;

use portcullis_core::memory::MemoryThrottleStore;
use portcullis_core::password::{Arena, HashPoolConfig, PasswordHash, PasswordHasher, Verdict};
use portcullis_core::store::{ThrottleKey, ThrottleRecord, ThrottleStore};
use portcullis_core::{Error, HashPool, Throttle, TokenEndpoint, async_trait};
use tokio::sync::watch;

use super::client::Request;
use super::{Adapter, AdapterApp, RIGHT};
use crate::fake_hasher::{FakeHasher, HashWork};
use crate::fake_tokens::FakeTokens;
use crate::fastapi;
use crate::property::equal;
use crate::suite::{Outcome, Subject};

/// A login whose client goes away before its turn is not hashed, and does not count for the
/// throttle: the adapter drops its request, and runs what remains of it.
///
/// # Errors
/// How the property was violated.
pub async fn a_login_whose_client_has_gone_is_neither_hashed_nor_counted(
    subject: &Subject<dyn Adapter>,
) -> Outcome {
    let hasher = Arc::new(NotedHasher::default());
    let mut config = HashPoolConfig::default();
    config.threads = NonZeroUsize::MIN;
    let pool = HashPool::new(Arc::clone(&hasher) as _, config)?;
    let authenticator = fastapi::authenticator(pool).await?;
    let store = Arc::new(NotedThrottleStore::default());
    let endpoint = TokenEndpoint::new(authenticator, Arc::new(FakeTokens::new()))
        .with_throttle(Throttle::new(Arc::clone(&store) as _));
    let site = AdapterApp::new(endpoint).start(subject)?;

    // An authenticator tries its hasher first.
    let tried = *hasher.begun.borrow();
    let _ = hasher.fake.take_work();
    hasher.fake.hold();
    let _held = Held(&hasher.fake);
    let staying = Request::post("/v1/login", "username=bob&password=wrong");
    let staying = site.begin(&staying).await?;
    reaches(&hasher.begun, tried + 1).await;
    // As many as the throttle takes, before others would have to wait.
    let login = Request::post("/v1/login", RIGHT);
    let mut going = Vec::new();
    for nth in 1..=FREE {
        going.push(site.begin(&login).await?);
        // That of who stays is one too.
        reaches(&store.written, 1 + nth).await;
    }
    drop(going);
    site.in_flight.reaches(1).await;
    hasher.fake.release();

    equal("who stays", &staying.answer().await?.status, &401)?;
    // What remains of those who have gone is tasks of the runtime, which take no longer than a few of
    // these requests. Refused by the throttle, one changes nothing.
    let mut status = 0;
    for _ in 0..TRIES {
        status = site.send(&login).await?.status;
        if status == 200 {
            break;
        }
    }
    equal("the same login later", &status, &200)?;
    let work = hasher.fake.take_work();
    equal("the work", &work, &vec![HashWork::Verify { cost: 1 }; 2])
}

/// [`ThrottlePolicy::delay_from`](portcullis_core::throttle::ThrottlePolicy::delay_from) by default.
const FREE: usize = 5;

const TRIES: usize = 1000;

async fn reaches(count: &watch::Sender<usize>, at_least: usize) {
    // The sender is not dropped while this waits, which would be the only error.
    let _ = count.subscribe().wait_for(|now| *now >= at_least).await;
}

/// Lets the work go on, however a property ends: else a thread would wait for ever.
struct Held<'a>(&'a FakeHasher);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// Says when a password begins to be checked.
#[derive(Debug, Default)]
struct NotedHasher {
    fake: FakeHasher,
    begun: watch::Sender<usize>,
}

impl PasswordHasher for NotedHasher {
    fn hash(&self, password: &[u8], arena: &mut Arena) -> Result<PasswordHash, Error> {
        self.fake.hash(password, arena)
    }

    fn verify(
        &self,
        password: &[u8],
        hash: &PasswordHash,
        arena: &mut Arena,
    ) -> Result<Verdict, Error> {
        self.begun.send_modify(|begun| *begun += 1);
        self.fake.verify(password, hash, arena)
    }

    fn attack_cost(&self, hash: &PasswordHash) -> Option<f64> {
        self.fake.attack_cost(hash)
    }

    fn needs_rehash(&self, hash: &PasswordHash) -> bool {
        self.fake.needs_rehash(hash)
    }
}

/// Says when an attempt is counted, or taken back.
#[derive(Debug, Default)]
struct NotedThrottleStore {
    records: MemoryThrottleStore,
    written: watch::Sender<usize>,
}

#[async_trait]
impl ThrottleStore for NotedThrottleStore {
    async fn find(&self, key: &ThrottleKey) -> Result<Option<ThrottleRecord>, Error> {
        self.records.find(key).await
    }

    async fn replace(
        &self,
        key: &ThrottleKey,
        old: Option<&ThrottleRecord>,
        new: &ThrottleRecord,
        expires_at: SystemTime,
    ) -> Result<bool, Error> {
        let replaced = self.records.replace(key, old, new, expires_at).await?;
        if replaced {
            self.written.send_modify(|written| *written += 1);
        }
        Ok(replaced)
    }

    async fn delete_expired(&self, now: SystemTime, limit: u32) -> Result<u32, Error> {
        self.records.delete_expired(now, limit).await
    }
}
