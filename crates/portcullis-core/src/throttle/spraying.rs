//! How many different names have failed from one address: no I/O, no clock.
//!
//! Names are counted as in linear counting (Whang, Vander-Zanden and Taylor 1990): each sets a bit, by
//! its hash, of a map of fixed size, and the number of bits that are set says how many there were. Which
//! bit a name has depends on a salt in the record, so that nobody can choose names that share one.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use sha2::{Digest, Sha256};

use super::attempts::{MAX_SKEW, millis};
use super::record::{Reader, write_millis};
use crate::store::{ThrottleKey, ThrottleRecord};

/// The names that failed from one address within an hour.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Names {
    salt: [u8; SALT_LEN],
    /// One map for each quarter of an hour, the current one first.
    maps: [[u8; MAP_LEN]; QUARTERS],
    /// When the current quarter began, in milliseconds since 1970.
    quarter: u64,
    /// Logins that have begun, and not ended yet.
    under_way: u16,
    /// When the last began.
    last: u64,
}

impl Names {
    pub(super) fn new(salt: [u8; SALT_LEN]) -> Self {
        Self {
            salt,
            maps: [[0; MAP_LEN]; QUARTERS],
            quarter: 0,
            under_way: 0,
            last: 0,
        }
    }

    /// Lets one more login be tried.
    ///
    /// # Errors
    /// How long to wait, if `limit` names have failed or may yet.
    pub(super) fn begin(mut self, now: u64, limit: u32) -> Result<Self, Duration> {
        self.advance(now);
        if self.last.saturating_add(millis(UNHEARD_OF)) <= now {
            self.under_way = 0;
        }
        if self.count() + f64::from(self.under_way) >= f64::from(limit) {
            let next = self.quarter.saturating_add(millis(QUARTER));
            return Err(Duration::from_millis(next.saturating_sub(now).max(1_000)));
        }
        self.under_way = self.under_way.saturating_add(1);
        self.last = now;
        Ok(self)
    }

    /// Notes how one ended: with the name that failed.
    pub(super) fn end(mut self, failed: Option<&ThrottleKey>, now: u64) -> Self {
        self.advance(now);
        self.under_way = self.under_way.saturating_sub(1);
        if let Some(name) = failed {
            let digest = Sha256::new()
                .chain_update(self.salt)
                .chain_update(name.as_bytes())
                .finalize();
            let bit = usize::from(u16::from_be_bytes([digest[0], digest[1]])) % (8 * MAP_LEN);
            self.maps[0][bit / 8] |= 1 << (bit % 8);
        }
        self
    }

    pub(super) fn expires_at(&self) -> u64 {
        let window = millis(QUARTER) * QUARTERS as u64;
        self.quarter.saturating_add(window)
    }

    pub(super) fn write(&self) -> ThrottleRecord {
        let mut bytes = vec![VERSION];
        bytes.extend(self.salt);
        bytes.extend(self.maps.as_flattened());
        write_millis(&mut bytes, self.quarter);
        bytes.extend(self.under_way.to_be_bytes());
        write_millis(&mut bytes, self.last);
        ThrottleRecord::new(BASE64URL.encode(bytes))
    }

    /// `None` for what no version of this wrote.
    pub(super) fn read(record: &ThrottleRecord) -> Option<Self> {
        let bytes = BASE64URL.decode(record.as_str()).ok()?;
        let mut reader = Reader(&bytes);
        if reader.array()? != [VERSION] {
            return None;
        }
        let mut names = Self::new(reader.array()?);
        for map in &mut names.maps {
            *map = reader.array()?;
        }
        names.quarter = reader.millis()?;
        names.under_way = u16::from_be_bytes(reader.array()?);
        names.last = reader.millis()?;
        Some(names)
    }

    /// Begins the quarter of `now`. Where a clock was wrong, what was counted by it is forgotten.
    fn advance(&mut self, now: u64) {
        let quarter = now - now % millis(QUARTER);
        if self.quarter > quarter.saturating_add(millis(MAX_SKEW.max(QUARTER))) {
            *self = Self::new(self.salt);
        }
        let passed = quarter.saturating_sub(self.quarter) / millis(QUARTER);
        let passed = usize::try_from(passed).unwrap_or(QUARTERS).min(QUARTERS);
        self.maps.rotate_right(passed);
        self.maps[..passed].fill([0; MAP_LEN]);
        self.quarter = self.quarter.max(quarter);
    }

    /// How many different names there are, within about 4 % for a hundred.
    fn count(&self) -> f64 {
        let mut set = 0;
        for byte in 0..MAP_LEN {
            let byte = self.maps.iter().fold(0, |union, map| union | map[byte]);
            set += byte.count_ones();
        }
        let unset = (BITS - f64::from(set)).max(1.0);
        -BITS * (unset / BITS).ln()
    }
}

/// More than this cannot be told apart: the map is full at about 3,000 names.
pub(super) const MAX_NAMES: u32 = 1_000;

pub(super) const SALT_LEN: usize = 16;

/// The first byte of a record; that of an account has another.
const VERSION: u8 = 129;

const MAP_LEN: usize = 64;

/// Of a map.
const BITS: f64 = 512.0;

const QUARTERS: usize = 4;

const QUARTER: Duration = Duration::from_secs(15 * 60);

/// As for the attempts on one account.
const UNHEARD_OF: Duration = Duration::from_secs(60).saturating_add(MAX_SKEW);
