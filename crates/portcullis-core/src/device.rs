//! Devices that are known for one account, by a cookie.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::clock::{Clock, SystemClock, unix_time};
use crate::cookie::{TokenCookie, cookie_values};
use crate::error::{Error, ErrorKind};
use crate::random::{OsRandom, SecureRandom, is_guessable, random_bytes};
use crate::secret::Secret;
use crate::store::{FamilyKey, Username};

/// Makes and checks the cookies by which a [`Throttle`](crate::Throttle) knows devices, as the OWASP
/// Cheat Sheet "Device Cookies" describes.
///
/// Whoever logs in gets one, for this account alone. Sent with a later login it gives that a count of
/// its own, so that an owner on a new address is not kept out by strangers who guess. It replaces no
/// password and no second factor, and its own failures stop it like any other. It is void 90 days after
/// the last login with it, after a change of password, and once four other devices have logged in.
///
/// Where refresh tokens are in a cookie, a good one does as much, for the account that it was made for: it
/// is looked up where a login would be refused without.
///
/// A cookie holds a random name of the device, when it was made, and a MAC (HMAC-SHA-256, RFC 2104) of
/// both and of the exact username, which it does not hold. All nodes need the same key. To rotate it,
/// give the old one to [`and_accept`](Self::and_accept) for 90 days.
///
/// ```
/// # fn main() -> Result<(), portcullis_core::Error> {
/// use std::sync::Arc;
///
/// use portcullis_core::device::DeviceCookies;
/// use portcullis_core::memory::MemoryThrottleStore;
/// use portcullis_core::{Secret, Throttle};
///
/// # let key = Secret::from("3vbWOTNRjTbMX4pYcLJFEYZJs0zEQoeT".to_owned());
/// let devices = DeviceCookies::new(&key)?;
/// let throttle = Throttle::new(Arc::new(MemoryThrottleStore::new())).with_devices(devices);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct DeviceCookies {
    current: Hmac<Sha256>,
    accepted: Vec<Hmac<Sha256>>,
    cookie: TokenCookie,
    clock: Arc<dyn Clock>,
    random: Arc<dyn SecureRandom>,
}

impl DeviceCookies {
    /// Signs and checks by `key`.
    ///
    /// # Errors
    /// `InvalidConfig` if the key has fewer than 32 bytes, or can be guessed
    /// ([`is_guessable`]).
    pub fn new(key: &Secret) -> Result<Self, Error> {
        Ok(Self {
            current: mac(key)?,
            accepted: Vec::new(),
            cookie: TokenCookie::device(),
            clock: Arc::new(SystemClock),
            random: Arc::new(OsRandom),
        })
    }

    /// Also takes cookies that were signed by `key`, which was the current one before.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn and_accept(mut self, key: &Secret) -> Result<Self, Error> {
        self.accepted.push(mac(key)?);
        Ok(self)
    }

    /// Says how the cookie is set. Default [`TokenCookie::device`].
    ///
    /// # Errors
    /// `InvalidConfig` if browsers would not take such a cookie.
    pub fn with_cookie(mut self, cookie: TokenCookie) -> Result<Self, Error> {
        cookie.check()?;
        self.cookie = cookie;
        Ok(self)
    }

    /// Takes the time from `clock`. Default [`SystemClock`].
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Takes the names of devices from `random`. Default [`OsRandom`].
    #[must_use]
    pub fn with_random(mut self, random: Arc<dyn SecureRandom>) -> Self {
        self.random = random;
        self
    }

    /// Finds the device that has logged in as `username` before, in the `Cookie` headers of a request.
    #[must_use]
    pub fn find<'a>(
        &self,
        username: &Username,
        cookies: impl IntoIterator<Item = &'a [u8]>,
    ) -> Option<Device> {
        let now = unix_time(self.clock.now()).ok()?.seconds();
        cookie_values(&self.cookie.name, cookies)
            .take(MOST_COOKIES)
            .find_map(|value| self.read(username, value, now))
    }

    /// Makes a device that logs in as `username` for the first time.
    ///
    /// # Errors
    /// `Unavailable` if there is no randomness.
    pub(crate) fn new_device(&self) -> Result<Device, Error> {
        let id = random_bytes(&*self.random, "the name of a device")?;
        Ok(Device { id: *id })
    }

    /// The value of `Set-Cookie` by which `device` is known from now on.
    pub(crate) fn keep(&self, username: &Username, device: &Device) -> Result<Secret, Error> {
        let now = unix_time(self.clock.now())?.seconds();
        let mut value = Vec::with_capacity(COOKIE_LEN);
        value.extend(device.id);
        value.extend(now.to_be_bytes());
        let tag = sign(&self.current, username, &value);
        value.extend(tag.finalize().into_bytes());
        let value = Secret::from(BASE64URL.encode(value));
        Ok(self.cookie.keep(&value, KNOWN_FOR).into())
    }

    fn read(&self, username: &Username, value: &str, now: u64) -> Option<Device> {
        if value.len() != COOKIE_LEN.div_ceil(3) * 4 - PADDING {
            return None;
        }
        let bytes = BASE64URL.decode(value).ok()?;
        let (signed, tag) = bytes.split_at_checked(DEVICE_LEN + TIME_LEN)?;
        let mut keys = [&self.current].into_iter().chain(&self.accepted);
        let is_signed = |key: &Hmac<Sha256>| sign(key, username, signed).verify_slice(tag).is_ok();
        if !keys.any(is_signed) {
            return None;
        }
        let (id, made_at) = signed.split_first_chunk()?;
        let made_at = u64::from_be_bytes(made_at.try_into().ok()?);
        let is_current = now.saturating_sub(made_at) < KNOWN_FOR.as_secs()
            && made_at <= now.saturating_add(MAX_SKEW.as_secs());
        is_current.then_some(Device { id: *id })
    }
}

/// It shows no key.
impl fmt::Debug for DeviceCookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceCookies")
            .field("cookie", &self.cookie)
            .finish_non_exhaustive()
    }
}

/// A device by its random name, which is known to it and the [`Throttle`](crate::Throttle) alone.
#[derive(Clone)]
pub struct Device {
    id: [u8; DEVICE_LEN],
}

impl Device {
    /// The device that has a session, by a refresh token: another one for each.
    pub(crate) fn of_session(key: &FamilyKey) -> Self {
        let digest = Sha256::new()
            .chain_update(b"portcullis session 1")
            .chain_update(key.as_bytes())
            .finalize();
        let mut id = [0; DEVICE_LEN];
        id.copy_from_slice(&digest[..DEVICE_LEN]);
        Self { id }
    }

    pub(crate) fn id(&self) -> &[u8; DEVICE_LEN] {
        &self.id
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Device([redacted])")
    }
}

fn mac(key: &Secret) -> Result<Hmac<Sha256>, Error> {
    let key = key.expose().as_bytes();
    let invalid = || {
        let message = "the key of device cookies needs 32 random bytes or more: make one with `openssl rand -base64 48`";
        Error::new(ErrorKind::InvalidConfig, message)
    };
    if key.len() < MIN_KEY_LEN || is_guessable(key) {
        return Err(invalid());
    }
    Hmac::new_from_slice(key).map_err(|_| invalid())
}

fn sign(key: &Hmac<Sha256>, username: &Username, signed: &[u8]) -> Hmac<Sha256> {
    let mut mac = key.clone();
    // The purpose and what is signed have a fixed length, so that no two messages are the same.
    mac.update(b"portcullis device 1");
    mac.update(signed);
    mac.update(username.as_str().as_bytes());
    mac
}

const TIME_LEN: usize = 8;

const MAC_LEN: usize = 32;

const COOKIE_LEN: usize = DEVICE_LEN + TIME_LEN + MAC_LEN;

/// Of base64, which is left out.
const PADDING: usize = (3 - COOKIE_LEN % 3) % 3;

/// That of HMAC-SHA-256 (RFC 2104 §3).
const MIN_KEY_LEN: usize = 32;

/// There are several where another host of the domain has set one too. Each costs a MAC.
const MOST_COOKIES: usize = 4;

/// By how much the clocks of nodes may differ.
const MAX_SKEW: Duration = Duration::from_secs(300);

/// Bytes of the name of a device.
pub(crate) const DEVICE_LEN: usize = 16;

/// For how long a device, or an address, stays known.
pub(crate) const KNOWN_FOR: Duration = Duration::from_secs(90 * 24 * 3600);
