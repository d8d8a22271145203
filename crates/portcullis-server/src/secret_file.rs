//! Secrets that are in files.

use std::path::Path;

use portcullis::jwt::read_secret;
use zeroize::Zeroizing;

use crate::failure::Failure;

/// Reads a secret that is text.
pub(crate) fn text(file: &Path, flag: &str) -> Result<Zeroizing<String>, Failure> {
    let secret = bytes(file, flag)?;
    let text = str::from_utf8(&secret).map_err(|_| {
        Failure::config(format!(
            "the file {} of {flag} is not text: write it in UTF-8",
            file.display()
        ))
    })?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Reads a secret of bytes; `flag` names the file.
pub(crate) fn bytes(file: &Path, flag: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    read_secret(file).map_err(|error| Failure::config(format!("{} with {flag}", error.message())))
}
