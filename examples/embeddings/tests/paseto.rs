//! Tokens in another format.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use embeddings::Paseto;
use pasetors::keys::SymmetricKey;
use portcullis::token::TokenRequest;
use portcullis::{
    AccessTokenPolicy, Credential, ErrorKind, TokenIssuer, TokenVerifier, UserId, Username,
};
use portcullis_testkit::ManualClock;

#[tokio::test]
async fn a_token_says_what_the_policy_decides_until_it_expires() {
    let clock = Arc::new(ManualClock::new(
        UNIX_EPOCH + Duration::from_secs(1_700_000_000),
    ));
    let policy = AccessTokenPolicy::new("issuer", "audience").with_clock(clock.clone());
    let tokens = Paseto::new(policy.clone(), SymmetricKey::from(&[7; 32]).unwrap());
    let ada = Credential::new(UserId::new("1"), Username::new("ada"));
    let scopes = ["read".to_owned()];
    let request = TokenRequest::of(&ada).with_scopes(&scopes);
    let token = tokens.issue(request).await.unwrap().access_token;

    let claims = tokens.verify(token.expose()).await.unwrap();
    assert_eq!(
        (claims.sub.as_str(), &claims.scopes[..]),
        ("1", &scopes[..])
    );
    assert_eq!(claims.cut_off, Some(ada.tokens_valid_from));

    let other = Paseto::new(policy, SymmetricKey::from(&[8; 32]).unwrap());
    clock.advance(Duration::from_secs(15 * 60 - 1));
    assert!(tokens.verify(token.expose()).await.is_ok());
    for (verifier, seconds) in [(&other, 0), (&tokens, 1)] {
        clock.advance(Duration::from_secs(seconds));
        let refused = verifier.verify(token.expose()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidToken);
    }
}
