//! Passwords that are long enough, and not taken all the same.

use std::sync::Arc;

use portcullis_core::accounts::{ResetRefusal, SignUpRefusal};
use portcullis_core::endpoint::TokenRefusal;
use portcullis_core::gate::{Denial, GateDecision, LoginCandidate};
use portcullis_core::password::{Blocklist, PasswordPolicy, PasswordRefusal};
use portcullis_core::store::UserStatus;
use portcullis_core::{Error, ErrorKind, LoginGate, Secret, UserId, Username, async_trait};
use portcullis_testkit::HashWork;

use crate::house::{House, LOGIN, post, text};

fn secret(text: &str) -> Secret {
    Secret::from(text.to_owned())
}

const NO_SCOPES: [&str; 0] = [];

/// Blocks `open sesame`, for anybody, and `bob's cave` for bob.
#[derive(Debug)]
struct Tale;

impl Blocklist for Tale {
    fn blocks(&self, password: &Secret, username: &Username) -> bool {
        assert_ne!(password.expose(), "a bug of the list");
        match password.expose() {
            "bob's cave" => username.as_str() == "bob",
            password => password == "open sesame",
        }
    }
}

#[test]
fn the_username_is_no_password() {
    let mut policy = PasswordPolicy::default();
    policy.min_code_points = 3;
    for (username, password, expected) in [
        ("ada", "ada", Err(PasswordRefusal::IsUsername)),
        ("ada", "ADA", Err(PasswordRefusal::IsUsername)),
        ("Ädä", "äDÄ", Err(PasswordRefusal::IsUsername)),
        (
            "ada@b@example.com",
            "ADA@b",
            Err(PasswordRefusal::IsUsername),
        ),
        (
            "ada@example.com",
            "ada@example.com",
            Err(PasswordRefusal::IsUsername),
        ),
        ("ada@example.com", "example.com", Ok(())),
        ("ada", "ada ada", Ok(())),
        ("@", "abc", Ok(())),
    ] {
        let checked = policy.check(&secret(password), &Username::new(username));
        assert_eq!(checked, expected, "{username} {password}");
    }
}

#[tokio::test]
async fn a_blocked_password_is_refused_wherever_one_is_set() {
    let house = House::new().await;
    let mut policy = PasswordPolicy::default();
    policy.min_code_points = 3;
    policy.blocklist = Some(Arc::new(Tale));
    let accounts = house.accounts().with_policy(policy);
    let ada = UserId::new("1");
    let sign_up = |name: &str, password: &str| {
        accounts.sign_up(Username::new(name), secret(password), NO_SCOPES)
    };
    let is_blocked = |refusal| matches!(refusal, PasswordRefusal::Blocked);

    for password in ["open sesame", "bob's cave"] {
        let refused = sign_up("bob", password).await;
        assert!(matches!(refused, Err(SignUpRefusal::Password(refusal)) if is_blocked(refusal)));
    }
    sign_up("carol", "bob's cave").await.unwrap();

    let change = |new| accounts.change_password(&ada, secret("right"), secret(new), None);
    let refused = change("open sesame").await;
    assert!(matches!(refused, Err(TokenRefusal::NewPassword(refusal)) if is_blocked(refusal)));
    let set = accounts.set_password(&ada, secret("open sesame")).await;
    assert!(matches!(set, Err(ResetRefusal::Password(refusal)) if is_blocked(refusal)));
    assert_eq!(post(&house.endpoint(), LOGIN).await.status(), 200);

    let failed = sign_up("dave", "a bug of the list").await;
    assert!(
        matches!(failed, Err(SignUpRefusal::Failed(error)) if error.kind() == ErrorKind::Internal)
    );
}

/// Sends whoever has a blocked password away to change it.
#[derive(Debug)]
struct AsksForAnother;

#[async_trait]
impl LoginGate for AsksForAnother {
    async fn decide(&self, candidate: &LoginCandidate<'_>) -> Result<GateDecision, Error> {
        Ok(if candidate.user.has_blocked_password() {
            GateDecision::Deny(Denial::new("Set another password"))
        } else {
            GateDecision::Admit
        })
    }
}

#[tokio::test]
async fn a_gate_hears_of_a_blocked_password_that_was_set_before() {
    let mut house = House::new().await;
    let accounts = house.accounts();
    for (name, password) in [
        ("bob", "open sesame"),
        ("carol", "her own words"),
        ("dave", "open sesame"),
    ] {
        let user = accounts.sign_up(Username::new(name), secret(password), NO_SCOPES);
        let user = user.await.unwrap();
        if name == "dave" {
            accounts.disable(&user.user_id).await.unwrap();
            assert_eq!(
                house.user(user.user_id.as_str()).await.unwrap().status,
                UserStatus::Disabled
            );
        }
    }
    house.authenticator = house.authenticator.with_blocklist(Arc::new(Tale));
    let endpoint = house.endpoint().with_gate(Arc::new(AsksForAnother));
    let login = async |form: &str| {
        let reply = post(&endpoint, form).await;
        (reply.status(), text(&reply).to_owned())
    };
    let (status, body) = login("username=bob&password=open+sesame").await;
    assert_eq!(status, 400);
    assert!(body.contains("Set another password"), "{body}");
    let (status, _) = login("username=carol&password=her+own+words").await;
    assert_eq!(status, 200);

    // Nobody else hears of it, nor is anybody else asked about.
    let _ = house.hasher.take_work();
    let (status, disabled) = login("username=dave&password=open+sesame").await;
    let (_, unknown) = login("username=nobody&password=open+sesame").await;
    let (_, wrong) = login("username=carol&password=a+bug+of+the+list").await;
    assert_eq!((status, &disabled, &unknown), (401, &unknown, &wrong));
    assert_eq!(house.hasher.take_work(), [HashWork::Verify { cost: 1 }; 3]);
}
