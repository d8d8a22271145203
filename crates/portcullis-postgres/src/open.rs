//! Turns a URL into a pool of connections, and what else it says.

use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use portcullis_core::{Error, ErrorKind};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::SCHEMES;
use crate::database::Database;
use crate::error::at_start;
use crate::identifier::Identifier;
use crate::store::{DEFAULT_SCHEMA, PostgresStore};

impl PostgresStore {
    /// Connects to the database that a URL names, and makes sure that it was migrated. The crate's
    /// front page describes the URLs.
    ///
    /// # Errors
    /// As [`connect`](Self::connect) and [`check`](Self::check).
    pub async fn open(url: &str) -> Result<Self, Error> {
        let store = Self::connect(url).await?;
        store.check().await?;
        Ok(store)
    }

    /// Connects to the database that a URL names, migrated or not.
    ///
    /// # Errors
    /// `InvalidConfig` if the URL makes no sense, or the server refuses the user, the
    /// password, the database or the encryption; `Unavailable` if it does not answer.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        let url = DatabaseUrl::parse(url)?;
        let pool = PgPoolOptions::new()
            .max_connections(url.pool_size)
            .acquire_timeout(url.acquire_timeout)
            // That would be another round trip for each statement; see `Database`.
            .test_before_acquire(false)
            .connect_with(url.server)
            .await
            .map_err(at_start)?;
        let timeout = url.acquire_timeout + url.statement_timeout;
        Ok(Self {
            database: Database { pool, timeout },
            schema: url.schema,
        })
    }

    /// Tells whether [`connect`](Self::connect) would take a URL for what it says, without asking a
    /// server.
    ///
    /// # Errors
    /// `InvalidConfig` if the URL makes no sense.
    pub fn check_url(url: &str) -> Result<(), Error> {
        DatabaseUrl::parse(url).map(drop)
    }
}

struct DatabaseUrl {
    server: PgConnectOptions,
    acquire_timeout: Duration,
    pool_size: u32,
    schema: Identifier,
    statement_timeout: Duration,
}

impl DatabaseUrl {
    fn parse(url: &str) -> Result<Self, Error> {
        let scheme = url.split_once("://").map(|(scheme, _)| scheme);
        if !scheme.is_some_and(|scheme| SCHEMES.contains(&scheme)) {
            return Err(invalid(
                "a Postgres URL is `postgres://USER:PASSWORD@HOST:PORT/DATABASE`",
            ));
        }

        let (server, options) = url.split_once('?').unwrap_or((url, ""));
        let mut acquire_timeout = DEFAULT_ACQUIRE_TIMEOUT;
        let mut pool_size = DEFAULT_POOL_SIZE;
        let mut schema = DEFAULT_SCHEMA.to_owned();
        let mut statement_timeout = DEFAULT_STATEMENT_TIMEOUT;
        // The others are the driver's.
        let mut server = format!("{server}?");
        for option in options.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("acquire_timeout_ms", value)) => acquire_timeout = milliseconds(value)?,
                Some(("pool_size", value)) => {
                    let size = value.parse().ok().filter(|size| (1..=1000).contains(size));
                    pool_size =
                        size.ok_or_else(|| invalid("`pool_size` is a number from 1 to 1000"))?;
                }
                Some(("schema", value)) => {
                    schema = percent_decode_str(value)
                        .decode_utf8()
                        .map_err(|_| invalid("`schema` is not UTF-8"))?
                        .into_owned();
                }
                Some(("statement_timeout_ms", value)) => statement_timeout = milliseconds(value)?,
                Some((name, _)) if DRIVER_OPTIONS.contains(&name) => {
                    server.push_str(option);
                    server.push('&');
                }
                _ => {
                    // Not repeated: it may be the rest of a password with a `?`.
                    return Err(invalid(
                        "a Postgres URL has no other options than `acquire_timeout_ms`, \
                         `application_name`, `host`, `pool_size`, `schema`, `sslcert`, `sslkey`, \
                         `sslmode`, `sslrootcert` and `statement_timeout_ms`",
                    ));
                }
            }
        }
        let server = PgConnectOptions::from_str(&server).map_err(|_| {
            // Neither is the driver's reason, for the same reason.
            invalid(
                "the Postgres URL makes no sense: escape special characters in the user name and \
                 the password with `%`, and check the options",
            )
        })?;
        Ok(Self {
            server: server
                // The server gives up first, and the connection can still be used.
                .options([("statement_timeout", statement_timeout.as_millis())])
                // In a stricter one, a change would fail if another came first.
                .options([("default_transaction_isolation", "read committed")]),
            acquire_timeout,
            pool_size,
            schema: Identifier::new(&schema)?,
            statement_timeout,
        })
    }
}

fn milliseconds(text: &str) -> Result<Duration, Error> {
    let number = text.parse().ok().filter(|n| (1..=60_000).contains(n));
    number
        .map(Duration::from_millis)
        .ok_or_else(|| invalid("a time-out is a number of milliseconds from 1 to 60000"))
}

fn invalid(sentence: &'static str) -> Error {
    Error::new(ErrorKind::InvalidConfig, sentence)
}

const DEFAULT_ACQUIRE_TIMEOUT: Duration = Duration::from_secs(1);
const DEFAULT_POOL_SIZE: u32 = 10;
const DEFAULT_STATEMENT_TIMEOUT: Duration = Duration::from_secs(1);

/// See `PgConnectOptions`.
const DRIVER_OPTIONS: [&str; 6] = [
    "application_name",
    "host",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
];
