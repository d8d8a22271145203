//! The store and how it is made.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use portcullis_core::{Error, ErrorKind};
use redis::Client;
use redis::cluster::ClusterClientBuilder;

use crate::cluster::Cluster;
use crate::connection::{Call, Connection};
use crate::keys::Keys;
use crate::server::Server;

/// All that portcullis keeps, on a Redis server or a Redis Cluster. Clones share its connection.
///
/// It connects again by itself whenever a connection was lost. Its methods need a tokio runtime.
#[derive(Clone)]
pub struct RedisStore {
    connection: Arc<Connection>,
    keys: Arc<Keys>,
    timeout: Duration,
}

impl RedisStore {
    /// Takes a client of the driver, for what a URL cannot say: TLS certificates, for one. The
    /// store makes a connection of its own in RESP3, at the first call: the server may be down yet.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if the driver refuses the client's settings.
    pub fn new(client: &Client) -> Result<Self, Error> {
        let server = Server::new(client.get_connection_info().clone());
        Self::on(Connection::Server(server.map_err(|_| unusable())?))
    }

    /// Takes a builder of the driver's clients for clusters. The store connects in RESP3, at the
    /// first call, and decides itself what may be repeated: the builder's retries do not hold. For
    /// TLS, give rustls a default provider first if the build has several.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if no client can be built.
    pub fn on_cluster(builder: ClusterClientBuilder) -> Result<Self, Error> {
        let cluster = Cluster::new(builder);
        Self::on(Connection::Cluster(cluster.map_err(|_| unusable())?))
    }

    /// Sets what all keys begin with. Default `portcullis`; 1 to 64 ASCII letters, digits and
    /// `-`, `_`, `.`, `:`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if `prefix` is something else.
    pub fn with_prefix(mut self, prefix: &str) -> Result<Self, Error> {
        self.keys = Arc::new(Keys::new(prefix)?);
        Ok(self)
    }

    /// Sets how long a call may take, connecting included. Default 2 seconds.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub(crate) fn call(&self) -> Call<'_> {
        self.connection.call(self.timeout)
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    fn on(connection: Connection) -> Result<Self, Error> {
        Ok(Self {
            connection: Arc::new(connection),
            keys: Arc::new(Keys::new(DEFAULT_PREFIX)?),
            timeout: DEFAULT_TIMEOUT,
        })
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("prefix", &self.keys.prefix())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

fn unusable() -> Error {
    // The driver's error may quote the URL.
    Error::new(
        ErrorKind::InvalidConfig,
        "the settings of the Redis client contradict each other",
    )
}

pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);
const DEFAULT_PREFIX: &str = "portcullis";
