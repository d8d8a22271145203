//! Another format of access tokens: PASETO v4.local, encrypted and not only signed.

use std::fmt;

use pasetors::keys::SymmetricKey;
use pasetors::token::{Local, UntrustedToken};
use pasetors::version4::{LocalToken, V4};
use portcullis::token::{TokenRequest, TokenResponse};
use portcullis::{
    AccessTokenPolicy, Claims, Error, ErrorKind, Secret, TokenIssuer, TokenVerifier, async_trait,
};

/// Issues and verifies such tokens. What they say is up to the policy; this only encodes it.
pub struct Paseto {
    policy: AccessTokenPolicy,
    key: SymmetricKey<V4>,
}

impl Paseto {
    /// Takes the policy and a key of 32 random bytes.
    #[must_use]
    pub fn new(policy: AccessTokenPolicy, key: SymmetricKey<V4>) -> Self {
        Self { policy, key }
    }
}

impl fmt::Debug for Paseto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Paseto").finish_non_exhaustive()
    }
}

#[async_trait]
impl TokenIssuer for Paseto {
    async fn issue(&self, request: TokenRequest<'_>) -> Result<TokenResponse, Error> {
        let failed = |message| Error::new(ErrorKind::Internal, message);
        let claims = serde_json::to_vec(&self.policy.claims(&request).await?)
            .map_err(|error| failed("the claims cannot be written").with_source(error))?;
        let token = LocalToken::encrypt(&self.key, &claims, None, None)
            .map_err(|_| failed("the token cannot be encrypted"))?;
        Ok(TokenResponse::new(
            Secret::from(token),
            self.policy.lifetime(),
        ))
    }
}

#[async_trait]
impl TokenVerifier for Paseto {
    async fn verify(&self, access_token: &str) -> Result<Claims, Error> {
        let refused = || Error::new(ErrorKind::InvalidToken, "the token is not one of ours");
        let token = UntrustedToken::<Local, V4>::try_from(access_token).map_err(|_| refused())?;
        let token = LocalToken::decrypt(&self.key, &token, None, None).map_err(|_| refused())?;
        let claims = serde_json::from_str(token.payload()).map_err(|_| refused())?;
        self.policy.check(&claims)?;
        Ok(claims)
    }
}
