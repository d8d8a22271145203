//! Turns a [`TokenRequest`] into a signed token (RFC 9068 §2).

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use portcullis_core::token::{TokenRequest, TokenResponse};
use portcullis_core::{AccessTokenPolicy, Error, ErrorKind, Secret, TokenIssuer, async_trait};
use serde_json::Value;

use crate::key::SigningKey;
use crate::verifier::{JwtVerifier, MAX_TOKEN_LEN};

/// Issues JWT access tokens (RFC 9068), signed with a [`SigningKey`]. What they say is up to an
/// [`AccessTokenPolicy`].
///
/// Their header is `typ`, `alg` and, if the key has one, `kid`; their payload is
/// [`Claims`](portcullis_core::Claims) as JSON.
///
/// ```
/// use portcullis_core::{AccessTokenPolicy, OsRandom};
/// use portcullis_jwt::{JwtIssuer, SigningKey};
///
/// let policy = AccessTokenPolicy::new("https://login.example", "https://api.example");
/// let issuer = JwtIssuer::new(policy, SigningKey::generate_ephemeral(&OsRandom)?);
/// let verifier = issuer.verifier();
/// # let _ = verifier;
/// # Ok::<(), portcullis_core::Error>(())
/// ```
#[derive(Debug)]
pub struct JwtIssuer {
    policy: AccessTokenPolicy,
    signing_key: SigningKey,
    /// The header as it stands in every token.
    header: String,
}

impl JwtIssuer {
    /// Makes an issuer of tokens that say what `policy` decides.
    #[must_use]
    pub fn new(policy: AccessTokenPolicy, signing_key: SigningKey) -> Self {
        Self {
            policy,
            header: BASE64URL.encode(header(&signing_key)),
            signing_key,
        }
    }

    /// Makes the verifier of exactly these tokens: same policy and key.
    #[must_use]
    pub fn verifier(&self) -> JwtVerifier {
        let key = self.signing_key.verifying_key().clone();
        JwtVerifier::new(self.policy.clone(), key)
    }
}

#[async_trait]
impl TokenIssuer for JwtIssuer {
    async fn issue(&self, request: TokenRequest<'_>) -> Result<TokenResponse, Error> {
        let claims = self.policy.claims(&request).await?;
        let mut payload = Vec::with_capacity(USUAL_PAYLOAD_LEN);
        serde_json::to_writer(&mut payload, &claims)
            .map_err(|source| internal("the claims cannot be written").with_source(source))?;

        let mut token =
            String::with_capacity(self.header.len() + 2 * payload.len() + SIGNATURE_LEN);
        token.push_str(&self.header);
        token.push('.');
        BASE64URL.encode_string(payload, &mut token);
        let signature = self.signing_key.sign(token.as_bytes())?;
        token.push('.');
        BASE64URL.encode_string(signature, &mut token);
        // A token that no verifier takes must not look like a login that worked.
        if token.len() > MAX_TOKEN_LEN {
            return Err(internal(
                "the token would be too long; shorten the user id, the scopes, the issuer or the \
                 further claims",
            ));
        }
        Ok(TokenResponse::new(
            Secret::from(token),
            self.policy.lifetime(),
        ))
    }
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

/// Bytes: what claims take, without growing in between.
const USUAL_PAYLOAD_LEN: usize = 512;

/// Bytes: of a signature in base64url, and the dots.
const SIGNATURE_LEN: usize = 90;
