//! Names of schemas, tables and columns, as SQL takes them.

use std::fmt;
use std::sync::Arc;

use portcullis_core::{Error, ErrorKind};

/// A name that Postgres takes as it is. Displayed in quotes, so that it can stand in a statement.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Identifier(Arc<str>);

impl Identifier {
    pub(crate) fn new(name: &str) -> Result<Self, Error> {
        // Postgres would cut a longer one short, and so take it for another.
        if name.is_empty() || name.len() > MAX_LEN || name.contains('\0') {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                format!("the name of a schema, table or column has 1 to {MAX_LEN} bytes"),
            ));
        }
        Ok(Self(name.into()))
    }

    /// Takes what is known to be such a name.
    pub(crate) fn known(name: &str) -> Self {
        Self(name.into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

// https://www.postgresql.org/docs/current/limits.html, "identifier length".
const MAX_LEN: usize = 63;
