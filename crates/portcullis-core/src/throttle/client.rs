//! From where an attempt on an account comes.

use std::fmt;
use std::net::IpAddr;

use sha2::{Digest, Sha256};

use crate::device::DEVICE_LEN;
use crate::store::Username;

/// Where an attempt comes from, as told apart within the record of one account.
#[derive(Clone, Debug)]
pub(super) struct Client {
    device: Option<Place>,
    /// Whether the device is known to have logged in, though its count may not be here.
    is_proven: bool,
    address: Place,
    pub(super) spelling: [u8; SPELLING_LEN],
}

impl Client {
    /// Of a login as exactly `username`: who owns another spelling is somebody else. No address is an
    /// address of its own.
    pub(super) fn new(
        username: &Username,
        address: Option<IpAddr>,
        device: Option<&[u8; DEVICE_LEN]>,
        is_proven: bool,
    ) -> Self {
        let address: &[u8] = match address.map(|address| address.to_canonical()) {
            Some(IpAddr::V4(address)) => &address.octets(),
            // Whoever has one address of IPv6 has its /64 (RFC 6177 §2).
            Some(IpAddr::V6(address)) => &address.octets()[..8],
            None => &[],
        };
        Self {
            device: device.map(device_place),
            is_proven,
            address: Place::Address(tag(b"address", address, username.as_str())),
            spelling: spelling(username),
        }
    }

    /// The same on another device.
    pub(super) fn on(self, device: &[u8; DEVICE_LEN]) -> Self {
        Self {
            device: Some(device_place(device)),
            ..self
        }
    }

    /// The device that is to have a count, whether it has one already or not.
    pub(super) fn proven(&self) -> Option<Place> {
        self.device.filter(|_| self.is_proven)
    }

    /// What it may be known by.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> + use<> {
        self.device.into_iter().chain([self.address])
    }
}

/// Something that a client is known by. There are few addresses, so that whoever reads the store can
/// find out which it is.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Place {
    Address([u8; TAG_LEN]),
    Device([u8; TAG_LEN]),
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

pub(super) fn spelling(username: &Username) -> [u8; SPELLING_LEN] {
    tag(b"spelling", &[], username.as_str())
}

/// A device has one account: its cookie says so.
fn device_place(device: &[u8; DEVICE_LEN]) -> Place {
    Place::Device(tag(b"device", device, ""))
}

fn tag<const LEN: usize>(kind: &[u8], what: &[u8], username: &str) -> [u8; LEN] {
    let digest = Sha256::new()
        .chain_update(kind)
        .chain_update([0, u8::try_from(what.len()).unwrap_or(u8::MAX)])
        .chain_update(what)
        .chain_update(username)
        .finalize();
    let mut tag = [0; LEN];
    tag.copy_from_slice(&digest[..LEN]);
    tag
}

/// Bytes. To have an address that looks like one of another's takes 2^61 tries, and that address.
pub(super) const TAG_LEN: usize = 8;

/// Bytes of the name of a spelling. Two that have the same share their room in a record, no more.
pub(super) const SPELLING_LEN: usize = 4;
