//! Reaches the server or the cluster, and reaches it again when it was lost.
//!
//! The driver's `ConnectionManager` does not do that: it answers the first call after an outage
//! with the error of the last attempt to connect, and never connects again if that was none of
//! I/O, such as a password refused; nor does it give up a connection on which nobody answers.

use std::collections::HashMap;
use std::future::pending;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use portcullis_core::Error;
use redis::aio::MultiplexedConnection;
use redis::cluster::{ClusterClient, ClusterClientBuilder, ClusterConfig};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::SingleNodeRoutingInfo;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, FromRedisValue, ProtocolVersion,
    PushInfo, PushKind, RedisError, RedisResult, ServerErrorKind, Value,
};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::error::{corrupt, from_driver};
use crate::fields::Fields;
use crate::script::Script;

/// Where the keys are. It connects when it is asked for the first time.
pub(crate) enum Connection {
    Cluster(Cluster),
    Server(Server),
}

impl Connection {
    /// Begins a call that must be answered within `timeout`, whatever it asks the server.
    pub(crate) fn call(&self, timeout: Duration) -> Call<'_> {
        Call {
            connection: self,
            timeout,
            deadline: Instant::now() + timeout,
        }
    }
}

/// One call of a store: all that it asks the server is answered by one deadline.
pub(crate) struct Call<'a> {
    connection: &'a Connection,
    timeout: Duration,
    deadline: Instant,
}

impl Call<'_> {
    /// Executes a command that reads, and takes the reply for a `T`.
    pub(crate) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Error> {
        let reply = match self.send(command).await {
            // The connection may have been dead for long, and reading twice does no harm.
            Err(error) if error.is_connection_dropped() => self.send(command).await,
            reply => reply,
        };
        let reply = reply.map_err(|error| from_driver(&error))?;
        // The driver's error would quote the reply.
        T::from_redis_value(reply).map_err(|_| corrupt("a reply of another type, or not UTF-8"))
    }

    /// Reads a hash. Redis has no empty one: that is the same as none.
    pub(crate) async fn fields(&self, key: &str) -> Result<Option<Fields>, Error> {
        let fields: HashMap<_, _> = self.query(redis::cmd("HGETALL").arg(key)).await?;
        Ok((!fields.is_empty()).then(|| Fields::new(fields)))
    }

    /// Runs a script, and tells whether it did something.
    pub(crate) async fn run(
        &self,
        script: &Script,
        keys: &[&str],
        arguments: &[&str],
    ) -> Result<bool, Error> {
        let reply = match self.send(&script.remembered(keys, arguments)).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.send(&script.whole(keys, arguments)).await
            }
            reply => reply,
        };
        Ok(reply.map_err(|error| from_driver(&error))? == Value::Int(1))
    }

    async fn send(&self, command: &Cmd) -> RedisResult<Value> {
        match self.connection {
            Connection::Cluster(cluster) => {
                cluster.send(command, self.deadline, self.timeout).await
            }
            Connection::Server(server) => server.send(command, self.deadline).await,
        }
    }
}

/// One server, by one connection that all calls share.
pub(crate) struct Server {
    client: Client,
    link: Mutex<Option<Link>>,
}

#[derive(Clone)]
struct Link {
    connection: MultiplexedConnection,
    /// Set when the connection was closed, also while nobody used it.
    lost: Arc<AtomicBool>,
}

impl Server {
    pub(crate) fn new(address: ConnectionInfo) -> Result<Self, RedisError> {
        // In RESP3 the driver tells when a connection is closed.
        let settings = address.redis_settings().clone();
        let settings = settings.set_protocol(ProtocolVersion::RESP3);
        Ok(Self {
            client: Client::open(address.set_redis_settings(settings))?,
            link: Mutex::new(None),
        })
    }

    pub(crate) async fn send(&self, command: &Cmd, deadline: Instant) -> RedisResult<Value> {
        let mut link = by(deadline, self.link()).await?;
        let reply = by(deadline, command.query_async(&mut link.connection)).await;
        if reply.as_ref().is_err_and(RedisError::is_io_error) {
            // After a time-out too: perhaps the other end is gone without a word. Calls that wait
            // on this connection go on waiting; the next one makes another.
            link.lost.store(true, Ordering::Relaxed);
        }
        reply
    }

    /// The connection; a new one if there is none or it was lost. One call makes it, and the
    /// others wait.
    async fn link(&self) -> RedisResult<Link> {
        let mut current = self.link.lock().await;
        if let Some(link) = &*current
            && !link.lost.load(Ordering::Relaxed)
        {
            return Ok(link.clone());
        }
        *current = None;
        let lost = Arc::new(AtomicBool::new(false));
        let closed = Arc::clone(&lost);
        let config = AsyncConnectionConfig::new()
            // The deadline of the call holds.
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_push_sender(move |push: PushInfo| {
                if push.kind == PushKind::Disconnection {
                    closed.store(true, Ordering::Relaxed);
                }
                Ok::<_, ()>(())
            });
        let connection = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        Ok(current.insert(Link { connection, lost }).clone())
    }
}

/// A cluster, by the driver's connections to its nodes. The driver makes them anew when they are
/// closed, and when a key is not where it was.
pub(crate) struct Cluster {
    client: ClusterClient,
    link: StdMutex<Option<ClusterLink>>,
}

struct ClusterLink {
    connection: ClusterConnection,
    /// Set when nobody answered.
    lost: Arc<AtomicBool>,
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
            link: StdMutex::new(None),
        })
    }

    async fn send(
        &self,
        command: &Cmd,
        deadline: Instant,
        timeout: Duration,
    ) -> RedisResult<Value> {
        let (mut connection, lost) = self.link(timeout);
        let reply = by(deadline, follow(&mut connection, command)).await;
        if reply.as_ref().is_err_and(RedisError::is_timeout) {
            // Perhaps another node has taken over from one that is silent, which the driver does
            // not ask about. The next call does.
            lost.store(true, Ordering::Relaxed);
        }
        reply
    }

    fn link(&self, timeout: Duration) -> (ClusterConnection, Arc<AtomicBool>) {
        let mut current = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = &mut *current
            && !link.lost.load(Ordering::Relaxed)
            && link.runtime.try_join_next().is_none()
        {
            return (link.connection.clone(), Arc::clone(&link.lost));
        }
        let config = ClusterConfig::new()
            // Nodes that are silent must leave time for the others.
            .set_connection_timeout(timeout / 4)
            .set_response_timeout(timeout);
        let mut runtime = JoinSet::new();
        runtime.spawn(pending());
        let link = current.insert(ClusterLink {
            connection: self.client.get_pending_async_connection_with_config(config),
            lost: Arc::new(AtomicBool::new(false)),
            runtime,
        });
        (link.connection.clone(), Arc::clone(&link.lost))
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

async fn by<T>(deadline: Instant, work: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    match timeout_at(deadline, work).await {
        Ok(done) => done,
        Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
    }
}

/// How often a command is sent that a cluster does not execute since a key or a node moved. Each
/// time the driver learns where to; more is a cluster that does not know itself.
const MOST_ATTEMPTS: usize = 5;
