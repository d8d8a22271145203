//! One server: reaches it, and reaches it again when it was lost.
//!
//! The driver's `ConnectionManager` does not do that: it answers the first call after an outage
//! with the error of the last attempt to connect, and never connects again if that was none of
//! I/O, such as a password refused; nor does it give up a connection on which nobody answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(feature = "tls")]
use redis::ConnectionAddr;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ProtocolVersion, PushInfo, PushKind,
    RedisError, RedisResult, Value,
};
#[cfg(feature = "tls")]
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::error::is_misdirected;
use crate::link::{Departure, Health, by};

/// One server, by one connection that all calls share.
pub(crate) struct Server {
    client: Client,
    link: Mutex<Option<Link>>,
    departure: Departure,
    generation: AtomicU64,
}

#[derive(Clone)]
struct Link {
    connection: MultiplexedConnection,
    health: Arc<Health>,
}

impl Server {
    pub(crate) fn new(address: ConnectionInfo) -> Result<Self, RedisError> {
        #[cfg(feature = "tls")]
        if let ConnectionAddr::TcpTls { .. } = address.addr() {
            choose_cryptography();
        }
        // In RESP3 the driver tells when a connection is closed.
        let settings = address.redis_settings().clone();
        let settings = settings.set_protocol(ProtocolVersion::RESP3);
        Ok(Self {
            client: Client::open(address.set_redis_settings(settings))?,
            link: Mutex::new(None),
            departure: Departure::default(),
            generation: AtomicU64::new(0),
        })
    }

    pub(crate) async fn send(&self, command: &Cmd, deadline: Instant) -> RedisResult<Value> {
        let mut link = by(deadline, self.link(deadline)).await?;
        let reply = by(deadline, command.query_async(&mut link.connection)).await;
        match &reply {
            // After a time-out too: perhaps the other end is gone without a word. Calls that wait
            // on this connection go on waiting; the next one makes another.
            Err(error) if error.is_io_error() => link.health.lost.store(true, Ordering::Relaxed),
            Err(error) if is_misdirected(error) => {
                link.health.refused.store(true, Ordering::Relaxed);
            }
            _ => {}
        }
        reply
    }

    /// The connection; a new one if there is none, it was lost, or it leads to who refuses. One call
    /// makes it, and the others wait.
    async fn link(&self, deadline: Instant) -> RedisResult<Link> {
        let mut current = self.link.lock().await;
        current.take_if(|link| link.health.lost.load(Ordering::Relaxed));
        let Some(link) = &*current else {
            return Ok(current.insert(self.connect().await?).clone());
        };
        if !self.departure.is_due(&link.health) {
            return Ok(link.clone());
        }
        // Who refuses changes answers look-ups still, which is better than nothing. There must be time
        // left to ask, for this call and for those that wait for it.
        let now = Instant::now();
        let a_while = deadline.saturating_duration_since(now) / 4;
        match by(now + a_while, self.connect()).await {
            Ok(link) => Ok(current.insert(link).clone()),
            Err(_) => {
                self.departure.postpone();
                Ok(link.clone())
            }
        }
    }

    /// How many connections there have been.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    async fn connect(&self) -> RedisResult<Link> {
        let health = Arc::new(Health::default());
        let closed = Arc::clone(&health);
        let config = AsyncConnectionConfig::new()
            // The deadline of the call holds.
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_push_sender(move |push: PushInfo| {
                if push.kind == PushKind::Disconnection {
                    closed.lost.store(true, Ordering::Relaxed);
                }
                Ok::<_, ()>(())
            });
        let connection = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        self.generation.fetch_add(1, Ordering::Relaxed);
        Ok(Link { connection, health })
    }
}

/// Where a build has several kinds of cryptography, rustls panics unless one was chosen. What the
/// application chose stands.
#[cfg(feature = "tls")]
fn choose_cryptography() {
    if CryptoProvider::get_default().is_none() {
        // An error says that somebody else was faster.
        let _ = aws_lc_rs::default_provider().install_default();
    }
}
