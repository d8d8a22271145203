//! Access tokens that prove nothing.

use std::time::{Duration, UNIX_EPOCH};

use portcullis_core::token::{TokenRequest, TokenResponse};
use portcullis_core::{
    Claims, Error, ErrorKind, Secret, TokenIssuer, TokenVerifier, UserId, async_trait,
};

/// Gives everybody the access token `good`, and takes it from anybody for that of the user `ada`.
/// The token `out` is answered with `Unavailable`, and any other with `InvalidToken`.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct FakeTokens;

impl FakeTokens {
    /// Makes them. They know nothing.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

#[async_trait]
impl TokenIssuer for FakeTokens {
    async fn issue(&self, _: TokenRequest<'_>) -> Result<TokenResponse, Error> {
        let token = Secret::from("good".to_owned());
        Ok(TokenResponse::new(token, Duration::from_secs(900)))
    }
}

#[async_trait]
impl TokenVerifier for FakeTokens {
    async fn verify(&self, access_token: &str) -> Result<Claims, Error> {
        match access_token {
            "good" => Ok(Claims::new(
                "issuer".to_owned(),
                UserId::new("ada"),
                vec!["audience".to_owned()],
                UNIX_EPOCH,
                UNIX_EPOCH,
                "1".to_owned(),
            )),
            "out" => Err(Error::new(
                ErrorKind::Unavailable,
                "tokens cannot be checked",
            )),
            _ => Err(Error::new(ErrorKind::InvalidToken, "not the token `good`")),
        }
    }
}
