//! Turns a URL into a pool of connections to a database that is there and has its tables.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use percent_encoding::percent_decode_str;
use portcullis_core::{Error, ErrorKind};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use crate::error::{from_driver, is_no_access, is_not_a_database};
use crate::{SCHEME, migration};

pub(crate) async fn open(url: &str) -> Result<SqlitePool, Error> {
    let url = DatabaseUrl::parse(url)?;
    let Some(path) = &url.path else {
        // Each connection to it would have a database of its own.
        return url.migrated_pool(url.options(), 1).await;
    };
    url.create_if_absent(path).await?;
    url.migrated_pool(url.options().filename(path), MAX_CONNECTIONS)
        .await
        .map_err(|error| cannot_open(path, error))
}

/// The file that a URL names, as [`SqliteStore::open`](crate::SqliteStore::open) reads it; `None`
/// for a database in memory. For files that belong beside it.
///
/// ```
/// use std::path::Path;
///
/// let path = portcullis_sqlite::database_path("sqlite:///srv/my%20users.db?mode=rw")?;
/// assert_eq!(path.as_deref(), Some(Path::new("/srv/my users.db")));
/// assert_eq!(portcullis_sqlite::database_path("sqlite::memory:")?, None);
/// # Ok::<(), portcullis_core::Error>(())
/// ```
///
/// # Errors
/// `InvalidConfig` if `open` would refuse the URL for what it says.
pub fn database_path(url: &str) -> Result<Option<PathBuf>, Error> {
    Ok(DatabaseUrl::parse(url)?.path)
}

struct DatabaseUrl {
    /// `None` for a database in memory.
    path: Option<PathBuf>,
    absent: Absent,
    timeout: Duration,
}

/// What to do about a file that is not there.
enum Absent {
    Create,
    Refuse,
}

impl DatabaseUrl {
    fn parse(url: &str) -> Result<Self, Error> {
        let (database, options) = url.split_once('?').unwrap_or((url, ""));
        let database = database
            .strip_prefix(SCHEME)
            .and_then(|rest| rest.strip_prefix(':'));
        let path = match database {
            Some(":memory:") => None,
            Some(database) if database.len() > 2 && database.starts_with("//") => {
                let path = percent_decode_str(&database[2..])
                    .decode_utf8()
                    .map_err(|error| invalid("the path is not UTF-8").with_source(error))?;
                // With a `./` before it SQLite takes any name for a file, `file:a` too.
                Some(Path::new(".").join(&*path))
            }
            _ => {
                return Err(invalid(
                    "a SQLite URL is `sqlite://PATH` or `sqlite::memory:`",
                ));
            }
        };

        let mut url = Self {
            path,
            absent: Absent::Create,
            timeout: DEFAULT_TIMEOUT,
        };
        for option in options.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("mode", "rw")) => url.absent = Absent::Refuse,
                Some(("mode", "rwc")) => url.absent = Absent::Create,
                Some(("mode", _)) => return Err(invalid("`mode` is `rw` or `rwc`")),
                Some(("timeout_ms", number)) => {
                    let number = number.parse().ok().filter(|n| (1..=60_000).contains(n));
                    url.timeout = Duration::from_millis(
                        number
                            .ok_or_else(|| invalid("`timeout_ms` is a number from 1 to 60000"))?,
                    );
                }
                _ => {
                    return Err(invalid(
                        "a SQLite URL has no other options than `mode` and `timeout_ms`",
                    ));
                }
            }
        }
        Ok(url)
    }

    /// Makes the database under another name and then gives it its own: so what is at `path` is
    /// whole whatever happens, and of several who create it at the same time all use one.
    async fn create_if_absent(&self, path: &Path) -> Result<(), Error> {
        // Looked for before the database itself: who creates that makes these after it.
        let left_over = ["-journal", "-wal"]
            .map(|suffix| with_suffix(path, suffix))
            .into_iter()
            .find(|path| path.exists());
        if path.exists() {
            return Ok(());
        }
        if let Some(left_over) = left_over {
            // SQLite would play it back into the new database.
            return Err(invalid(format!(
                "{} is left over from a database that is gone: bring that back, or move this away",
                left_over.display(),
            )));
        }
        if let Absent::Refuse = self.absent {
            return Err(invalid(format!(
                "{} does not exist: check the path, or create it with `mode=rwc`",
                path.display(),
            )));
        }
        let directory = path.parent().unwrap_or(path);
        if !directory.is_dir() {
            return Err(invalid(format!(
                "there is no directory {}: create it, or choose another path",
                directory.display(),
            )));
        }

        // Only its owner may read it, from the first moment: it will hold password hashes. It is
        // closed again, since closing a file drops the locks that SQLite has on it.
        let unfinished = tempfile::Builder::new()
            .prefix(".portcullis-")
            .suffix(".db")
            .tempfile_in(directory)
            .map_err(|error| no_access(path).with_source(error))?
            .into_temp_path();
        let options = self
            .options()
            .filename(&unfinished)
            .journal_mode(SqliteJournalMode::Wal);
        self.migrated_pool(options, 1)
            .await
            .map_err(|error| cannot_open(path, error))?
            .close()
            .await;
        // SQLite syncs the directory with the first commit, and so this too.
        match unfinished.persist_noclobber(path) {
            Err(failure) if failure.error.kind() != io::ErrorKind::AlreadyExists => {
                Err(no_access(path).with_source(failure.error))
            }
            _ => Ok(()),
        }
    }

    fn options(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .busy_timeout(self.timeout)
            .synchronous(SqliteSynchronous::Full)
    }

    async fn migrated_pool(
        &self,
        options: SqliteConnectOptions,
        connections: u32,
    ) -> Result<SqlitePool, Error> {
        let pool = SqlitePoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(self.timeout)
            // A connection is a thread of this process: it does not age, and is tested when it is
            // given back. A test before use, if abandoned, would close the connection, and with
            // it a database in memory.
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_with(options)
            .await
            .map_err(from_driver)?;
        if let Err(error) = migration::run(&pool).await {
            // Waits until SQLite has removed its side files.
            pool.close().await;
            return Err(error);
        }
        Ok(pool)
    }
}

fn cannot_open(path: &Path, error: Error) -> Error {
    if is_no_access(&error) {
        no_access(path).with_source(error)
    } else if is_not_a_database(&error) {
        invalid(format!(
            "{} is not a SQLite database: choose another path",
            path.display(),
        ))
        .with_source(error)
    } else {
        error
    }
}

fn no_access(path: &Path) -> Error {
    invalid(format!(
        "{} cannot be read and written: allow it, for the file and its directory, or choose \
         another path",
        path.display(),
    ))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidConfig, message.into())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);

// SQLite has one writer at a time; a look-up takes well under a millisecond.
const MAX_CONNECTIONS: u32 = 4;
