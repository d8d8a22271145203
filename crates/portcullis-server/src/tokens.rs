//! Who issues access tokens and who verifies them.

use std::sync::Arc;
use std::time::Duration;

use portcullis::jwt::{JwtIssuer, JwtVerifier, VerifyingKey};
use portcullis::refresh::RefreshPolicy;
use portcullis::store::{RefreshStore, TokenStore};
use portcullis::{
    AccessTokenPolicy, Error, OpaqueIssuer, RefreshTokens, Stores, TokenIssuer, TokenVerifier,
};

use crate::args::{RefreshArgs, TokenArgs, TokenKind, TokenStoreArgs};
use crate::failure::Failure;
use crate::keys;

/// An issuer, and the verifier of exactly its tokens.
pub(crate) struct Tokens {
    pub(crate) issuer: Arc<dyn TokenIssuer>,
    pub(crate) verifier: Arc<dyn TokenVerifier>,
}

impl Tokens {
    /// Makes what the flags ask for. `store` is where opaque tokens are.
    pub(crate) fn open(
        args: &TokenArgs,
        store_url: &str,
        store: Arc<dyn TokenStore>,
    ) -> Result<Self, Failure> {
        let lifetime = Duration::from_secs(args.token_lifetime.into());
        let policy =
            AccessTokenPolicy::new(&args.issuer, &args.audience).with_lifetime(lifetime)?;
        match args.tokens {
            TokenKind::Jwt => {
                let key = keys::signing_key(&args.key, store_url)?;
                let issuer = JwtIssuer::new(policy, key);
                Ok(Self::jwt(issuer, keys::accepted(&args.key)?))
            }
            TokenKind::Opaque => {
                let issuer = OpaqueIssuer::new(policy, store);
                Ok(Self {
                    verifier: Arc::new(issuer.verifier()),
                    issuer: Arc::new(issuer),
                })
            }
        }
    }

    /// Also takes tokens that one of `accepted` verifies.
    pub(crate) fn jwt(issuer: JwtIssuer, accepted: Vec<VerifyingKey>) -> Self {
        let verifier = accepted
            .into_iter()
            .fold(issuer.verifier(), JwtVerifier::and_key);
        Self {
            verifier: Arc::new(verifier),
            issuer: Arc::new(issuer),
        }
    }
}

pub(crate) fn refresh_tokens(
    args: &RefreshArgs,
    store: Arc<dyn RefreshStore>,
) -> Result<RefreshTokens, Error> {
    let mut policy = RefreshPolicy::default();
    policy.idle_lifetime = Duration::from_secs(args.refresh_idle_lifetime.into());
    policy.absolute_lifetime = Duration::from_secs(args.refresh_absolute_lifetime.into());
    policy.max_sessions = args.max_sessions;
    RefreshTokens::new(store).with_policy(policy)
}

/// The stores that the flags name for tokens, or else those that come with the users.
pub(crate) async fn stores(args: &TokenStoreArgs, with_users: &Stores) -> Result<Stores, Failure> {
    match args.url()? {
        Some(url) => Ok(portcullis::open(&url).await?),
        None => Ok(with_users.clone()),
    }
}
