//! Turns what a client sent as a token into [`Claims`], or refuses it.
//!
//! Nothing of a token is believed before its signature has been checked, except that its header
//! may be reason enough to refuse it.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use portcullis_core::{
    Claims, Clock, Error, ErrorKind, SystemClock, TokenVerifier, UserId, async_trait,
};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};

use crate::key::VerifyingKey;

/// Verifies JWT access tokens (RFC 9068 §4, RFC 8725).
///
/// A token is refused unless it is at most 8 KiB long, its `typ` is `at+jwt`, its `alg` is that of a
/// key, whose signature matches, its `iss` is the issuer, its `aud` is or contains the audience,
/// and it has `sub`, `exp`, `iat` and `jti`. It is refused from `exp` on and before `nbf`, give or
/// take the leeway, and whenever it has a `crit` header: no extension is understood.
#[derive(Clone, Debug)]
pub struct JwtVerifier {
    /// At least one.
    verifying_keys: Vec<VerifyingKey>,
    issuer: String,
    audience: String,
    leeway: Duration,
    clock: Arc<dyn Clock>,
}

impl JwtVerifier {
    /// Makes a verifier of tokens by `issuer` for `audience`, both compared byte for byte. In the
    /// process that issues them, [`JwtIssuer::verifier`](crate::JwtIssuer::verifier) is simpler.
    pub fn new(
        verifying_key: VerifyingKey,
        issuer: impl Into<String>,
        audience: impl Into<String>,
    ) -> Self {
        Self {
            verifying_keys: vec![verifying_key],
            issuer: issuer.into(),
            audience: audience.into(),
            leeway: DEFAULT_LEEWAY,
            clock: Arc::new(SystemClock),
        }
    }

    /// Also accepts what `verifying_key` verifies. So that a key can be replaced while others verify:
    /// first all accept the new one too, then it signs, and once the last token of the old one has
    /// expired nobody accepts that any more.
    ///
    /// A token that names its key (`kid`) is checked with keys of that name and those without one.
    #[must_use]
    pub fn with_key(mut self, verifying_key: VerifyingKey) -> Self {
        self.verifying_keys.push(verifying_key);
        self
    }

    /// Sets by how much the clock of the issuer may differ from ours (RFC 7519 §4.1.4). Default 30
    /// seconds.
    #[must_use]
    pub fn with_leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Takes the time from `clock`. Default [`SystemClock`].
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    fn check(&self, token: &str) -> Result<Claims, Refusal> {
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
        self.check_claims(json_object(claims).ok_or("the claims are malformed or incomplete")?)
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

    fn check_claims(&self, claims: ReceivedClaims) -> Result<Claims, Refusal> {
        let aud = match claims.aud {
            Audience::One(aud) => vec![aud],
            Audience::Many(aud) => aud,
        };
        if claims.iss != self.issuer {
            return Err("the token is from another issuer");
        }
        if !aud.contains(&self.audience) {
            return Err("the token is for another audience");
        }
        let now = self.clock.now();
        let NumericDate(exp) = claims.exp;
        // "[...] on or after which the JWT MUST NOT be accepted" (RFC 7519 §4.1.4).
        if (now.duration_since(exp)).is_ok_and(|late| late >= self.leeway) {
            return Err("the token has expired");
        }
        if let Some(NumericDate(nbf)) = claims.nbf
            && (nbf.duration_since(now)).is_ok_and(|early| early > self.leeway)
        {
            return Err("the token is not valid yet");
        }
        let NumericDate(iat) = claims.iat;
        let sub = UserId::new(claims.sub);
        let mut verified = Claims::new(claims.iss, sub, aud, iat, exp, claims.jti);
        verified.client_id = claims.client_id;
        verified.scopes = claims
            .scope
            .split(' ')
            .filter(|scope| !scope.is_empty())
            .map(str::to_owned)
            .collect();
        Ok(verified)
    }
}

#[async_trait]
impl TokenVerifier for JwtVerifier {
    async fn verify(&self, access_token: &str) -> Result<Claims, Error> {
        self.check(access_token)
            .map_err(|refusal| Error::new(ErrorKind::InvalidToken, refusal))
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

#[derive(Deserialize)]
struct ReceivedClaims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: NumericDate,
    iat: NumericDate,
    nbf: Option<NumericDate>,
    jti: String,
    client_id: Option<String>,
    #[serde(default)]
    scope: String,
}

/// "In the special case when the JWT has one audience, the "aud" value MAY be a single
/// case-sensitive string" (RFC 7519 §4.1.3).
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// Whole seconds since 1970, until the end of 9999: what can be computed with without overflow.
#[derive(Deserialize)]
#[serde(try_from = "u64")]
struct NumericDate(SystemTime);

impl TryFrom<u64> for NumericDate {
    type Error = &'static str;

    fn try_from(seconds: u64) -> Result<Self, Self::Error> {
        if seconds > MAX_NUMERIC_DATE {
            return Err("a date after 9999");
        }
        Ok(Self(UNIX_EPOCH + Duration::from_secs(seconds)))
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

/// 9999-12-31T23:59:59Z.
const MAX_NUMERIC_DATE: u64 = 253_402_300_799;
