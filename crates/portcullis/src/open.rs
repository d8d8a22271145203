//! Turns a URL into the store it names.

use std::sync::Arc;

use portcullis_core::{CredentialStore, Error, ErrorKind, MemoryStore};

/// Opens the store that `url` names, so that an operator chooses it at run time:
///
/// | URL | store | feature |
/// |---|---|---|
/// | `memory:` | [`MemoryStore`] | always there |
/// | `sqlite://path` | `SqliteStore`, created if absent | `sqlite` |
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), portcullis::Error> {
/// let store = portcullis::open("memory:").await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `InvalidConfig` if the scheme is unknown, or its feature is not compiled in (the two are told
/// apart), or the rest of the URL is not what that store takes; otherwise what the store's own
/// `open` returns. The message names the scheme and never the URL, which may hold a password.
pub async fn open(url: &str) -> Result<Arc<dyn CredentialStore>, Error> {
    let scheme = url.split_once(':').map(|(scheme, _)| scheme);
    match scheme {
        Some("memory") => Ok(Arc::new(MemoryStore::new())),
        #[cfg(feature = "sqlite")]
        Some(portcullis_sqlite::SCHEME) => {
            Ok(Arc::new(portcullis_sqlite::SqliteStore::open(url).await?))
        }
        #[cfg(not(feature = "sqlite"))]
        Some("sqlite") => Err(not_enabled("sqlite")),
        Some(scheme) if is_scheme(scheme) => Err(invalid(format!(
            "no store has the URL scheme `{scheme}:`; use `memory:` or `sqlite://path`"
        ))),
        _ => Err(invalid(
            "the store URL has no scheme; use `memory:` or `sqlite://path`".to_owned(),
        )),
    }
}

#[cfg(not(feature = "sqlite"))]
fn not_enabled(feature: &str) -> Error {
    invalid(format!(
        "stores with the URL scheme `{feature}:` are not compiled in; enable the feature \
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
