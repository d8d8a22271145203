//! The fields of one hash, and what values look like in them.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use portcullis_core::Error;

use crate::error::{cannot_store, corrupt};

/// What one hash holds. A field that is not what it should be is `Corrupt`.
pub(crate) struct Fields(HashMap<String, String>);

impl Fields {
    pub(crate) fn new(fields: HashMap<String, String>) -> Self {
        Self(fields)
    }

    /// A text that need not be there.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    pub(crate) fn text(&mut self, name: &'static str) -> Result<String, Error> {
        self.take(name).ok_or_else(|| corrupt(name))
    }

    /// A list of texts, as [`json`] writes it.
    pub(crate) fn list(&mut self, name: &'static str) -> Result<Vec<String>, Error> {
        serde_json::from_str(&self.text(name)?).map_err(|_| corrupt(name))
    }

    /// A number of `unit`s since 1970.
    pub(crate) fn time(
        &mut self,
        name: &'static str,
        unit: fn(u64) -> Duration,
    ) -> Result<SystemTime, Error> {
        let number = self.text(name)?.parse().ok();
        number
            .and_then(|number| SystemTime::UNIX_EPOCH.checked_add(unit(number)))
            .ok_or_else(|| corrupt(name))
    }
}

pub(crate) fn json(name: &str, texts: &[String]) -> Result<String, Error> {
    serde_json::to_string(texts).map_err(|error| cannot_store(name).with_source(error))
}

pub(crate) fn since_1970(name: &str, time: SystemTime) -> Result<Duration, Error> {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_err(|_| cannot_store(name))
}
