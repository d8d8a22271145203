//! Users in a JSON file: a complete backend, as an example of how to write one.
//!
//! Each change writes a new file beside the old one and renames it, under a lock that other
//! processes respect. That is right for a handful of users, and slow for many.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_core::password::PasswordHash;
use portcullis_core::store::UserStatus;
use portcullis_core::{
    Credential, CredentialStore, Error, ErrorKind, UserId, Username, async_trait,
};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use tokio::time::{sleep, timeout};

/// A [`CredentialStore`] in one file. Clones and other processes may share the file.
#[derive(Clone, Debug)]
pub struct JsonFileStore {
    path: Arc<PathBuf>,
}

impl JsonFileStore {
    /// Uses the file at `path`, which need not be there yet; its directory must.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: Arc::new(path.into()),
        }
    }

    /// Reads the users. A reader needs no lock: the file is only ever replaced whole.
    async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Users) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let path = Arc::clone(&self.path);
        in_time(off_thread(move || Ok(look(&load(&path)?)))).await
    }

    /// Changes the users in one step that no other process can come between. `change` tells
    /// whether there is anything to write.
    async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Users) -> Result<(T, Changed), Error> + Send + 'static,
    ) -> Result<T, Error> {
        let path = Arc::clone(&self.path);
        in_time(async {
            // Released when the file is closed, also if this process dies.
            let lock = lock(Arc::clone(&path)).await?;
            off_thread(move || {
                let mut users = load(&path)?;
                let (answer, changed) = change(&mut users)?;
                if let Changed::Yes = changed {
                    save(&path, &users)?;
                }
                drop(lock);
                Ok(answer)
            })
            .await
        })
        .await
    }

    /// Changes one user; `None` if there is none, or `change` has nothing to write.
    async fn update<T: Send + 'static>(
        &self,
        user_id: &UserId,
        change: impl FnOnce(&mut User) -> Option<T> + Send + 'static,
    ) -> Result<Option<T>, Error> {
        let user_id = user_id.clone();
        self.write(move |users| {
            let user = users
                .values_mut()
                .find(|user| user.user_id == user_id.as_str());
            Ok(match user.and_then(change) {
                Some(answer) => (Some(answer), Changed::Yes),
                None => (None, Changed::No),
            })
        })
        .await
    }
}

#[async_trait]
impl CredentialStore for JsonFileStore {
    async fn find(&self, username: &Username) -> Result<Option<Credential>, Error> {
        let username = username.clone();
        self.read(move |users| {
            let user = users.get(username.as_str())?;
            Some(user.credential(username.as_str()))
        })
        .await
    }

    async fn find_by_id(&self, user_id: &UserId) -> Result<Option<Credential>, Error> {
        let user_id = user_id.clone();
        self.read(move |users| {
            let mut users = users.iter();
            let (username, user) = users.find(|(_, user)| user.user_id == user_id.as_str())?;
            Some(user.credential(username))
        })
        .await
    }

    async fn list(&self, after: Option<&Username>, limit: usize) -> Result<Vec<Credential>, Error> {
        let after = after.map(|after| after.as_str().to_owned());
        self.read(move |users| {
            let after = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            users
                .range::<str, _>((after, Bound::Unbounded))
                .take(limit)
                .map(|(username, user)| user.credential(username))
                .collect()
        })
        .await
    }

    async fn create(&self, credential: &Credential) -> Result<(), Error> {
        let username = credential.username.as_str().to_owned();
        let user = User::from(credential);
        self.write(move |users| {
            if users.contains_key(&username)
                || users.values().any(|other| other.user_id == user.user_id)
            {
                return Err(Error::new(
                    ErrorKind::AlreadyExists,
                    "the username or the user id is taken",
                ));
            }
            users.insert(username, user);
            Ok(((), Changed::Yes))
        })
        .await
    }

    async fn replace_hash(
        &self,
        user_id: &UserId,
        old: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<bool, Error> {
        let (old, new) = (old.clone(), new.clone());
        let replaced = self.update(user_id, move |user| {
            user.has(&old)
                .then(|| user.password_hash = Some(text(&new)))
        });
        Ok(replaced.await?.is_some())
    }

    async fn change_password(
        &self,
        user_id: &UserId,
        old: &PasswordHash,
        new: &PasswordHash,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, Error> {
        let (old, new) = (old.clone(), new.clone());
        self.update(user_id, move |user| {
            user.has(&old).then(|| {
                user.password_hash = Some(text(&new));
                user.move_cut_off(now)
            })
        })
        .await
    }

    async fn set_password(
        &self,
        user_id: &UserId,
        new: &PasswordHash,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, Error> {
        let new = new.clone();
        self.update(user_id, move |user| {
            user.password_hash = Some(text(&new));
            Some(user.move_cut_off(now))
        })
        .await
    }

    async fn end_sessions(
        &self,
        user_id: &UserId,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, Error> {
        self.update(user_id, move |user| Some(user.move_cut_off(now)))
            .await
    }

    async fn set_status(&self, user_id: &UserId, status: UserStatus) -> Result<bool, Error> {
        let set = self.update(user_id, move |user| {
            user.disabled = status != UserStatus::Enabled;
            Some(())
        });
        Ok(set.await?.is_some())
    }

    async fn delete(&self, user_id: &UserId) -> Result<bool, Error> {
        let user_id = user_id.clone();
        self.write(move |users| {
            let before = users.len();
            users.retain(|_, user| user.user_id != user_id.as_str());
            Ok(if users.len() < before {
                (true, Changed::Yes)
            } else {
                (false, Changed::No)
            })
        })
        .await
    }
}

/// By username; a `BTreeMap` of `String` is sorted by bytes, as `list` must be.
type Users = BTreeMap<String, User>;

/// A user as in the file. Not `Debug`: it holds a hash.
#[derive(Deserialize, Serialize)]
struct User {
    user_id: String,
    password_hash: Option<String>,
    disabled: bool,
    scopes: Vec<String>,
    /// Microseconds since 1970.
    tokens_valid_from: u64,
}

impl User {
    fn credential(&self, username: &str) -> Credential {
        let user_id = UserId::new(self.user_id.as_str());
        let mut credential = Credential::new(user_id, Username::new(username));
        credential.password_hash = self.password_hash.as_deref().map(PasswordHash::new);
        credential.scopes.clone_from(&self.scopes);
        credential.tokens_valid_from = UNIX_EPOCH + Duration::from_micros(self.tokens_valid_from);
        if self.disabled {
            credential.status = UserStatus::Disabled;
        }
        credential
    }

    fn has(&self, hash: &PasswordHash) -> bool {
        self.password_hash.as_deref() == Some(hash.expose())
    }

    /// The core says where the cut-off moves: a store that can must not work it out by itself.
    fn move_cut_off(&mut self, now: SystemTime) -> SystemTime {
        let cut_off = self.credential("").next_cut_off(now);
        self.tokens_valid_from = micros(cut_off);
        cut_off
    }
}

impl From<&Credential> for User {
    fn from(credential: &Credential) -> Self {
        Self {
            user_id: credential.user_id.as_str().to_owned(),
            password_hash: credential.password_hash.as_ref().map(text),
            disabled: credential.status != UserStatus::Enabled,
            scopes: credential.scopes.clone(),
            tokens_valid_from: micros(credential.tokens_valid_from),
        }
    }
}

enum Changed {
    No,
    Yes,
}

fn load(path: &Path) -> Result<Users, Error> {
    match fs::read(path) {
        // The parser's message may quote the file, and with it a hash.
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|_| Error::new(ErrorKind::Corrupt, "the file of users cannot be read")),
        // Without its directory the file is out of reach, and not empty.
        Err(error) if error.kind() == io::ErrorKind::NotFound && directory(path).is_dir() => {
            Ok(Users::new())
        }
        Err(error) => Err(unavailable(error)),
    }
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn save(path: &Path, users: &Users) -> Result<(), Error> {
    let bytes = serde_json::to_vec(users).map_err(|error| {
        Error::new(ErrorKind::Internal, "the users cannot be written").with_source(error)
    })?;
    let replace = || {
        // Temporary files are for their owner only, and this one becomes the file of users.
        let mut file = NamedTempFile::new_in(directory(path))?;
        file.write_all(&bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    replace().map_err(unavailable)
}

/// Locks a file of its own, since the file of users itself is replaced.
async fn lock(path: Arc<PathBuf>) -> Result<File, Error> {
    let lock = off_thread(move || {
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.with_extension("lock"))
            .map_err(unavailable)
    })
    .await?;
    loop {
        // `lock` would keep a thread for as long as another process likes.
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::Error(error)) => return Err(unavailable(error)),
            Err(TryLockError::WouldBlock) => sleep(PAUSE).await,
        }
    }
}

/// Gives a call its time, whatever the disk and other processes do. What is given up in the middle
/// of a change is still done whole or not at all.
async fn in_time<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(TIMEOUT, call).await.unwrap_or_else(|_| {
        Err(Error::new(
            ErrorKind::Unavailable,
            "the file of users was not to be had in time",
        ))
    })
}

/// Files block, and the thread of the caller serves other requests.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::new(ErrorKind::Internal, "a step was lost").with_source(error))?
}

fn unavailable(error: io::Error) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the file of users cannot be reached",
    )
    .with_source(error)
}

fn text(hash: &PasswordHash) -> String {
    hash.expose().to_owned()
}

fn micros(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait before the lock is tried again.
const PAUSE: Duration = Duration::from_millis(2);
