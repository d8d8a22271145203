//! Turns a URL into the stores it names.

use std::sync::Arc;

use portcullis_core::memory::{
    MemoryCredentialStore, MemoryRefreshStore, MemoryThrottleStore, MemoryTokenStore,
};
use portcullis_core::store::{RefreshStore, ThrottleStore, TokenStore};
use portcullis_core::{CredentialStore, Error, ErrorKind};
#[cfg(feature = "postgres")]
use portcullis_postgres::PostgresStore;
#[cfg(feature = "redis")]
use portcullis_redis::RedisStore;
#[cfg(feature = "sqlite")]
use portcullis_sqlite::SqliteStore;

/// Everything that portcullis keeps in one place, over the same connections.
///
/// Take users from one and tokens from another to keep them in different places.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stores {
    /// The users.
    pub credentials: Arc<dyn CredentialStore>,
    /// The opaque access tokens, if such are issued.
    pub tokens: Arc<dyn TokenStore>,
    /// The families of refresh tokens, if such are issued.
    pub refresh: Arc<dyn RefreshStore>,
    /// The attempts on accounts, if they are throttled.
    pub throttle: Arc<dyn ThrottleStore>,
    /// What [`open`] opened.
    opened: Opened,
}

impl Stores {
    /// Keeps everything in `store`, which is over the application's own connections:
    ///
    /// ```
    /// # #[cfg(feature = "sqlite")]
    /// fn stores(pool: portcullis::sqlite::SqlitePool) -> portcullis::Stores {
    ///     portcullis::Stores::of(portcullis::sqlite::SqliteStore::new(pool))
    /// }
    /// ```
    #[must_use]
    pub fn of(
        store: impl CredentialStore + RefreshStore + ThrottleStore + TokenStore + Clone,
    ) -> Self {
        Self {
            credentials: Arc::new(store.clone()),
            tokens: Arc::new(store.clone()),
            refresh: Arc::new(store.clone()),
            throttle: Arc::new(store),
            opened: Opened::Nothing,
        }
    }

    /// Keeps everything in memory, where it ends with the process.
    #[must_use]
    pub fn memory() -> Self {
        Self {
            credentials: Arc::new(MemoryCredentialStore::new()),
            tokens: Arc::new(MemoryTokenStore::new()),
            refresh: Arc::new(MemoryRefreshStore::new()),
            throttle: Arc::new(MemoryThrottleStore::new()),
            opened: Opened::Nothing,
        }
    }

    /// Closes the connections that [`open`] opened, and waits until that is done: for the end of a
    /// service. Every later call of a store fails. Connections of the application's own are left to it.
    ///
    /// SQLite writes its log back into the database file then; without, the file `PATH-wal` stays beside
    /// it until the next start.
    ///
    /// Cancellation safe: dropped early, the connections close all the same.
    pub async fn close(&self) {
        match &self.opened {
            #[cfg(feature = "postgres")]
            Opened::Postgres(store) => store.pool().close().await,
            #[cfg(feature = "sqlite")]
            Opened::Sqlite(store) => store.pool().close().await,
            // Those of Redis close with the last store that uses them.
            Opened::Nothing => {}
        }
    }

    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    fn with_opened(mut self, opened: Opened) -> Self {
        self.opened = opened;
        self
    }
}

#[derive(Clone, Debug)]
enum Opened {
    Nothing,
    #[cfg(feature = "postgres")]
    Postgres(PostgresStore),
    #[cfg(feature = "sqlite")]
    Sqlite(SqliteStore),
}

/// Opens the stores that `url` names, so that an operator chooses them at run time:
///
/// | URL | stores | feature |
/// |---|---|---|
/// | `memory:` | [`MemoryCredentialStore`], [`MemoryTokenStore`], [`MemoryRefreshStore`] and [`MemoryThrottleStore`], empty | always there |
/// | `sqlite://PATH` | `SqliteStore`, created if absent, its tables brought up to date | `sqlite` |
/// | `postgres://USER:PASSWORD@HOST/DATABASE` | `PostgresStore`, whose tables [`migrate`] makes | `postgres` |
/// | `redis://USER:PASSWORD@HOST/DATABASE`, `rediss:` for TLS | `RedisStore`, on a server or a cluster | `redis` |
///
/// What else a URL may say is in the documentation of the crate of each store.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), portcullis::Error> {
/// use portcullis::Username;
///
/// let users = portcullis::open("memory:").await?.credentials;
/// assert_eq!(users.find(&Username::new("ada")).await?, None);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `InvalidConfig` if the scheme is unknown, or its feature is not compiled in (the two are told
/// apart), or the rest of the URL is not what that store takes; otherwise what the store's own
/// `open` returns. The message names the scheme and never the URL, which may hold a password.
pub async fn open(url: &str) -> Result<Stores, Error> {
    match Backend::of(url)? {
        Backend::Memory => Ok(Stores::memory()),
        #[cfg(feature = "postgres")]
        Backend::Postgres => {
            let store = PostgresStore::open(url).await?;
            Ok(Stores::of(store.clone()).with_opened(Opened::Postgres(store)))
        }
        #[cfg(feature = "redis")]
        Backend::Redis => RedisStore::open(url).await.map(Stores::of),
        #[cfg(feature = "sqlite")]
        Backend::Sqlite => {
            let store = SqliteStore::open(url).await?;
            Ok(Stores::of(store.clone()).with_opened(Opened::Sqlite(store)))
        }
    }
}

/// Makes the tables that `url` needs, or brings them up to date: for Postgres, whose [`open`]
/// makes none. Other stores look after themselves: there is nothing to do.
///
/// May be called any number of times, by several processes at the same time.
///
/// # Errors
/// `InvalidConfig` as [`open`], and if the user of the connection lacks the privileges; otherwise
/// what the store's own `migrate` returns.
pub async fn migrate(url: &str) -> Result<(), Error> {
    match Backend::of(url)? {
        Backend::Memory => Ok(()),
        #[cfg(feature = "postgres")]
        Backend::Postgres => {
            let store = PostgresStore::connect(url).await?;
            let migrated = store.migrate().await;
            store.pool().close().await;
            migrated
        }
        #[cfg(feature = "redis")]
        Backend::Redis => RedisStore::open(url).await.map(drop),
        #[cfg(feature = "sqlite")]
        Backend::Sqlite => {
            SqliteStore::open(url).await?.pool().close().await;
            Ok(())
        }
    }
}

/// Tells whether [`open`] would take `url` for what it says, without asking a server or touching a file:
/// for the check of a configuration.
///
/// ```
/// assert!(portcullis::check_url("memory:").is_ok());
/// assert!(portcullis::check_url("file:///users.db").is_err());
/// ```
///
/// # Errors
/// `InvalidConfig` as [`open`].
pub fn check_url(url: &str) -> Result<(), Error> {
    match Backend::of(url)? {
        Backend::Memory => Ok(()),
        #[cfg(feature = "postgres")]
        Backend::Postgres => PostgresStore::check_url(url),
        #[cfg(feature = "redis")]
        Backend::Redis => RedisStore::check_url(url),
        #[cfg(feature = "sqlite")]
        Backend::Sqlite => portcullis_sqlite::database_path(url).map(drop),
    }
}

/// The stores that are compiled in.
enum Backend {
    Memory,
    #[cfg(feature = "postgres")]
    Postgres,
    #[cfg(feature = "redis")]
    Redis,
    #[cfg(feature = "sqlite")]
    Sqlite,
}

impl Backend {
    fn of(url: &str) -> Result<Self, Error> {
        let scheme = url.split_once(':').map(|(scheme, _)| scheme);
        match scheme {
            Some("memory") => Ok(Self::Memory),
            #[cfg(feature = "postgres")]
            Some("postgres" | "postgresql") => Ok(Self::Postgres),
            #[cfg(not(feature = "postgres"))]
            Some(scheme @ ("postgres" | "postgresql")) => Err(not_enabled(scheme, "postgres")),
            #[cfg(feature = "redis")]
            Some("redis" | "rediss") => Ok(Self::Redis),
            #[cfg(not(feature = "redis"))]
            Some(scheme @ ("redis" | "rediss")) => Err(not_enabled(scheme, "redis")),
            #[cfg(feature = "sqlite")]
            Some("sqlite") => Ok(Self::Sqlite),
            #[cfg(not(feature = "sqlite"))]
            Some(scheme @ "sqlite") => Err(not_enabled(scheme, "sqlite")),
            Some(scheme) if is_scheme(scheme) => Err(invalid(format!(
                "no store has the URL scheme `{scheme}:`; use {KNOWN}"
            ))),
            _ => Err(invalid(format!("the store URL has no scheme; use {KNOWN}"))),
        }
    }
}

#[cfg(not(all(feature = "postgres", feature = "redis", feature = "sqlite")))]
fn not_enabled(scheme: &str, feature: &str) -> Error {
    invalid(format!(
        "stores with the URL scheme `{scheme}:` are not compiled in; enable the feature \
         `{feature}` of portcullis"
    ))
}

/// RFC 3986 §3.1. What is none is not repeated: it may be a password that lost its URL.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidConfig, message)
}

const KNOWN: &str = "`memory:`, `sqlite://PATH`, `postgres://...` or `redis://...`";
