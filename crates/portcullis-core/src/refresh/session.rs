//! What is known of a login that goes on.

use std::net::{IpAddr, Ipv6Addr};
use std::time::SystemTime;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;

use super::family::{Family, Token};
use super::time;
use crate::store::FamilyKey;

/// A session that has a name, and no record yet.
pub(crate) struct NewSession(pub(super) Token);

impl NewSession {
    pub(crate) fn id(&self) -> String {
        id_of(&self.0.key())
    }
}

/// A login that goes on: what is known of it, for its user to see. All of it goes with the session.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Session {
    /// Its name, which is the `sid` of its access tokens.
    pub id: String,
    /// When the user logged in.
    pub begun_at: SystemTime,
    /// When it was refreshed last, or begun.
    pub used_at: SystemTime,
    /// When it ends if it is not used.
    pub expires_at: SystemTime,
    /// The client that logged in, if it said so. It was not authenticated.
    pub client_id: Option<String>,
    /// Where it was used last: a network of IPv4 of 24 bits, or of IPv6 of 48, such as `192.0.2.0/24`.
    pub source: Option<String>,
}

impl Session {
    pub(super) fn new(key: &FamilyKey, family: Family) -> Self {
        Self {
            id: id_of(key),
            begun_at: time(family.begun_at),
            used_at: time(family.used_at),
            expires_at: time(family.expires_at),
            client_id: family.client_id,
            source: family.source,
        }
    }
}

/// The name of a session. It is no token, and none can be made of it.
pub(super) fn id_of(key: &FamilyKey) -> String {
    BASE64URL.encode(key.as_bytes())
}

pub(super) fn key_of(session_id: &str) -> Option<FamilyKey> {
    let mut key = [0; 32];
    // Other names are shorter.
    (session_id.len() == SESSION_ID_LEN).then_some(())?;
    BASE64URL.decode_slice(session_id, &mut key).ok()?;
    Some(FamilyKey::from_bytes(key))
}

/// Of an address, as much as tells a user where it was: a network, and not a household.
pub(super) fn shortened(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(address) => {
            let [a, b, c, ..] = address.segments();
            format!("{}/48", Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
        }
    }
}

/// Of a session's name: 256 bits in base64url.
const SESSION_ID_LEN: usize = 43;
