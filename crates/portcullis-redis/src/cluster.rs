//! A cluster: reaches the node that has a key, and follows the key when it moves.

use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::cluster::{ClusterClient, ClusterClientBuilder, ClusterConfig};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::SingleNodeRoutingInfo;
use redis::{Cmd, ErrorKind, ProtocolVersion, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::error::is_misdirected;
use crate::link::{Departure, Health, by};

/// A cluster, by the driver's connections to its nodes. The driver makes them anew when they are
/// closed, and when a key is not where it was.
pub(crate) struct Cluster {
    client: ClusterClient,
    link: Mutex<Option<ClusterLink>>,
    departure: Departure,
    generation: AtomicU64,
}

struct ClusterLink {
    connection: ClusterConnection,
    health: Arc<Health>,
    /// A task that does nothing but end with its runtime, as the driver's own does.
    runtime: JoinSet<()>,
}

impl Cluster {
    pub(crate) fn new(builder: ClusterClientBuilder) -> Result<Self, RedisError> {
        let builder = builder
            .use_protocol(ProtocolVersion::RESP3)
            // The driver would repeat a command whose connection broke, which may have been
            // executed. We repeat what the cluster says it has not done.
            .retries(0);
        Ok(Self {
            client: builder.build()?,
            link: Mutex::new(None),
            departure: Departure::default(),
            generation: AtomicU64::new(0),
        })
    }

    pub(crate) async fn send(
        &self,
        command: &Cmd,
        deadline: Instant,
        timeout: Duration,
    ) -> RedisResult<Value> {
        let (mut connection, health) = self.link(timeout);
        let reply = by(deadline, follow(&mut connection, command)).await;
        // Perhaps another node has taken over from one that is silent or cut off, which the driver
        // does not ask about. The next call does.
        match &reply {
            Err(error) if error.is_timeout() => health.lost.store(true, Ordering::Relaxed),
            Err(error) if is_misdirected(error) => health.refused.store(true, Ordering::Relaxed),
            _ => {}
        }
        reply
    }

    /// How many connections there have been.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    fn link(&self, timeout: Duration) -> (ClusterConnection, Arc<Health>) {
        let mut current = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = &mut *current
            && link.runtime.try_join_next().is_none()
            && !self.departure.is_due(&link.health)
        {
            return (link.connection.clone(), Arc::clone(&link.health));
        }
        let config = ClusterConfig::new()
            // Nodes that are silent must leave time for the others.
            .set_connection_timeout(timeout / 4)
            .set_response_timeout(timeout);
        self.generation.fetch_add(1, Ordering::Relaxed);
        let mut runtime = JoinSet::new();
        runtime.spawn(pending());
        let link = current.insert(ClusterLink {
            connection: self.client.get_pending_async_connection_with_config(config),
            health: Arc::default(),
            runtime,
        });
        (link.connection.clone(), Arc::clone(&link.health))
    }
}

/// Sends a command to where its key is.
async fn follow(connection: &mut ClusterConnection, command: &Cmd) -> RedisResult<Value> {
    let mut attempts = 1;
    loop {
        let error = match command.query_async(connection).await {
            Ok(reply) => return Ok(reply),
            Err(error) => error,
        };
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::Ask) => {
                return ask(connection, command, error).await;
            }
            // Nothing was done, and the driver asks where the key is before it goes on.
            ErrorKind::ClusterConnectionNotFound
            | ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::ReadOnly)
                if attempts < MOST_ATTEMPTS =>
            {
                attempts += 1;
            }
            _ => return Err(error),
        }
    }
}

/// Asks the node that a key is on its way to (Redis Cluster specification, "ASK redirection").
async fn ask(
    connection: &mut ClusterConnection,
    command: &Cmd,
    error: RedisError,
) -> RedisResult<Value> {
    let address = error.redirect_node().and_then(|(address, _)| {
        let (host, port) = address.rsplit_once(':')?;
        Some((host.to_owned(), port.parse().ok()?))
    });
    let Some((host, port)) = address else {
        return Err(error);
    };
    let mut asking = redis::pipe();
    asking.cmd("ASKING").add_command(command.clone());
    let node = SingleNodeRoutingInfo::ByAddress { host, port };
    let mut replies = connection.route_pipeline(asking, 1, 1, node).await?;
    replies.pop().ok_or(error)?.extract_error()
}

/// How often a command is sent that a cluster does not execute since a key or a node moved. Each
/// time the driver learns where to; more is a cluster that does not know itself.
const MOST_ATTEMPTS: usize = 5;
