//! Access tokens that say nothing: 256 random bits, whose meaning is in a [`TokenStore`].
//!
//! Unlike a JWT such a token costs a look-up to check, and can be revoked at once. The store never
//! sees the token, only its hash: who reads the store can log in as nobody.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;

use crate::error::{Error, ErrorKind};
use crate::housekeeping::Housekeeping;
use crate::random::random_bytes;
use crate::secret::Secret;
use crate::store::{TokenHash, TokenStore};
use crate::token::{
    AccessTokenPolicy, Claims, TokenIssuer, TokenRequest, TokenResponse, TokenVerifier,
};

/// Issues opaque access tokens: 43 characters of base64url.
///
/// Once in five minutes, at a login, the store is told to delete what has expired, a thousand at a
/// time, and again at the next logins until nothing is left; should that fail, the login succeeds
/// all the same.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), portcullis_core::Error> {
/// use std::sync::Arc;
///
/// use portcullis_core::memory::MemoryTokenStore;
/// use portcullis_core::token::TokenRequest;
/// use portcullis_core::{AccessTokenPolicy, ErrorKind, OpaqueIssuer, TokenIssuer, TokenVerifier, UserId};
///
/// let policy = AccessTokenPolicy::new("https://login.example", "https://api.example");
/// let issuer = OpaqueIssuer::new(policy, Arc::new(MemoryTokenStore::new()));
/// let verifier = issuer.verifier();
///
/// let ada = UserId::new("ada");
/// let token = issuer.issue(TokenRequest::new(&ada)).await?.access_token;
/// assert_eq!(verifier.verify(token.expose()).await?.sub, ada);
///
/// verifier.revoke(token.expose()).await?;
/// let refused = verifier.verify(token.expose()).await.unwrap_err();
/// assert_eq!(refused.kind(), ErrorKind::InvalidToken);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct OpaqueIssuer {
    policy: AccessTokenPolicy,
    store: Arc<dyn TokenStore>,
    housekeeping: Housekeeping,
}

impl OpaqueIssuer {
    /// Makes an issuer of tokens that mean what `policy` says, kept in `store`. All nodes of a service
    /// share one store.
    pub fn new(policy: AccessTokenPolicy, store: Arc<dyn TokenStore>) -> Self {
        Self {
            policy,
            store,
            housekeeping: Housekeeping::default(),
        }
    }

    /// Makes the verifier of exactly these tokens: same policy and store.
    #[must_use]
    pub fn verifier(&self) -> OpaqueVerifier {
        OpaqueVerifier::new(self.policy.clone(), Arc::clone(&self.store))
    }
}

#[async_trait]
impl TokenIssuer for OpaqueIssuer {
    async fn issue(&self, request: TokenRequest<'_>) -> Result<TokenResponse, Error> {
        let claims = self.policy.claims(&request).await?;
        let bytes = random_bytes::<TOKEN_LEN>(&**self.policy.random(), "an access token")?;
        let token = Secret::from(BASE64URL.encode(*bytes));
        let hash = TokenHash::of(token.expose());
        self.store.insert(&hash, &claims).await?;
        // Afterwards: a store that is out of order is waited for once, not twice.
        self.housekeeping
            .run(
                "expired access tokens could not be deleted",
                &**self.policy.clock(),
                async |now, limit| self.store.delete_expired(now, limit).await,
            )
            .await;
        Ok(TokenResponse::new(token, self.policy.lifetime()))
    }
}

/// Verifies opaque access tokens, and revokes them.
///
/// A token is refused unless the store has it and [`AccessTokenPolicy::check`] takes its claims.
#[derive(Clone, Debug)]
pub struct OpaqueVerifier {
    policy: AccessTokenPolicy,
    store: Arc<dyn TokenStore>,
}

impl OpaqueVerifier {
    /// Makes a verifier of tokens that mean what `policy` says, kept in `store`. In the process that
    /// issues them, [`OpaqueIssuer::verifier`] is simpler.
    pub fn new(policy: AccessTokenPolicy, store: Arc<dyn TokenStore>) -> Self {
        Self { policy, store }
    }

    /// Revokes a token at once, for all who verify it; `false` if the store does not have it
    /// (RFC 7009 §2.2 calls that a success too). Whoever has a token may revoke it.
    ///
    /// # Errors
    /// As [`TokenStore::revoke`]: the token may then still be good.
    pub async fn revoke(&self, access_token: &str) -> Result<bool, Error> {
        self.store.revoke(&TokenHash::of(access_token)).await
    }
}

#[async_trait]
impl TokenVerifier for OpaqueVerifier {
    async fn verify(&self, access_token: &str) -> Result<Claims, Error> {
        // What cannot be a token costs no look-up.
        if access_token.len() != TOKEN_TEXT_LEN {
            return Err(refused("the token does not have 43 characters"));
        }
        let claims = self.store.find(&TokenHash::of(access_token)).await?;
        let claims = claims.ok_or_else(|| refused("the token is unknown or was revoked"))?;
        self.policy.check(&claims)?;
        Ok(claims)
    }
}

fn refused(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidToken, message)
}

/// 256 bits: more than the 160 that RFC 6749 §10.10 asks for.
const TOKEN_LEN: usize = 32;

/// The length of so many bytes in base64url.
const TOKEN_TEXT_LEN: usize = (TOKEN_LEN * 8).div_ceil(6);
