//! What a gate may decide, what follows, and what it gets to see.

use std::sync::{Arc, Mutex};

use portcullis_core::gate::{Challenge, Denial, GateDecision, LoginCandidate};
use portcullis_core::responder::{Reply, Rfc6749};
use portcullis_core::store::UserStatus;
use portcullis_core::{Error, ErrorKind, LoginGate, TokenEndpoint, async_trait};
use portcullis_testkit::HashWork;

use crate::house::{ABROAD, HOME, House, LOGIN, header, member, post, post_from, text};

/// Asks for the code `123` as a second factor, and remembers what it was shown.
#[derive(Debug, Default)]
struct SecondFactor {
    seen: Mutex<Vec<String>>,
}

#[async_trait]
impl LoginGate for SecondFactor {
    async fn decide(&self, candidate: &LoginCandidate<'_>) -> Result<GateDecision, Error> {
        let code = candidate.field("totp").map(|code| code.expose().to_owned());
        let seen = format!(
            "{} from {:?} by {:?}: {code:?}",
            candidate.user.username(),
            candidate.remote_address,
            candidate.client_id,
        );
        self.seen.lock().unwrap().push(seen);
        // Not among the fields that it reads.
        assert!(candidate.field("password").is_none());
        assert!(candidate.field("other").is_none());
        Ok(match code.as_deref() {
            None => GateDecision::Challenge(
                Challenge::new("A code is needed").with_member("factors", vec!["totp"]),
            ),
            Some("123") => GateDecision::Admit,
            Some(_) => GateDecision::Deny(Denial::new("Wrong code")),
        })
    }

    fn fields(&self) -> &'static [&'static str] {
        &["totp"]
    }
}

/// Decides one thing about everybody.
#[derive(Debug)]
struct Always(GateDecision);

#[async_trait]
impl LoginGate for Always {
    async fn decide(&self, _: &LoginCandidate<'_>) -> Result<GateDecision, Error> {
        Ok(self.0.clone())
    }
}

fn behind(house: &House, gate: impl LoginGate) -> TokenEndpoint {
    house.endpoint().with_gate(Arc::new(gate))
}

fn with_code(code: &str) -> String {
    format!("{LOGIN}&totp={code}")
}

async fn status(endpoint: &TokenEndpoint, body: &str) -> u16 {
    post(endpoint, body).await.status()
}

#[tokio::test]
async fn a_gate_decides_after_a_right_password_and_nobody_else_hears_of_it() {
    let house = House::new().await;
    let gate = Arc::new(SecondFactor::default());
    let endpoint = house.endpoint().with_gate(gate.clone());

    for body in [
        "username=ada&password=wrong&totp=123",
        "username=no&password=right&totp=123",
    ] {
        assert_eq!(status(&endpoint, body).await, 401);
    }
    assert!(gate.seen.lock().unwrap().is_empty());

    let challenged = post(&endpoint, LOGIN).await;
    assert_eq!(challenged.status(), 403);
    assert_eq!(
        text(&challenged),
        r#"{"detail":"A code is needed","factors":["totp"]}"#
    );
    let denied = post(&endpoint, &with_code("7")).await;
    assert_eq!(
        (denied.status(), text(&denied)),
        (400, r#"{"detail":"Wrong code"}"#)
    );
    let rfc = endpoint.clone().with_responder(Arc::new(Rfc6749::new()));
    let challenged = post(&rfc, LOGIN).await;
    assert_eq!(challenged.status(), 403);
    assert_eq!(
        text(&challenged),
        r#"{"error":"mfa_required","error_description":"A code is needed","factors":["totp"]}"#
    );
    let denied = post(&rfc, &with_code("7")).await;
    assert_eq!(denied.status(), 400);
    assert_eq!(
        text(&denied),
        r#"{"error":"invalid_grant","error_description":"Wrong code"}"#
    );

    assert_eq!(
        status(&endpoint, &format!("{}&client_id=spa", with_code("123"))).await,
        200
    );
    let last = gate.seen.lock().unwrap().pop();
    assert_eq!(
        last.as_deref(),
        Some(r#"ada from Some(198.51.100.1) by Some("spa"): Some("123")"#)
    );
}

#[tokio::test]
async fn a_gate_sees_the_fields_that_it_names_and_none_that_is_too_long() {
    let house = House::new().await;
    let gate = Arc::new(SecondFactor::default());
    let endpoint = house.endpoint().with_gate(gate.clone());
    let (longest, too_long) = ("1".repeat(4 * 1024), "1".repeat(4 * 1024 + 1));
    // What is not seen is challenged, what is seen is wrong.
    for (body, is_seen) in [
        (with_code(&longest), true),
        (with_code(&too_long), false),
        (with_code(""), false),
        (format!("{LOGIN}&other=1"), false),
    ] {
        let expected = if is_seen { 400 } else { 403 };
        assert_eq!(status(&endpoint, &body).await, expected);
        let seen = gate.seen.lock().unwrap().pop().unwrap();
        assert_eq!(seen.ends_with(": None"), !is_seen, "{seen}");
    }
    let grant = endpoint.read(Some(crate::house::FORM), with_code("canary").as_bytes());
    assert!(!format!("{:?}", grant.unwrap()).contains("canary"));
}

#[tokio::test]
async fn a_challenge_counts_nothing_and_a_login_in_two_steps_is_never_slowed_down() {
    let house = House::new().await;
    let endpoint = behind(&house, SecondFactor::default());
    for _ in 0..10 {
        assert_eq!(status(&endpoint, LOGIN).await, 403);
        assert_eq!(status(&endpoint, &with_code("123")).await, 200);
    }
    // Nor does it start anew what was counted before.
    for _ in 0..4 {
        assert_eq!(status(&endpoint, "username=ada&password=wrong").await, 401);
        assert_eq!(status(&endpoint, LOGIN).await, 403);
    }
    assert_eq!(status(&endpoint, "username=ada&password=wrong").await, 401);
    assert_eq!(status(&endpoint, LOGIN).await, 429);
}

#[tokio::test]
async fn a_wrong_code_is_a_failure_and_a_thousand_of_them_are_stopped() {
    let house = House::new().await;
    let gate = Arc::new(SecondFactor::default());
    let endpoint = house.endpoint().with_gate(gate.clone());
    let mut throttled = 0;
    for code in 200..1_200 {
        match status(&endpoint, &with_code(&code.to_string())).await {
            400 => {}
            429 => throttled += 1,
            other => panic!("{other}"),
        }
        // As soon as the next may be tried.
        house.clock.advance(std::time::Duration::from_secs(900));
    }
    assert_eq!(gate.seen.lock().unwrap().len(), 100);
    assert_eq!(throttled, 900);
}

#[tokio::test]
async fn a_source_is_not_known_from_a_challenge() {
    let house = House::new().await;
    let endpoint = behind(&house, SecondFactor::default());
    for (body, is_known) in [(LOGIN.to_owned(), false), (with_code("123"), true)] {
        post_from(&endpoint, HOME, &body).await;
        for _ in 0..5 {
            post_from(&endpoint, ABROAD, "username=ada&password=wrong").await;
        }
        // Strangers do not lock out who has logged in from there.
        let reply = post_from(&endpoint, HOME, LOGIN).await;
        assert_eq!(reply.status() == 403, is_known);
        house
            .accounts()
            .unlock(&portcullis_core::Username::new("ada"))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn observers_hear_of_no_success_before_the_gate_admits() {
    let house = House::new().await;
    let endpoint = behind(&house, SecondFactor::default());
    for (body, event) in [
        (LOGIN.to_owned(), "challenged"),
        (with_code("7"), "denied: Wrong code"),
        (with_code("123"), "succeeded"),
    ] {
        post(&endpoint, &body).await;
        assert_eq!(house.observer.take_names(), [event]);
    }
}

/// Admits everybody, and asks to judge users who are disabled.
#[derive(Debug)]
struct Lenient(Mutex<Vec<UserStatus>>);

#[async_trait]
impl LoginGate for Lenient {
    async fn decide(&self, candidate: &LoginCandidate<'_>) -> Result<GateDecision, Error> {
        self.0.lock().unwrap().push(candidate.user.status());
        Ok(GateDecision::Admit)
    }

    fn danger_judges_disabled_users(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_disabled_user_is_put_to_a_gate_only_if_it_asks_for_that() {
    let house = House::new().await;
    let login = "username=eve&password=right";
    let wrong = "username=eve&password=wrong";

    let endpoint = behind(&house, Always(GateDecision::Admit));
    let refused = post(&endpoint, login).await;
    assert_eq!(refused.status(), 401);
    assert_eq!(house.observer.take_names(), ["refused: disabled"]);

    let gate = Arc::new(Lenient(Mutex::default()));
    let endpoint = house.endpoint().with_gate(gate.clone());
    assert_eq!(post(&endpoint, wrong).await, refused);
    assert!(gate.0.lock().unwrap().is_empty());
    let reply = post(&endpoint, login).await;
    assert_eq!(reply.status(), 200);
    assert_eq!(*gate.0.lock().unwrap(), [UserStatus::Disabled]);
    // What may log in may still not use a guarded route.
    let token = member(&reply, "access_token");
    assert!(!crate::house::is_admitted(&house.guard(), &token).await);
}

/// Cannot decide.
#[derive(Debug)]
struct OutOfOrder(ErrorKind);

#[async_trait]
impl LoginGate for OutOfOrder {
    async fn decide(&self, _: &LoginCandidate<'_>) -> Result<GateDecision, Error> {
        Err(Error::new(self.0, "the server of codes is at 10.0.0.1"))
    }
}

#[tokio::test]
async fn a_gate_that_fails_is_an_outage_and_counts_nothing() {
    let house = House::new().await;
    for (kind, expected) in [(ErrorKind::Unavailable, 503), (ErrorKind::Internal, 500)] {
        let endpoint = behind(&house, OutOfOrder(kind));
        for _ in 0..10 {
            let reply: Reply = post(&endpoint, LOGIN).await;
            assert_eq!(reply.status(), expected);
            assert!(!text(&reply).contains("10.0.0.1"));
            assert_eq!(header(&reply, "cache-control"), Some("no-store"));
        }
    }
    assert!(house.observer.take().is_empty());
    assert_eq!(status(&house.endpoint(), LOGIN).await, 200);
}

#[tokio::test]
async fn whatever_a_gate_decides_the_same_work_is_done() {
    let house = House::new().await;
    let gates: [Arc<dyn LoginGate>; 4] = [
        Arc::new(SecondFactor::default()),
        Arc::new(Lenient(Mutex::default())),
        Arc::new(Always(GateDecision::Deny(Denial::new("No")))),
        Arc::new(OutOfOrder(ErrorKind::Unavailable)),
    ];
    for gate in gates {
        // Without a throttle, all are looked at.
        let issuer = Arc::new(house.issuer());
        let endpoint = TokenEndpoint::new(house.authenticator.clone(), issuer)
            .with_audit(house.audit.clone())
            .with_gate(gate);
        for body in [
            LOGIN,
            "username=ada&password=right&totp=123",
            "username=ada&password=right&totp=7",
            "username=ada&password=wrong",
            "username=nobody&password=right",
            "username=eve&password=right",
            "username=eve&password=wrong",
        ] {
            post(&endpoint, body).await;
            assert_eq!(
                house.hasher.take_work(),
                [HashWork::Verify { cost: 1 }],
                "{body}"
            );
        }
    }
}
