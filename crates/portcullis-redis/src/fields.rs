//! The fields of one hash, and what values look like in them.

use std::collections::HashMap;
use std::time::SystemTime;

use portcullis_core::Error;
use portcullis_core::clock::UnixTime;
use serde_json::{Map, Value};

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

    /// An object, as [`object`] writes it, which is not there if it is empty.
    pub(crate) fn object(&mut self, name: &'static str) -> Result<Map<String, Value>, Error> {
        match self.take(name) {
            None => Ok(Map::new()),
            Some(json) => serde_json::from_str(&json).map_err(|_| corrupt(name)),
        }
    }

    /// A number since 1970: `from` is of its unit.
    pub(crate) fn time(
        &mut self,
        name: &'static str,
        from: fn(u64) -> Option<UnixTime>,
    ) -> Result<SystemTime, Error> {
        read_time(name, &self.text(name)?, from)
    }
}

/// Reads a number since 1970: `from` is of its unit.
pub(crate) fn read_time(
    name: &'static str,
    number: &str,
    from: fn(u64) -> Option<UnixTime>,
) -> Result<SystemTime, Error> {
    let time = number.parse().ok().and_then(from);
    time.map(UnixTime::to_system).ok_or_else(|| corrupt(name))
}

/// Writes an object; `None` if it is empty.
pub(crate) fn object(name: &str, object: &Map<String, Value>) -> Result<Option<String>, Error> {
    let json = (!object.is_empty()).then(|| serde_json::to_string(object));
    json.transpose()
        .map_err(|error| cannot_store(name).with_source(error))
}

pub(crate) fn json(name: &str, texts: &[String]) -> Result<String, Error> {
    serde_json::to_string(texts).map_err(|error| cannot_store(name).with_source(error))
}

pub(crate) fn unix_time(name: &str, time: SystemTime) -> Result<UnixTime, Error> {
    UnixTime::from_system(time).ok_or_else(|| cannot_store(name))
}

/// When Redis may drop what expires at `time`, in seconds since 1970.
pub(crate) fn drop_at(name: &str, time: SystemTime) -> Result<String, Error> {
    Ok((unix_time(name, time)?.seconds() + SLACK_SECONDS).to_string())
}

/// How long Redis keeps what has expired: its clock may be ahead of that by which others decide.
const SLACK_SECONDS: u64 = 300;
