//! How attempts are written down: always as many bytes, so that neither how long a record is nor how
//! long it takes to read tells whether an account is used, and from how many places.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;

use super::attempts::{ADDRESSES, Attempts, Count, Known, SLOTS};
use super::client::{Place, SPELLING_LEN, TAG_LEN};
use crate::store::ThrottleRecord;

impl Attempts {
    pub(super) fn write(&self) -> ThrottleRecord {
        let mut bytes = Vec::with_capacity(LEN);
        bytes.push(VERSION);
        bytes.extend(self.epoch.to_be_bytes());
        write_count(&mut bytes, &self.strangers);
        for slot in &self.known {
            let Some(known) = slot else {
                bytes.extend([0; SLOT_LEN]);
                continue;
            };
            let (Place::Address(tag) | Place::Device(tag)) = known.place;
            bytes.extend(tag);
            bytes.extend(known.spelling);
            write_millis(&mut bytes, known.since);
            write_count(&mut bytes, &known.count);
        }
        ThrottleRecord::new(BASE64URL.encode(bytes))
    }

    /// `None` for what no version of this wrote.
    pub(super) fn read(record: &ThrottleRecord) -> Option<Self> {
        let bytes = BASE64URL.decode(record.as_str()).ok()?;
        let mut reader = Reader(&bytes);
        if bytes.len() != LEN || reader.array()? != [VERSION] {
            return None;
        }
        let mut attempts = Self {
            epoch: u32::from_be_bytes(reader.array()?),
            strangers: reader.count()?,
            ..Self::default()
        };
        for (slot, known) in attempts.known.iter_mut().enumerate() {
            let tag = reader.array()?;
            let read = Known {
                place: if slot < ADDRESSES {
                    Place::Address(tag)
                } else {
                    Place::Device(tag)
                },
                spelling: reader.array()?,
                since: reader.millis()?,
                count: reader.count()?,
            };
            // Nobody has logged in since 1970.
            *known = (read.since > 0).then_some(read);
        }
        Some(attempts)
    }
}

fn write_count(bytes: &mut Vec<u8>, count: &Count) {
    bytes.extend(count.failures.to_be_bytes());
    bytes.extend(count.under_way.to_be_bytes());
    write_millis(bytes, count.last);
    bytes.extend(count.epoch.to_be_bytes());
    bytes.extend(count.flight.to_be_bytes());
}

/// Times of [`UnixTime`](crate::clock::UnixTime) have 48 bits.
pub(super) fn write_millis(bytes: &mut Vec<u8>, millis: u64) {
    bytes.extend(&millis.to_be_bytes()[8 - MILLIS_LEN..]);
}

/// Takes what was written from the front.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl Reader<'_> {
    pub(super) fn array<const LEN: usize>(&mut self) -> Option<[u8; LEN]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    pub(super) fn millis(&mut self) -> Option<u64> {
        let mut millis = [0; 8];
        millis[8 - MILLIS_LEN..].copy_from_slice(&self.array::<MILLIS_LEN>()?);
        Some(u64::from_be_bytes(millis))
    }

    fn count(&mut self) -> Option<Count> {
        Some(Count {
            failures: u16::from_be_bytes(self.array()?),
            under_way: u16::from_be_bytes(self.array()?),
            last: self.millis()?,
            epoch: u32::from_be_bytes(self.array()?),
            flight: u16::from_be_bytes(self.array()?),
        })
    }
}

/// The first byte of a record.
const VERSION: u8 = 1;

const MILLIS_LEN: usize = 6;

const COUNT_LEN: usize = 2 + 2 + MILLIS_LEN + 4 + 2;

const SLOT_LEN: usize = TAG_LEN + SPELLING_LEN + MILLIS_LEN + COUNT_LEN;

const LEN: usize = 1 + 4 + COUNT_LEN + SLOTS * SLOT_LEN;
