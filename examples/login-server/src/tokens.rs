//! Who issues access tokens and who verifies them.

use std::sync::Arc;
use std::time::Duration;

use portcullis::jwt::JwtIssuer;
use portcullis::{Error, OpaqueIssuer, TokenIssuer, TokenStore, TokenVerifier};

use crate::args::{TokenArgs, TokenKind, TokenStoreArgs};
use crate::failure::Failure;
use crate::keys;

/// An issuer, and the verifier of exactly its tokens.
pub(crate) struct Tokens {
    pub(crate) issuer: Arc<dyn TokenIssuer>,
    pub(crate) verifier: Arc<dyn TokenVerifier>,
}

impl Tokens {
    /// Makes what the flags ask for. `with_users` is the token store that comes with the users.
    pub(crate) async fn open(
        args: &TokenArgs,
        store_url: &str,
        with_users: Arc<dyn TokenStore>,
    ) -> Result<Self, Failure> {
        let lifetime = Duration::from_secs(args.token_lifetime.into());
        match args.tokens {
            TokenKind::Jwt => {
                let key = keys::signing_key(&args.key, store_url)?;
                let issuer = JwtIssuer::new(key, &args.issuer, &args.audience);
                Ok(Self::jwt(issuer.with_lifetime(lifetime)?))
            }
            TokenKind::Opaque => {
                let store = store(&args.token_store, with_users).await?;
                let issuer = OpaqueIssuer::new(store, &args.issuer, &args.audience)
                    .with_lifetime(lifetime)?;
                Ok(Self {
                    verifier: Arc::new(issuer.verifier()),
                    issuer: Arc::new(issuer),
                })
            }
        }
    }

    pub(crate) fn jwt(issuer: JwtIssuer) -> Self {
        Self {
            verifier: Arc::new(issuer.verifier()),
            issuer: Arc::new(issuer),
        }
    }
}

/// The token store that the flags name, or else the one that comes with the users.
pub(crate) async fn store(
    args: &TokenStoreArgs,
    with_users: Arc<dyn TokenStore>,
) -> Result<Arc<dyn TokenStore>, Error> {
    match &args.token_store {
        Some(url) => Ok(portcullis::open(url).await?.tokens),
        None => Ok(with_users),
    }
}
