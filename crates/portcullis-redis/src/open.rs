//! Turns a URL into a store, and finds out what cannot work about it.

use std::time::Duration;

use portcullis_core::store::TokenHash;
use portcullis_core::{Error, ErrorKind, Username};
use redis::cluster::ClusterClientBuilder;
use redis::io::tcp::TcpSettings;
use redis::{Client, ConnectionInfo, InfoDict, IntoConnectionInfo};
use tokio::time::Instant;

use crate::SCHEMES;
use crate::error::{at_opening, is_forbidden};
use crate::keys::Keys;
use crate::server::Server;
use crate::store::{DEFAULT_TIMEOUT, RedisStore};

impl RedisStore {
    /// Opens what a URL names. The crate's front page describes the URLs.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if the URL makes no sense, or the server refuses the username,
    /// the password or the database, or is part of a cluster and the URL does not say so;
    /// [`ErrorKind::Unavailable`] if it does not answer.
    pub async fn open(url: &str) -> Result<Self, Error> {
        let url = RedisUrl::parse(url)?;
        let store = url.store()?;
        url.check(store.keys()).await?;
        Ok(store)
    }

    /// Tells whether [`open`](Self::open) would take a URL for what it says, without asking a server.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if the URL makes no sense.
    pub fn check_url(url: &str) -> Result<(), Error> {
        RedisUrl::parse(url)?.store().map(drop)
    }
}

struct RedisUrl {
    /// Of a cluster, some nodes: one that is up knows all the others.
    addresses: Vec<ConnectionInfo>,
    is_cluster: bool,
    prefix: Option<String>,
    timeout: Duration,
}

impl RedisUrl {
    fn parse(url: &str) -> Result<Self, Error> {
        let (servers, options) = url.split_once('?').unwrap_or((url, ""));
        let mut is_cluster = false;
        let mut prefix = None;
        let mut timeout = DEFAULT_TIMEOUT;
        for option in options.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("cluster", "false")) => is_cluster = false,
                Some(("cluster", "true")) => is_cluster = true,
                Some(("cluster", _)) => return Err(invalid("`cluster` is `true` or `false`")),
                Some(("prefix", text)) => prefix = Some(text.to_owned()),
                Some(("timeout_ms", number)) => {
                    let number = number.parse().ok().filter(|n| (1..=60_000).contains(n));
                    timeout = Duration::from_millis(
                        number
                            .ok_or_else(|| invalid("`timeout_ms` is a number from 1 to 60000"))?,
                    );
                }
                _ => {
                    return Err(invalid(
                        "a Redis URL has no other options than `cluster`, `prefix` and \
                         `timeout_ms`",
                    ));
                }
            }
        }
        Ok(Self {
            addresses: addresses(servers, &tcp_settings(timeout))?,
            is_cluster,
            prefix,
            timeout,
        })
    }

    fn store(&self) -> Result<RedisStore, Error> {
        let store = match (&*self.addresses, self.is_cluster) {
            ([server], false) => {
                RedisStore::new(&Client::open(server.clone()).map_err(|_| not_a_url())?)?
            }
            (_, false) => {
                return Err(invalid(
                    "only a cluster has several hosts: add `cluster=true`, or leave one",
                ));
            }
            (nodes, true) if nodes.iter().any(|node| node.redis_settings().db() != 0) => {
                return Err(invalid("a Redis cluster has no database but 0"));
            }
            (nodes, true) => {
                let builder = ClusterClientBuilder::new(nodes.iter().cloned());
                RedisStore::on_cluster(builder.tcp_settings(tcp_settings(self.timeout)))?
            }
        }
        .with_timeout(self.timeout);
        match &self.prefix {
            Some(prefix) => store.with_prefix(prefix),
            None => Ok(store),
        }
    }

    /// Asks whether this can be used as the URL says; of a cluster, the first node that answers.
    async fn check(&self, keys: &Keys) -> Result<(), Error> {
        let mut checked = Ok(());
        for address in &self.addresses {
            checked = self.check_server(address, keys).await;
            if !matches!(&checked, Err(error) if error.kind() == ErrorKind::Unavailable) {
                break;
            }
        }
        checked
    }

    async fn check_server(&self, address: &ConnectionInfo, keys: &Keys) -> Result<(), Error> {
        let server = Server::new(address.clone()).map_err(|_| not_a_url())?;
        let deadline = Instant::now() + self.timeout;
        let reply = server
            .send(redis::cmd("INFO").arg("cluster"), deadline)
            .await
            .map_err(|error| at_opening(&error))?;
        let info: Option<InfoDict> = redis::from_redis_value(reply).ok();
        match info.and_then(|info| info.get("cluster_enabled")) {
            Some(1) if !self.is_cluster => Err(invalid(
                "the Redis server is part of a cluster: add `cluster=true`",
            )),
            Some(0) if self.is_cluster => Err(invalid(
                "the Redis server is not part of a cluster: leave out `cluster=true`",
            )),
            _ => check_rights(&server, deadline, keys).await,
        }
    }
}

/// Asks whether the ACL lets users or tokens be read; it may have reasons to keep from one.
async fn check_rights(server: &Server, deadline: Instant, keys: &Keys) -> Result<(), Error> {
    let mut checked = Ok(());
    for key in [
        keys.user(&Username::new("")),
        keys.token(&TokenHash::of("")),
    ] {
        match server.send(redis::cmd("HGETALL").arg(key), deadline).await {
            Err(error) if is_forbidden(&error) => checked = Err(at_opening(&error)),
            // Or anything else: a node need not have the key, nor be ready yet.
            _ => return Ok(()),
        }
    }
    checked
}

/// Reads `scheme://user:password@host:port,host:port/database`: what stands around the hosts goes
/// for each of them.
fn addresses(servers: &str, tcp: &TcpSettings) -> Result<Vec<ConnectionInfo>, Error> {
    let (scheme, rest) = servers.split_once("://").ok_or_else(not_a_url)?;
    if !SCHEMES.contains(&scheme) {
        return Err(not_a_url());
    }
    if scheme == "rediss" && cfg!(not(feature = "tls")) {
        return Err(invalid(
            "`rediss:` is not compiled in; enable the feature `tls` of portcullis-redis",
        ));
    }
    if rest.contains('#') {
        // The driver knows `#insecure`.
        return Err(not_a_url());
    }
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    hosts
        .split(',')
        .map(|host| {
            let address = format!("{scheme}://{user}@{host}/{database}").into_connection_info();
            Ok(address
                .map_err(|_| not_a_url())?
                .set_tcp_settings(tcp.clone()))
        })
        .collect()
}

fn tcp_settings(timeout: Duration) -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true);
    // A node that is gone without a word is then noticed, though a cluster's driver does not give
    // up a connection on which nobody answers.
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(timeout);
    #[cfg(not(target_os = "linux"))]
    let _ = timeout;
    settings
}

fn not_a_url() -> Error {
    // The driver's error may quote the URL.
    invalid("a Redis URL is `redis://USER:PASSWORD@HOST:PORT/DATABASE`, or `rediss:` for TLS")
}

fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidConfig, message)
}
