//! What a call of a store asks, of a server or a cluster.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portcullis_core::Error;
use redis::{Cmd, ErrorKind, FromRedisValue, RedisResult, ServerErrorKind, Value};
use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::error::{corrupt, from_driver, is_misdirected};
use crate::fields::Fields;
use crate::script::Script;
use crate::server::Server;

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
            generation: self.generation(),
            was_refused: AtomicBool::new(false),
        }
    }

    fn generation(&self) -> u64 {
        match self {
            Self::Cluster(cluster) => cluster.generation(),
            Self::Server(server) => server.generation(),
        }
    }
}

/// One call of a store: all that it asks the server is answered by one deadline.
pub(crate) struct Call<'a> {
    connection: &'a Connection,
    timeout: Duration,
    deadline: Instant,
    /// Of the connection, when the call began.
    generation: u64,
    /// Whether somebody was asked who is not the one to ask. A cluster's driver may then ask another
    /// by the same connection.
    was_refused: AtomicBool,
}

impl Call<'_> {
    /// Executes a command that may be executed twice, and takes the reply for a `T`.
    pub(crate) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Error> {
        let reply = match self.send(command).await {
            // The connection may have been dead for long, and twice does no harm.
            Err(error) if error.is_connection_dropped() => self.send(command).await,
            reply => reply,
        };
        into(reply.map_err(|error| from_driver(&error))?)
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
        Ok(self.reply(script, keys, arguments).await? == Value::Int(1))
    }

    /// Runs a script, and takes the reply for a `T`.
    pub(crate) async fn ask<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[&str],
        arguments: &[&str],
    ) -> Result<T, Error> {
        into(self.reply(script, keys, arguments).await?)
    }

    async fn reply(
        &self,
        script: &Script,
        keys: &[&str],
        arguments: &[&str],
    ) -> Result<Value, Error> {
        let reply = match self.send(&script.remembered(keys, arguments)).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.send(&script.whole(keys, arguments)).await
            }
            reply => reply,
        };
        reply.map_err(|error| from_driver(&error))
    }

    /// Tells whether what the call did before may be missing where it went on. The connection may
    /// have been given up by another call.
    pub(crate) fn has_moved(&self) -> bool {
        self.was_refused.load(Ordering::Relaxed) || self.connection.generation() != self.generation
    }

    async fn send(&self, command: &Cmd) -> RedisResult<Value> {
        match self.send_once(command).await {
            // Nothing was done, and the connection is given up, if not too often: a new one may
            // lead to whoever has taken over.
            Err(error) if is_misdirected(&error) => {
                self.was_refused.store(true, Ordering::Relaxed);
                self.send_once(command).await
            }
            reply => reply,
        }
    }

    async fn send_once(&self, command: &Cmd) -> RedisResult<Value> {
        match self.connection {
            Connection::Cluster(cluster) => {
                cluster.send(command, self.deadline, self.timeout).await
            }
            Connection::Server(server) => server.send(command, self.deadline).await,
        }
    }
}

fn into<T: FromRedisValue>(reply: Value) -> Result<T, Error> {
    // The driver's error would quote the reply.
    T::from_redis_value(reply).map_err(|_| corrupt("a reply of another type, or not UTF-8"))
}
