//! A second factor by codes, with the throttle on.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use embeddings::TotpGate;
use portcullis::clock::Clock;
use portcullis::endpoint::LoginRequest;
use portcullis::{
    Accounts, Authenticator, HashPool, Secret, Stores, Throttle, TokenEndpoint, Username,
};
use portcullis_testkit::{FakeHasher, FakeTokens, ManualClock};
use totp_rs::{Builder, Totp};

#[tokio::test]
async fn ten_right_logins_in_two_steps_all_work() {
    let site = Site::new().await;
    for turn in 0..10 {
        let (status, body) = site.log_in("right", None).await;
        let challenge = r#"{"detail":"TOTP_REQUIRED","factor":"totp"}"#;
        assert_eq!((status, body.as_str()), (403, challenge), "{turn}");
        let code = site.code();
        assert_eq!(site.log_in("right", Some(&code)).await.0, 200, "{turn}");
        // It is good once.
        assert_eq!(site.log_in("right", Some(&code)).await.0, 400, "{turn}");
        site.clock.advance(Duration::from_secs(30));
    }
}

#[tokio::test]
async fn the_throttle_stops_the_guessing_of_codes() {
    let site = Site::new().await;
    let mut tried = 0;
    for guess in 0..1_000 {
        let guess = format!("{guess:06}");
        if site.log_in("right", Some(&guess)).await.0 == 400 {
            tried += 1;
        }
    }
    assert_eq!(tried, 5);
    // Who has the password, and no code, is kept waiting too.
    assert_eq!(site.log_in("right", None).await.0, 429);
}

#[tokio::test]
async fn a_wrong_password_never_hears_of_a_second_factor() {
    let site = Site::new().await;
    let code = site.code();
    let without = site.log_in("wrong", None).await;
    assert_eq!(without.0, 401);
    assert_eq!(site.log_in("wrong", Some(&code)).await, without);
    // The code was not used up by that.
    assert_eq!(site.log_in("right", Some(&code)).await.0, 200);
}

struct Site {
    endpoint: TokenEndpoint,
    clock: Arc<ManualClock>,
    totp: Totp,
}

impl Site {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::new(
            UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        ));
        let stores = Stores::memory();
        let pool = HashPool::inline(Arc::new(FakeHasher::new(1)));
        let authenticator = Authenticator::new(stores.credentials, pool).unwrap();
        let mut policy = portcullis::password::PasswordPolicy::default();
        policy.min_code_points = 1;
        let ada = Accounts::new(authenticator.clone())
            .with_policy(policy)
            .sign_up(
                Username::new("ada"),
                Secret::from("right".to_owned()),
                None::<String>,
            )
            .await
            .unwrap();
        let totp = || {
            Builder::new()
                .with_secret(b"twenty bytes of it..".to_vec())
                .build()
                .unwrap()
        };
        let gate = TotpGate::new(clock.clone());
        gate.enrol(ada.user_id, totp());
        let throttle = Throttle::new(stores.throttle).with_clock(clock.clone());
        Self {
            endpoint: TokenEndpoint::new(authenticator, Arc::new(FakeTokens::new()))
                .with_throttle(throttle)
                .with_gate(Arc::new(gate)),
            clock,
            totp: totp(),
        }
    }

    fn code(&self) -> String {
        let now = self.clock.now().duration_since(UNIX_EPOCH);
        self.totp.generate(now.unwrap().as_secs()).to_string()
    }

    async fn log_in(&self, password: &str, code: Option<&str>) -> (u16, String) {
        let mut form = format!("username=ada&password={password}");
        if let Some(code) = code {
            form.push_str("&totp=");
            form.push_str(code);
        }
        let content_type = Some(&b"application/x-www-form-urlencoded"[..]);
        let request = LoginRequest::new(content_type, form.as_bytes());
        let reply = self.endpoint.handle(request).await;
        let body = String::from_utf8(reply.body().to_vec()).unwrap();
        (reply.status(), body)
    }
}
