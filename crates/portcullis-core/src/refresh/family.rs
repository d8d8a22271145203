//! What is known of a family of refresh tokens, and what follows: no I/O, no clock, no randomness.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::RefreshPolicy;
use crate::clock::UnixTime;
use crate::secret::Secret;
use crate::store::FamilyKey;

/// All refresh tokens that come of one login, of which the last is good. Field order is the order
/// in the store; times are in milliseconds since 1970 where nothing else is said.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Family {
    pub(super) sub: String,
    pub(super) client_id: Option<String>,
    pub(super) scopes: Vec<String>,
    /// [`Credential::tokens_valid_from`](crate::Credential::tokens_valid_from) as it stood at the login,
    /// in microseconds since 1970.
    pub(super) cut_off: u64,
    pub(super) begun_at: u64,
    pub(super) used_at: u64,
    /// A shortened address.
    pub(super) source: Option<String>,
    pub(super) ends_at: u64,
    pub(super) expires_at: u64,
    current: SecretHash,
    previous: Option<Previous>,
}

/// The token before the current one, as long as it may be sent again.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Previous {
    hash: SecretHash,
    nonce: Nonce,
    replaced_at: u64,
}

/// What a token of a family is worth.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    /// It is the last, and to be replaced.
    Current,
    /// It was replaced a moment ago, so that the answer may have been lost. With the nonce it leads
    /// to the one in its place.
    Replaced(Nonce),
    /// The family has expired.
    Expired,
    /// It was replaced, and so whoever sends it, or whoever replaced it, is not who logged in.
    Reused,
}

impl Family {
    /// A login: `secret` is that of the first token.
    pub(super) fn begin(
        login: Login,
        secret: &TokenSecret,
        now: u64,
        policy: &RefreshPolicy,
    ) -> Self {
        let ends_at = after(now, policy.absolute_lifetime);
        Self {
            sub: login.sub,
            client_id: login.client_id,
            scopes: login.scopes,
            cut_off: login.cut_off,
            begun_at: now,
            used_at: now,
            source: login.source,
            ends_at,
            expires_at: after(now, policy.idle_lifetime).min(ends_at),
            current: secret.hash(),
            previous: None,
        }
    }

    pub(super) fn standing(
        &self,
        secret: &TokenSecret,
        now: u64,
        policy: &RefreshPolicy,
    ) -> Standing {
        let hash = secret.hash();
        if now >= self.expires_at {
            return Standing::Expired;
        }
        if hash == self.current {
            return Standing::Current;
        }
        match &self.previous {
            Some(previous)
                if hash == previous.hash
                    && now < after(previous.replaced_at, policy.retry_window)
                    // A clock that was set back brings none back.
                    && after(now, policy.retry_window) >= previous.replaced_at =>
            {
                Standing::Replaced(previous.nonce)
            }
            _ => Standing::Reused,
        }
    }

    /// Puts the successor of the current token, which has `secret`, in its place.
    pub(super) fn rotate(
        self,
        secret: &TokenSecret,
        nonce: Nonce,
        source: Option<String>,
        now: u64,
        policy: &RefreshPolicy,
    ) -> Self {
        Self {
            used_at: now,
            source: source.or(self.source),
            expires_at: after(now, policy.idle_lifetime).min(self.ends_at),
            current: secret.successor(&nonce).hash(),
            previous: Some(Previous {
                hash: self.current,
                nonce,
                replaced_at: now,
            }),
            ..self
        }
    }
}

/// What a family keeps of the login that it comes of.
pub(super) struct Login {
    pub(super) sub: String,
    pub(super) client_id: Option<String>,
    pub(super) scopes: Vec<String>,
    /// In microseconds since 1970.
    pub(super) cut_off: u64,
    pub(super) source: Option<String>,
}

/// A refresh token, taken apart.
pub(super) struct Token {
    family_id: [u8; FAMILY_ID_LEN],
    pub(super) secret: TokenSecret,
}

impl Token {
    pub(super) fn new(family_id: [u8; FAMILY_ID_LEN], secret: TokenSecret) -> Self {
        Self { family_id, secret }
    }

    /// `None` if this is no token of ours.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() != TOKEN_TEXT_LEN {
            return None;
        }
        let mut bytes = Zeroizing::new([0; FAMILY_ID_LEN + SECRET_LEN]);
        BASE64URL.decode_slice(text, &mut *bytes).ok()?;
        let (family_id, secret) = bytes.split_first_chunk()?;
        Some(Self {
            family_id: *family_id,
            secret: TokenSecret(Zeroizing::new(secret.try_into().ok()?)),
        })
    }

    pub(super) fn key(&self) -> FamilyKey {
        FamilyKey::of(&self.family_id)
    }

    /// The token that takes the place of this one.
    pub(super) fn successor(&self, nonce: &Nonce) -> Self {
        Self::new(self.family_id, self.secret.successor(nonce))
    }

    pub(super) fn text(&self) -> Secret {
        let mut bytes = Zeroizing::new([0; FAMILY_ID_LEN + SECRET_LEN]);
        let (family_id, secret) = bytes.split_at_mut(FAMILY_ID_LEN);
        family_id.copy_from_slice(&self.family_id);
        secret.copy_from_slice(&*self.secret.0);
        Secret::from(BASE64URL.encode(*bytes))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// What makes a token more than the name of its family.
pub(super) struct TokenSecret(Zeroizing<[u8; SECRET_LEN]>);

impl TokenSecret {
    pub(super) fn new(bytes: Zeroizing<[u8; SECRET_LEN]>) -> Self {
        Self(bytes)
    }

    fn hash(&self) -> SecretHash {
        SecretHash(Redacted(Sha256::digest(*self.0).into()))
    }

    /// The same for each nonce, so that who sends a token again gets the same answer; and who has
    /// only the token, or only what is stored, cannot make it.
    fn successor(&self, nonce: &Nonce) -> Self {
        // A key shorter than a block is filled up with zeros (RFC 2104 §2).
        let mut key = Zeroizing::new([0; HMAC_BLOCK_LEN]);
        key[..SECRET_LEN].copy_from_slice(&*self.0);
        let mut mac = Hmac::<Sha256>::new((&*key).into());
        mac.update(&nonce.0.0);
        Self(Zeroizing::new(mac.finalize().into_bytes().into()))
    }
}

/// What is stored of a token's secret. It is compared as any other number: who does not know a
/// secret cannot choose its hash.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct SecretHash(Redacted);

/// What leads from a token to the next, for who has the token.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Nonce(Redacted);

impl Nonce {
    pub(super) fn new(bytes: [u8; 32]) -> Self {
        Self(Redacted(bytes))
    }
}

/// What is stored as base64url, and not printed.
#[derive(Clone, Copy, Eq, PartialEq)]
struct Redacted([u8; 32]);

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Serialize for Redacted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64URL.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Redacted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = BASE64URL.decode(String::deserialize(deserializer)?);
        let bytes = bytes.map_err(de::Error::custom)?;
        let len = bytes.len();
        let bytes = bytes.try_into();
        bytes
            .map(Self)
            .map_err(|_| de::Error::invalid_length(len, &"32 bytes"))
    }
}

fn after(time: u64, duration: Duration) -> u64 {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    time.saturating_add(millis).min(UnixTime::MAX.millis())
}

/// 128 bits: nobody guesses one, and so ends what is somebody else's.
const FAMILY_ID_LEN: usize = 16;

/// 256 bits: more than the 160 that RFC 6749 §10.10 asks for.
const SECRET_LEN: usize = 32;

/// Of SHA-256 (FIPS 180-4 §1).
const HMAC_BLOCK_LEN: usize = 64;

/// The length of so many bytes in base64url.
const TOKEN_TEXT_LEN: usize = (FAMILY_ID_LEN + SECRET_LEN) * 8 / 6;
