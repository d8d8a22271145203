//! Where the keys for tokens and devices come from.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis::device::DeviceCookies;
use portcullis::jwt::{SigningKey, VerifyingKey};
use portcullis::random::SecureRandom;
use portcullis::{Error, OsRandom, Secret};
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use crate::args::{KeyArgs, ThrottleArgs};
use crate::failure::Failure;
use crate::secret_file;

/// 256 bits, as many as HS256 can use (RFC 7518 §3.2).
const SECRET_BYTES: usize = 32;

/// The key that the flags name, or else one that is kept beside the database.
pub(crate) fn signing_key(args: &KeyArgs, store_url: &str) -> Result<SigningKey, Failure> {
    if let Some(file) = &args.jwt_secret_file {
        return hs256(file, "--jwt-secret-file");
    }
    if let Some(file) = &args.jwt_key_file {
        let pem = secret_file::bytes(file, "--jwt-key-file")?;
        return SigningKey::from_ed25519_pem(&pem).map_err(|error| unusable(file, &error));
    }
    match database_path(store_url)? {
        Some(database) => beside(&database),
        // Its users end with the process, so its tokens may.
        None if store_url.starts_with("memory:") || store_url == "sqlite::memory:" => {
            Ok(SigningKey::generate_ephemeral(&OsRandom)?)
        }
        None => Err(Failure::config(
            "nodes that share a store must share a key: name its file with --jwt-secret-file or \
             --jwt-key-file, or use --tokens opaque",
        )),
    }
}

/// The keys that the flags name, whose tokens are good though none are signed with them.
pub(crate) fn accepted(args: &KeyArgs) -> Result<Vec<VerifyingKey>, Failure> {
    let secrets = args.jwt_accept_secret_file.iter().map(|file| {
        let key = hs256(file, "--jwt-accept-secret-file")?;
        Ok(key.verifying_key().clone())
    });
    let keys = args.jwt_accept_key_file.iter().map(|file| {
        let pem = secret_file::bytes(file, "--jwt-accept-key-file")?;
        VerifyingKey::from_ed25519_pem(&pem).map_err(|error| unusable(file, &error))
    });
    secrets.chain(keys).collect()
}

/// Makes text of `N` random bytes.
pub(crate) fn random_text<const N: usize>() -> Result<Zeroizing<String>, Failure> {
    let mut bytes = Zeroizing::new([0; N]);
    OsRandom
        .fill(bytes.as_mut_slice())
        .map_err(|error| Failure::refused(format!("the system gives no randomness: {error}")))?;
    Ok(Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice())))
}

/// The key file of a database, made at the first start.
fn beside(database: &Path) -> Result<SigningKey, Failure> {
    let mut file = database.as_os_str().to_owned();
    file.push(".key");
    let file = PathBuf::from(file);
    create(&file).map_err(|error| {
        Failure::config(format!(
            "cannot create the key file {} ({error}); make its directory writable or name a \
             secret with --jwt-secret-file",
            file.display()
        ))
    })?;
    hs256(&file, "--jwt-secret-file")
}

/// Writes a new secret with mode 0600, unless there is one. It appears whole or not at all, and of
/// two servers that start at once one wins.
fn create(file: &Path) -> io::Result<()> {
    if file.try_exists()? {
        return Ok(());
    }
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let secret =
        random_text::<SECRET_BYTES>().map_err(|error| io::Error::other(error.to_string()))?;
    let mut new = NamedTempFile::new_in(directory)?;
    writeln!(new, "{}", secret.as_str())?;
    new.as_file().sync_all()?;
    match new.persist_noclobber(file) {
        Ok(_) => {
            tracing::info!(file = %file.display(), "made a new secret for signing tokens");
            Ok(())
        }
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.error),
    }
}

fn hs256(file: &Path, flag: &str) -> Result<SigningKey, Failure> {
    let secret = secret_file::bytes(file, flag)?;
    SigningKey::from_hs256_secret(&secret).map_err(|error| unusable(file, &error))
}

/// The keys of device cookies that the flags name; `None` if they name none.
pub(crate) fn devices(args: &ThrottleArgs) -> Result<Option<DeviceCookies>, Failure> {
    let Some(file) = &args.device_key_file else {
        return Ok(None);
    };
    let read = |file: &Path, flag| {
        let secret = secret_file::text(file, flag)?;
        Ok::<_, Failure>(Secret::from(secret.as_str().to_owned()))
    };
    let devices = DeviceCookies::new(&read(file, "--device-key-file")?);
    let mut devices = devices.map_err(|error| unusable(file, &error))?;
    for file in &args.device_accept_key_file {
        let key = read(file, "--device-accept-key-file")?;
        devices = devices
            .and_accept(&key)
            .map_err(|error| unusable(file, &error))?;
    }
    Ok(Some(devices))
}

fn unusable(file: &Path, error: &Error) -> Failure {
    Failure::config(format!(
        "the key file {} cannot be used: {}",
        file.display(),
        error.message()
    ))
}

/// The file of a SQLite URL.
#[cfg(feature = "sqlite")]
fn database_path(store_url: &str) -> Result<Option<PathBuf>, Error> {
    match store_url.split_once(':') {
        Some((portcullis::sqlite::SCHEME, _)) => portcullis::sqlite::database_path(store_url),
        _ => Ok(None),
    }
}

#[cfg(not(feature = "sqlite"))]
fn database_path(_: &str) -> Result<Option<PathBuf>, Error> {
    Ok(None)
}
