//! A user who is logged in, for tests of an application's own handlers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;

use portcullis_core::{BearerGuard, Claims, Error, ErrorKind, TokenVerifier, UserId, async_trait};

/// Logs a user in: returns a guard for the application under test, and the value of the
/// `Authorization` header of requests that this user sends.
///
/// The guard takes the access token in that header, with these `scopes`, and no other. Each call
/// makes another token, so that the guards of two calls do not take each other's users.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use portcullis_core::adapter::RequestHead;
/// use portcullis_testkit::signed_in;
///
/// let (guard, authorization) = signed_in("ada", ["read"]);
/// let head = RequestHead::new("GET", b"/orders")
///     .with_headers([("authorization", authorization.as_bytes())]);
/// let bearer = guard.admit(&head).await.expect("ada is logged in");
/// assert_eq!(bearer.claims.sub.as_str(), "ada");
/// assert!(bearer.require("read").is_ok());
/// assert!(bearer.require("write").is_err());
/// # }
/// ```
#[must_use]
pub fn signed_in<S: Into<String>>(
    user_id: &str,
    scopes: impl IntoIterator<Item = S>,
) -> (BearerGuard, String) {
    static TOKENS: AtomicUsize = AtomicUsize::new(0);
    let token = format!("testkit-{}", TOKENS.fetch_add(1, Ordering::Relaxed));
    let mut claims = Claims::new(
        "portcullis-testkit".to_owned(),
        UserId::new(user_id),
        vec!["portcullis-testkit".to_owned()],
        UNIX_EPOCH,
        UNIX_EPOCH,
        token.clone(),
    );
    claims.scopes = scopes.into_iter().map(Into::into).collect();
    let authorization = format!("Bearer {token}");
    let guard = BearerGuard::new(Arc::new(OneToken { token, claims }));
    (guard, authorization)
}

#[derive(Debug)]
struct OneToken {
    token: String,
    claims: Claims,
}

#[async_trait]
impl TokenVerifier for OneToken {
    async fn verify(&self, access_token: &str) -> Result<Claims, Error> {
        if access_token == self.token {
            return Ok(self.claims.clone());
        }
        Err(Error::new(
            ErrorKind::InvalidToken,
            "not the token of the user who is signed in",
        ))
    }
}
