//! bcrypt, bare or over a SHA-256 of the password, as Python's libraries and PHP write it.

use base64::alphabet::BCRYPT;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use base64::prelude::*;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::number;
use crate::error::{Error, ErrorKind};
use crate::hex::Hex;
use crate::password::{Arena, HashScheme, PasswordHash, Verdict, compare, corrupt};

/// Checks bcrypt hashes:
///
/// | from | format |
/// |---|---|
/// | bcrypt, passlib, pwdlib, PHP | `$2b$12$...`, and `$2a$`, `$2x$`, `$2y$` |
/// | Django | `bcrypt$$2b$12$...`, `bcrypt_sha256$$2b$12$...` |
/// | passlib | `$bcrypt-sha256$v=2,t=2b,r=12$...`, `$bcrypt-sha256$2b,12$...` |
///
/// Bare bcrypt reads only the first 72 bytes of a password, so every password that begins with
/// them matches, as it always did, unless [told to refuse](Self::refusing_long_passwords). A NUL byte
/// is one like any other, as in the `bcrypt` package since 4.0; C libraries, which end the password
/// there, cannot have made a hash of one.
///
/// `$2x$` marks hashes made with the sign extension bug of `crypt_blowfish` before 1.1
/// (CVE-2011-2483): they are checked with that bug.
#[derive(Clone, Debug)]
pub struct BcryptScheme {
    max_cost: u32,
    refuses_long: bool,
}

impl BcryptScheme {
    /// Makes a scheme that checks hashes of a cost of up to 16, sixteen times the usual 12.
    #[must_use]
    pub fn new() -> Self {
        Self {
            max_cost: 16,
            refuses_long: false,
        }
    }

    /// Refuses a password of more than 72 bytes for a hash that read no more, as the `bcrypt` package does
    /// since 5.0. Its owner must set a new one. Default: what begins with the same 72 bytes matches, and
    /// the hash is not replaced by one of what was typed.
    #[must_use]
    pub fn refusing_long_passwords(mut self) -> Self {
        self.refuses_long = true;
        self
    }

    /// Checks hashes of a cost of up to `max_cost` instead. Each step doubles the work; 31 is the
    /// highest there is.
    #[must_use]
    pub fn with_max_cost(mut self, max_cost: u32) -> Self {
        self.max_cost = max_cost;
        self
    }
}

impl Default for BcryptScheme {
    fn default() -> Self {
        Self::new()
    }
}

impl HashScheme for BcryptScheme {
    fn recognises(&self, hash: &PasswordHash) -> bool {
        [
            "$2a$",
            "$2b$",
            "$2x$",
            "$2y$",
            "$bcrypt-sha256$",
            "bcrypt$",
            "bcrypt_sha256$",
        ]
        .iter()
        .any(|prefix| hash.expose().starts_with(prefix))
    }

    fn verify(
        &self,
        password: &[u8],
        hash: &PasswordHash,
        _arena: &mut Arena,
    ) -> Result<Verdict, Error> {
        let stored = StoredHash::parse(hash.expose())?;
        if !(MIN_COST..=self.max_cost.min(MAX_COST)).contains(&stored.cost) {
            return Err(corrupt("its bcrypt cost is below 4 or above the limit"));
        }
        let key = stored.prehash.key(password)?;
        let key = match stored.expansion {
            Expansion::Right => key,
            Expansion::SignExtended => sign_extended(&key),
        };
        let output = Zeroizing::new(bcrypt::bcrypt(stored.cost, stored.salt, &key));
        // The format leaves out the last byte.
        let [output @ .., _] = &*output;
        let verdict = compare(output, stored.output.as_slice());
        if self.refuses_long && stored.prehash.cuts(password) {
            return Ok(Verdict::Mismatch);
        }
        Ok(verdict)
    }

    fn attack_cost(&self, hash: &PasswordHash) -> Option<f64> {
        let stored = StoredHash::parse(hash.expose()).ok()?;
        let cost = i32::try_from(stored.cost).ok()?;
        Some(2_f64.powi(cost - LOG2_ROUNDS_AT_COST_1))
    }

    fn covers(&self, password: &[u8], hash: &PasswordHash) -> bool {
        StoredHash::parse(hash.expose()).is_ok_and(|stored| !stored.prehash.cuts(password))
    }
}

/// By <https://tobtu.com/minimum-password-settings/>.
const LOG2_ROUNDS_AT_COST_1: i32 = 9;
const MIN_COST: u32 = 4;
const MAX_COST: u32 = 31;
/// In characters.
const SALT_TEXT_LEN: usize = 22;
const SALT_LEN: usize = 16;
const OUTPUT_LEN: usize = 23;
const MAX_KEY_LEN: usize = 72;

// Unused bits may be set, as passlib does: it wrote such salts itself before 1.5.3.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&BCRYPT, NO_PAD.with_decode_allow_trailing_bits(true));

struct StoredHash<'a> {
    prehash: Prehash<'a>,
    expansion: Expansion,
    cost: u32,
    salt: [u8; SALT_LEN],
    output: Zeroizing<[u8; OUTPUT_LEN]>,
}

impl<'a> StoredHash<'a> {
    fn parse(text: &'a str) -> Result<Self, Error> {
        let malformed = || corrupt("it is not a bcrypt hash");
        let parts: Vec<&str> = text.splitn(6, '$').collect();
        let (prehash, version, cost, salt, output) = match *parts {
            ["", version, cost, bare] | ["bcrypt", "", version, cost, bare] => {
                let (salt, output) = bare.split_at_checked(SALT_TEXT_LEN).ok_or_else(malformed)?;
                (Prehash::None, version, cost, salt, output)
            }
            ["bcrypt_sha256", "", version, cost, bare] => {
                let (salt, output) = bare.split_at_checked(SALT_TEXT_LEN).ok_or_else(malformed)?;
                (Prehash::Sha256Hex, version, cost, salt, output)
            }
            ["", "bcrypt-sha256", params, salt, output] => {
                if let Some(cost) = params.strip_prefix("v=2,t=2b,r=") {
                    (Prehash::HmacBase64 { salt }, "2b", cost, salt, output)
                } else {
                    let (version, cost) = params.split_once(',').ok_or_else(malformed)?;
                    (Prehash::Sha256Base64, version, cost, salt, output)
                }
            }
            _ => return Err(malformed()),
        };
        Ok(Self {
            prehash,
            expansion: match version {
                "2a" | "2b" | "2y" => Expansion::Right,
                "2x" => Expansion::SignExtended,
                _ => return Err(corrupt("its bcrypt version is unknown")),
            },
            cost: number(cost)?,
            salt: decode(salt)?,
            output: Zeroizing::new(decode(output)?),
        })
    }
}

fn decode<const N: usize>(text: &str) -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    match BASE64.decode_slice(text, &mut bytes) {
        Ok(len) if len == N => Ok(bytes),
        _ => Err(corrupt("its salt or output is not bcrypt's base64")),
    }
}

/// What is hashed in the place of the password, to get around the 72 bytes.
enum Prehash<'a> {
    /// passlib since 1.7.3; keyed by the salt as it is written.
    HmacBase64 {
        salt: &'a str,
    },
    None,
    /// passlib before 1.7.3.
    Sha256Base64,
    /// Django.
    Sha256Hex,
}

impl Prehash<'_> {
    /// Whether bcrypt reads less than the whole password.
    fn cuts(&self, password: &[u8]) -> bool {
        matches!(self, Self::None) && password.len() > MAX_KEY_LEN
    }

    /// bcrypt's key: a C string, of which no more than 72 bytes are used.
    fn key(&self, password: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let text = match self {
            Self::None => return Ok(c_string(password)),
            Self::HmacBase64 { salt } => {
                let mut hmac = Hmac::<Sha256>::new_from_slice(salt.as_bytes())
                    .map_err(|_| Error::new(ErrorKind::Internal, "HMAC refused its key"))?;
                hmac.update(password);
                BASE64_STANDARD.encode(hmac.finalize().into_bytes())
            }
            Self::Sha256Base64 => BASE64_STANDARD.encode(Sha256::digest(password)),
            Self::Sha256Hex => Hex(Sha256::digest(password).into()).to_string(),
        };
        Ok(c_string(Zeroizing::new(text).as_bytes()))
    }
}

fn c_string(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut key = Zeroizing::new(Vec::with_capacity(MAX_KEY_LEN));
    key.extend(bytes.iter().chain(&[0]).take(MAX_KEY_LEN));
    key
}

/// How the key is spread over Blowfish's subkeys.
enum Expansion {
    Right,
    SignExtended,
}

/// The key that, expanded as it should be, gives the subkeys that `key` gave with the bug: each
/// byte was read as signed, so that one above 0x7F set every bit before it in its word of four.
fn sign_extended(key: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut bytes = key.iter().cycle();
    let mut expanded = Zeroizing::new(vec![0; MAX_KEY_LEN]);
    for word in expanded.as_chunks_mut::<4>().0 {
        *word = bytes
            .by_ref()
            .take(4)
            .fold(0, |word, byte| {
                word << 8 | i32::from(byte.cast_signed()).cast_unsigned()
            })
            .to_be_bytes();
    }
    expanded
}
