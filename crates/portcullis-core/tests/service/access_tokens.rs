//! What access tokens say, and what they must say to be taken.

use std::sync::Arc;
use std::time::Duration;

use portcullis_core::token::{ClaimsSource, OpaqueVerifier, TokenRequest};
use portcullis_core::{
    AccessTokenPolicy, Claims, Credential, Error, ErrorKind, TokenIssuer, TokenVerifier, UserId,
    Username, async_trait,
};
use serde_json::{Map, Value, json};

use crate::house::{DAY, House, LOGIN, cookie, member, post};

#[tokio::test]
async fn a_token_says_who_logged_in_when_for_whom_and_for_what() {
    let house = House::new().await;
    house.clock.advance(Duration::from_millis(5_999));
    let second = house.now() - Duration::from_millis(999);
    let mut user = Credential::new(UserId::new("1"), Username::new("ada"));
    user.tokens_valid_from = second - Duration::from_nanos(1_500);
    let scopes = ["read".to_owned()];
    let mut request = TokenRequest::of(&user).with_scopes(&scopes);
    request.client_id = Some("spa");
    request.session_id = Some("a login");
    request.authenticated_at = Some(second - Duration::from_millis(1));
    let policy = house.policy.clone().and_audience("https://other.example");
    let policy = policy.with_lifetime(Duration::from_millis(60_999)).unwrap();

    let claims = policy.claims(&request).await.unwrap();
    let mut expected = Claims::new(
        "https://login.example".to_owned(),
        UserId::new("1"),
        vec![
            "https://api.example".to_owned(),
            "https://other.example".to_owned(),
        ],
        // Of the look-up, and of now: in whole seconds.
        second - Duration::from_secs(1),
        second + Duration::from_secs(60),
        claims.jti.clone(),
    );
    expected.client_id = Some("spa".to_owned());
    expected.scopes = scopes.to_vec();
    expected.sid = Some("a login".to_owned());
    // In whole microseconds.
    expected.cut_off = Some(second - Duration::from_micros(2));
    assert_eq!(claims, expected);
    assert_ne!(policy.claims(&request).await.unwrap().jti, claims.jti);

    // Without a record there is no cut-off to carry.
    let claims = policy
        .claims(&TokenRequest::new(&user.user_id))
        .await
        .unwrap();
    assert_eq!((claims.cut_off, claims.iat), (None, second));
}

#[tokio::test]
async fn a_token_is_for_any_of_its_audiences_and_for_no_other() {
    let house = House::new().await;
    let (api, admin) = ("https://api.example", "https://admin.example");
    let both = house.policy.clone().and_audience(admin);
    let house_of = |policy: AccessTokenPolicy| House { policy, ..house };
    let house = house_of(both);
    let user = UserId::new("1");
    let issued = house
        .issuer()
        .issue(TokenRequest::new(&user))
        .await
        .unwrap();
    for (audiences, is_good) in [
        (vec![api], true),
        (vec![admin], true),
        (vec!["https://elsewhere.example", admin], true),
        (vec!["https://elsewhere.example"], false),
        (vec!["https://api.example/"], false),
        (vec![""], false),
    ] {
        let policy = AccessTokenPolicy::new("https://login.example", audiences[0]);
        let policy = audiences[1..]
            .iter()
            .fold(policy, |policy, audience| policy.and_audience(*audience))
            .with_clock(house.clock.clone());
        let verifier = OpaqueVerifier::new(policy, house.tokens.clone());
        let verified = verifier.verify(issued.access_token.expose()).await;
        let refused = verified.err().map(|error| error.kind());
        assert_eq!(
            refused,
            (!is_good).then_some(ErrorKind::InvalidToken),
            "{audiences:?}"
        );
    }
}

/// Adds the claims that it was given, and the user's name.
#[derive(Debug)]
struct Adds(Map<String, Value>);

#[async_trait]
impl ClaimsSource for Adds {
    async fn claims(&self, request: &TokenRequest<'_>) -> Result<Map<String, Value>, Error> {
        let mut claims = self.0.clone();
        let name = request.user.map(|user| user.username.as_str());
        claims.insert("name".to_owned(), name.into());
        Ok(claims)
    }
}

/// Has no claims to give.
#[derive(Debug)]
struct Down;

#[async_trait]
impl ClaimsSource for Down {
    async fn claims(&self, _: &TokenRequest<'_>) -> Result<Map<String, Value>, Error> {
        Err(Error::new(ErrorKind::Unavailable, "no roles"))
    }
}

#[tokio::test]
async fn further_claims_reach_handlers_after_a_login_and_after_a_refresh() {
    let mut house = House::new().await;
    let roles = json!({ "roles": ["admin"], "tenant": { "id": 7 } });
    let source = Adds(roles.as_object().unwrap().clone());
    house.policy = house.policy.with_claims(Arc::new(source));
    let endpoint = house.by_cookie();
    let login = post(&endpoint, LOGIN).await;
    let sent = format!("refresh_token={}", cookie(&login, "refresh_token").unwrap());
    let refreshed = endpoint.handle_refresh([sent.as_bytes()], None).await;
    for reply in [login, refreshed] {
        let token = member(&reply, "access_token");
        let claims = house.issuer().verifier().verify(&token).await.unwrap();
        assert_eq!(
            Value::from(claims.extra),
            json!({ "name": "ada", "roles": ["admin"], "tenant": { "id": 7 } })
        );
    }

    house.policy = house.policy.with_claims(Arc::new(Down));
    assert_eq!(post(&house.endpoint(), LOGIN).await.status(), 503);
}

#[tokio::test]
async fn no_source_can_replace_what_the_policy_says() {
    let house = House::new().await;
    let user = UserId::new("1");
    for name in [
        "iss",
        "sub",
        "aud",
        "exp",
        "iat",
        "nbf",
        "jti",
        "client_id",
        "scope",
        "sid",
        "cut_off",
    ] {
        let source = Adds(Map::from_iter([(name.to_owned(), "x".into())]));
        let policy = house.policy.clone().with_claims(Arc::new(source));
        let refused = policy.claims(&TokenRequest::new(&user)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Internal);
        assert!(refused.message().contains(&format!("`{name}`")));
    }
}

#[tokio::test]
async fn the_leeway_is_said_once_and_only_its_default_is_left_to_verifiers() {
    let house = House::new().await;
    let issued = house.now();
    let claims = {
        let user = UserId::new("1");
        house
            .policy
            .claims(&TokenRequest::new(&user))
            .await
            .unwrap()
    };
    let (default, own) = (
        house.policy.clone(),
        house.policy.clone().with_leeway(Duration::ZERO),
    );
    house
        .clock
        .set(issued + Duration::from_secs(900 + 30) - Duration::from_nanos(1));
    let half_a_minute = Duration::from_secs(30);
    assert!(default.check(&claims).is_err());
    assert!(
        default
            .clone()
            .with_default_leeway(half_a_minute)
            .check(&claims)
            .is_ok()
    );
    assert!(
        own.clone()
            .with_default_leeway(half_a_minute)
            .check(&claims)
            .is_err()
    );
    house.clock.advance(Duration::from_nanos(1));
    assert!(
        default
            .clone()
            .with_default_leeway(half_a_minute)
            .check(&claims)
            .is_err()
    );

    let not_before = house.now() + half_a_minute;
    assert!(default.check_not_before(not_before).is_err());
    let forgiving = own.with_leeway(half_a_minute);
    assert!(forgiving.check_not_before(not_before).is_ok());
    assert!(
        forgiving
            .check_not_before(not_before + Duration::from_nanos(1))
            .is_err()
    );
}

/// For a verifier whose clock is behind, and that refuses what is of the future.
#[tokio::test]
async fn a_token_can_be_dated_back_and_ends_when_it_would() {
    let house = House::new().await;
    let ada = UserId::new("1");
    let claims = async |backdating| {
        let policy = house.policy.clone().with_backdating(backdating);
        policy.claims(&TokenRequest::new(&ada)).await.unwrap()
    };
    let (now, dated) = (
        claims(Duration::ZERO).await,
        claims(Duration::from_secs(60)).await,
    );
    assert_eq!(dated.iat, now.iat - Duration::from_secs(60));
    assert_eq!((dated.exp, dated.cut_off), (now.exp, now.cut_off));
    let oldest = claims(Duration::MAX).await;
    assert_eq!(oldest.iat, std::time::UNIX_EPOCH);
}

#[tokio::test]
async fn all_tokens_of_one_login_name_it_and_no_other() {
    let house = House::new().await;
    let endpoint = house.by_cookie();
    let mut seen = Vec::new();
    for _ in 0..2 {
        let mut reply = post(&endpoint, LOGIN).await;
        let mut sids = Vec::new();
        for _ in 0..3 {
            let token = member(&reply, "access_token");
            let claims = house.issuer().verifier().verify(&token).await.unwrap();
            sids.push(claims.sid.unwrap());
            house.clock.advance(DAY);
            let sent = format!("refresh_token={}", cookie(&reply, "refresh_token").unwrap());
            reply = endpoint.handle_refresh([sent.as_bytes()], None).await;
        }
        sids.dedup();
        assert_eq!(sids.len(), 1);
        assert_eq!(sids[0].len(), 43);
        seen.append(&mut sids);
    }
    assert_ne!(seen[0], seen[1]);

    house.random.exhaust();
    assert_eq!(post(&endpoint, LOGIN).await.status(), 503);
}
