//! Turns what a client sent as a token into [`Claims`], or refuses it.
//!
//! Nothing of a token is believed before its signature has been checked, except that its header
//! may be reason enough to refuse it.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use portcullis_core::clock::UnixTime;
use portcullis_core::{AccessTokenPolicy, Claims, Error, ErrorKind, TokenVerifier, async_trait};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};

use crate::key::VerifyingKey;

/// Verifies JWT access tokens (RFC 9068 §4, RFC 8725).
///
/// A token is refused unless it is at most 8 KiB long, its `typ` is `at+jwt`, its `alg` is that of a
/// key, whose signature matches, it has `iss`, `sub`, `aud`, `exp`, `iat` and `jti`, and
/// [`AccessTokenPolicy::check`] takes them. It is refused before its `nbf`, give or take the leeway,
/// and whenever it has a `crit` header: no extension is understood.
#[derive(Clone, Debug)]
pub struct JwtVerifier {
    policy: AccessTokenPolicy,
    /// At least one.
    verifying_keys: Vec<VerifyingKey>,
}

impl JwtVerifier {
    /// Makes a verifier of tokens that say what `policy` decides. In the process that issues them,
    /// [`JwtIssuer::verifier`](crate::JwtIssuer::verifier) is simpler.
    ///
    /// Unless the policy says otherwise, the clock of the issuer may differ from ours by 30 seconds.
    #[must_use]
    pub fn new(policy: AccessTokenPolicy, verifying_key: VerifyingKey) -> Self {
        Self {
            policy: policy.with_default_leeway(DEFAULT_LEEWAY),
            verifying_keys: vec![verifying_key],
        }
    }

    /// Also accepts what `verifying_key` verifies. So that a key can be replaced while others verify:
    /// first all accept the new one too, then it signs, and once the last token of the old one has
    /// expired nobody accepts that any more.
    ///
    /// A token that names its key (`kid`) is checked with keys of that name and those without one.
    #[must_use]
    pub fn and_key(mut self, verifying_key: VerifyingKey) -> Self {
        self.verifying_keys.push(verifying_key);
        self
    }

    fn decode(&self, token: &str) -> Result<(Claims, NotBefore), Refusal> {
        if token.len() > MAX_TOKEN_LEN {
            return Err("the token is too long");
        }
        let (message, signature) = token.rsplit_once('.').ok_or(NOT_THREE_PARTS)?;
        let (header, claims) = message.split_once('.').ok_or(NOT_THREE_PARTS)?;
        if claims.contains('.') {
            return Err(NOT_THREE_PARTS);
        }

        let header = json_object(header).ok_or("the header is malformed or incomplete")?;
        let mut keys = self.keys_for(&header)?;
        let signature = BASE64URL
            .decode(signature)
            .map_err(|_| "the signature is malformed")?;
        if !keys.any(|key| key.verify(message.as_bytes(), &signature)) {
            return Err("the signature does not match");
        }
        let read = json_object(claims).zip(json_object(claims));
        read.ok_or("the claims are malformed or incomplete")
    }

    /// The keys, one at least, with one of which such a token may be signed.
    fn keys_for<'a>(
        &'a self,
        header: &'a Header,
    ) -> Result<impl Iterator<Item = &'a VerifyingKey>, Refusal> {
        // "application/" may be left out of a media type (RFC 7515 §4.1.9).
        if !["at+jwt", "application/at+jwt"]
            .iter()
            .any(|typ| header.typ.eq_ignore_ascii_case(typ))
        {
            return Err("the token is not an access token: its typ is not at+jwt");
        }
        let keys = self.verifying_keys.iter();
        let mut keys = keys
            .filter(|key| header.alg == key.algorithm().as_str())
            .peekable();
        if keys.peek().is_none() {
            return Err("the token is signed with another algorithm");
        }
        // "If any of the listed extension Header Parameters are not understood and supported by
        // the recipient, then the JWS is invalid" (RFC 7515 §4.1.11), as is an empty list.
        if header.crit {
            return Err("the token has a critical extension");
        }
        let mut keys = keys
            .filter(|key| match (key.kid(), &header.kid) {
                (Some(ours), Some(theirs)) => ours == theirs,
                _ => true,
            })
            .peekable();
        if keys.peek().is_none() {
            return Err("the token is signed with another key");
        }
        Ok(keys)
    }
}

#[async_trait]
impl TokenVerifier for JwtVerifier {
    async fn verify(&self, access_token: &str) -> Result<Claims, Error> {
        let decoded = self.decode(access_token);
        let (claims, not_before) =
            decoded.map_err(|refusal| Error::new(ErrorKind::InvalidToken, refusal))?;
        self.policy.check(&claims)?;
        if let Some(NumericDate(not_before)) = not_before.nbf {
            self.policy.check_not_before(not_before)?;
        }
        Ok(claims)
    }
}

/// Why a token is refused. A constant, so that nothing of the token can be in it.
type Refusal = &'static str;

/// The JOSE header (RFC 7515 §4). Keys and URLs offered in it (`jwk`, `jku`, ...) are ignored.
#[derive(Deserialize)]
struct Header {
    typ: String,
    alg: String,
    kid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    crit: bool,
}

/// The one claim that is checked and not handed on.
#[derive(Deserialize)]
struct NotBefore {
    nbf: Option<NumericDate>,
}

/// Whole seconds since 1970, until the end of 9999: what can be computed with without overflow.
#[derive(Deserialize)]
#[serde(try_from = "u64")]
struct NumericDate(SystemTime);

impl TryFrom<u64> for NumericDate {
    type Error = &'static str;

    fn try_from(seconds: u64) -> Result<Self, Self::Error> {
        let time = UnixTime::from_seconds(seconds).ok_or("a date after 9999")?;
        Ok(Self(time.to_system()))
    }
}

/// Whether a member is there at all; its value may be anything, `null` too.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// Reads one part of a token: unpadded base64url of a JSON object in UTF-8 (RFC 7519 §7.2). What
/// we look at must not be there twice (RFC 7519 §4).
fn json_object<T: DeserializeOwned>(part: &str) -> Option<T> {
    // As text, because serde_json does not check UTF-8 in what it skips.
    let json = String::from_utf8(BASE64URL.decode(part).ok()?).ok()?;
    // serde would also read the members one by one from an array.
    if !json.trim_start().starts_with('{') {
        return None;
    }
    serde_json::from_str(&json).ok()
}

const NOT_THREE_PARTS: Refusal = "the token does not have three parts";

/// The longest token that is issued or looked at, in bytes: what servers take as one header field.
pub(crate) const MAX_TOKEN_LEN: usize = 8 * 1024;

const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);
