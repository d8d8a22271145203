//! The command that makes tables.

use crate::args::{StoreArgs, TokenStoreArgs};
use crate::failure::Failure;

/// Migrates the user store, and the token store if it is another.
pub(crate) async fn run(store: &StoreArgs, tokens: &TokenStoreArgs) -> Result<(), Failure> {
    portcullis::migrate(&store.url()?).await?;
    if let Some(url) = tokens.url()? {
        portcullis::migrate(&url).await?;
    }
    tracing::info!("the stores are up to date");
    Ok(())
}
