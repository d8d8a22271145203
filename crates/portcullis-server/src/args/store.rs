//! The flags that say where things are kept.

use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::secret_file;

#[derive(Debug, clap::Args)]
pub(crate) struct StoreArgs {
    /// Where the users are: `sqlite://PATH` (created if absent), `postgres://...`, `redis://...`
    /// or `memory:`.
    #[arg(
        long = "store",
        env = "PORTCULLIS_STORE",
        default_value = "sqlite://portcullis.db",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub(crate) url: String,
    /// A file with that URL, which then is in no list of processes. It goes before `--store`.
    #[arg(long, env = "PORTCULLIS_STORE_FILE", value_name = "FILE")]
    pub(crate) store_file: Option<PathBuf>,
}

impl StoreArgs {
    pub(crate) fn url(&self) -> Result<Zeroizing<String>, Failure> {
        match &self.store_file {
            Some(file) => secret_file::text(file, "--store-file"),
            None => Ok(Zeroizing::new(self.url.clone())),
        }
    }
}

#[derive(Debug, Default, clap::Args)]
pub(crate) struct TokenStoreArgs {
    /// Where opaque and refresh tokens are, if not with the users; a URL as for `--store`.
    #[arg(
        long,
        env = "PORTCULLIS_TOKEN_STORE",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub(crate) token_store: Option<String>,
    /// A file with that URL. It goes before `--token-store`.
    #[arg(long, env = "PORTCULLIS_TOKEN_STORE_FILE", value_name = "FILE")]
    pub(crate) token_store_file: Option<PathBuf>,
}

impl TokenStoreArgs {
    pub(crate) fn url(&self) -> Result<Option<Zeroizing<String>>, Failure> {
        match &self.token_store_file {
            Some(file) => secret_file::text(file, "--token-store-file").map(Some),
            None => Ok(self.token_store.clone().map(Zeroizing::new)),
        }
    }
}
