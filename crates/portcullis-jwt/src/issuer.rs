//! Turns a [`TokenRequest`] into a signed token (RFC 9068 §2).

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use portcullis_core::{
    Clock, Error, ErrorKind, OsRandom, Secret, SecureRandom, SystemClock, TokenIssuer,
    TokenRequest, TokenResponse, async_trait,
};
use serde::Serialize;
use serde_json::Value;

use crate::key::SigningKey;
use crate::verifier::{JwtVerifier, MAX_TOKEN_LEN};

/// Issues JWT access tokens (RFC 9068).
///
/// Their header is `typ`, `alg` and, if the key has one, `kid`; their claims are `iss`, `sub`,
/// `aud`, `exp`, `iat`, `nbf`, `jti`, and `client_id` and `scope` if there are any. Times are whole
/// seconds; `iat` is [`TokenRequest::issued_at`] and `nbf` equals it, while `exp` counts from now. A
/// `client_id` longer than 256 bytes is left out: it was not authenticated, and a client must not be
/// able to make its token too long to use.
#[derive(Debug)]
pub struct JwtIssuer {
    signing_key: SigningKey,
    /// The header as it stands in every token.
    header: String,
    issuer: String,
    audience: String,
    lifetime: Duration,
    clock: Arc<dyn Clock>,
    random: Arc<dyn SecureRandom>,
}

impl JwtIssuer {
    /// Makes an issuer of tokens by `issuer` (`iss`) for `audience` (`aud`). Both are best URLs;
    /// verifiers compare them byte for byte.
    pub fn new(
        signing_key: SigningKey,
        issuer: impl Into<String>,
        audience: impl Into<String>,
    ) -> Self {
        Self {
            header: BASE64URL.encode(header(&signing_key)),
            signing_key,
            issuer: issuer.into(),
            audience: audience.into(),
            lifetime: DEFAULT_LIFETIME,
            clock: Arc::new(SystemClock),
            random: Arc::new(OsRandom),
        }
    }

    /// Sets how long tokens live, in whole seconds: a fraction is dropped. Default 15 minutes; at
    /// least 1 second, at most 365 days.
    ///
    /// # Errors
    /// `InvalidConfig` if `lifetime` is out of range.
    pub fn with_lifetime(mut self, lifetime: Duration) -> Result<Self, Error> {
        if !(Duration::from_secs(1)..=MAX_LIFETIME).contains(&lifetime) {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                "the lifetime of access tokens must be from 1 second to 365 days",
            ));
        }
        self.lifetime = Duration::from_secs(lifetime.as_secs());
        Ok(self)
    }

    /// Takes the time from `clock`. Default [`SystemClock`].
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Takes the bytes of `jti` from `random`. Default [`OsRandom`].
    #[must_use]
    pub fn with_random(mut self, random: Arc<dyn SecureRandom>) -> Self {
        self.random = random;
        self
    }

    /// Makes the verifier of exactly these tokens: same key, issuer, audience and clock.
    #[must_use]
    pub fn verifier(&self) -> JwtVerifier {
        let key = self.signing_key.verifying_key().clone();
        JwtVerifier::new(key, &*self.issuer, &*self.audience).with_clock(Arc::clone(&self.clock))
    }

    fn random_id(&self) -> Result<String, Error> {
        let mut bytes = [0; JTI_LEN];
        self.random.fill(&mut bytes).map_err(|source| {
            Error::new(ErrorKind::Unavailable, "no randomness for a token id").with_source(source)
        })?;
        Ok(BASE64URL.encode(bytes))
    }
}

#[async_trait]
impl TokenIssuer for JwtIssuer {
    async fn issue(&self, request: TokenRequest<'_>) -> Result<TokenResponse, Error> {
        let now = self.clock.now();
        let iat = unix_seconds(request.issued_at(now))?;
        let claims = IssuedClaims {
            iss: &self.issuer,
            sub: request.subject.as_str(),
            aud: &self.audience,
            exp: unix_seconds(now)? + self.lifetime.as_secs(),
            iat,
            nbf: iat,
            jti: self.random_id()?,
            client_id: request
                .client_id
                .filter(|client_id| client_id.len() <= MAX_CLIENT_ID_LEN),
            scope: request.scopes.join(" "),
        };
        let claims = serde_json::to_vec(&claims)
            .map_err(|source| internal("the claims cannot be written").with_source(source))?;

        let mut token = format!("{}.{}", self.header, BASE64URL.encode(claims));
        let signature = self.signing_key.sign(token.as_bytes())?;
        token.push('.');
        BASE64URL.encode_string(signature, &mut token);
        // A token that no verifier takes must not look like a login that worked.
        if token.len() > MAX_TOKEN_LEN {
            return Err(internal(
                "the token would be too long; shorten the user id, the scopes or the issuer",
            ));
        }
        Ok(TokenResponse::new(Secret::from(token), self.lifetime))
    }
}

fn unix_seconds(time: SystemTime) -> Result<u64, Error> {
    time.duration_since(UNIX_EPOCH)
        .map(|since| since.as_secs())
        .map_err(|source| internal("the clock is set before 1970").with_source(source))
}

#[derive(Serialize)]
struct IssuedClaims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    exp: u64,
    iat: u64,
    nbf: u64,
    jti: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    scope: String,
}

/// The JOSE header. Written by hand because `serde_json` sorts the keys of a [`Value`], and can
/// fail for anything else.
fn header(key: &SigningKey) -> String {
    let alg = key.algorithm().as_str();
    match key.verifying_key().kid() {
        Some(kid) => {
            let kid = Value::from(kid);
            format!(r#"{{"typ":"at+jwt","alg":"{alg}","kid":{kid}}}"#)
        }
        None => format!(r#"{{"typ":"at+jwt","alg":"{alg}"}}"#),
    }
}

fn internal(message: &'static str) -> Error {
    Error::new(ErrorKind::Internal, message)
}

const DEFAULT_LIFETIME: Duration = Duration::from_secs(15 * 60);
const MAX_LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// 128 bits: no two tokens share an id (RFC 7519 §4.1.7).
const JTI_LEN: usize = 16;

const MAX_CLIENT_ID_LEN: usize = 256;
