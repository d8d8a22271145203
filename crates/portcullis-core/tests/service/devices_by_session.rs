//! A session that is known, and what that is good for where strangers guess.

use std::net::{IpAddr, Ipv4Addr};

use portcullis_core::device::DeviceCookies;
use portcullis_core::endpoint::LoginRequest;
use portcullis_core::{Secret, TokenEndpoint, UserId, Username};

use crate::house::{ABROAD, FORM, House, LOGIN, cookie, post_from};

/// Where nobody has logged in before.
const TRAIN: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));

async fn house() -> (House, TokenEndpoint) {
    let mut house = House::new().await;
    let key = Secret::from("3vbWOTNRjTbMX4pYcLJFEYZJs0zEQoeT".to_owned());
    let devices = DeviceCookies::new(&key).unwrap();
    let devices = devices
        .with_clock(house.clock.clone())
        .with_random(house.random.clone());
    house.throttle = house.throttle.with_devices(devices);
    let endpoint = house.by_cookie();
    (house, endpoint)
}

async fn log_in(endpoint: &TokenEndpoint, form: &str, cookies: &[&str]) -> (u16, Option<String>) {
    let cookies: Vec<_> = cookies.iter().map(|cookie| cookie.as_bytes()).collect();
    let request = LoginRequest::new(Some(FORM), form.as_bytes());
    let request = request.with_remote_address(TRAIN).with_cookies(&cookies);
    let reply = endpoint.handle(request).await;
    let session = cookie(&reply, "refresh_token").map(|token| format!("refresh_token={token}"));
    (reply.status(), session)
}

async fn session(endpoint: &TokenEndpoint, form: &str) -> String {
    let (status, session) = log_in(endpoint, form, &[]).await;
    assert_eq!(status, 200);
    session.unwrap()
}

/// From then on strangers are refused.
async fn guess(endpoint: &TokenEndpoint, form: &str) {
    while post_from(endpoint, ABROAD, form).await.status() != 429 {}
}

#[tokio::test]
async fn a_good_refresh_token_is_a_device_of_the_account_it_was_made_for_alone() {
    let (house, endpoint) = house().await;
    let name = Username::new("bob");
    let password = Secret::from("his password".to_owned());
    let bob = house
        .accounts()
        .sign_up(name.clone(), password, ["read"])
        .await
        .unwrap();
    let his = "username=bob&password=his+password";
    let (adas, bobs) = (
        session(&endpoint, LOGIN).await,
        session(&endpoint, his).await,
    );
    for known in ["ada", "bob"] {
        // So that the addresses of the logins above are strangers.
        house.throttle.unlock(&Username::new(known)).await.unwrap();
    }
    guess(&endpoint, "username=ada&password=wrong").await;
    let made_up = format!("refresh_token={}", "A".repeat(64));

    for others in [&[][..], &[&*bobs], &[&*made_up]] {
        assert_eq!(log_in(&endpoint, LOGIN, others).await.0, 429, "{others:?}");
    }
    // It is no password, and its own failures stop it.
    let (status, _) = log_in(&endpoint, "username=ada&password=wrong", &[&adas]).await;
    assert_eq!(status, 401);
    let (status, session) = log_in(&endpoint, LOGIN, &[&made_up, &bobs, &adas]).await;
    assert_eq!(status, 200);
    let _ = house.accounts().log_out_everywhere(&bob.user_id).await;

    // The session that a login began takes the place of the one that it came with.
    house.throttle.unlock(&Username::new("ada")).await.unwrap();
    guess(&endpoint, "username=ada&password=wrong").await;
    assert_eq!(log_in(&endpoint, LOGIN, &[&adas]).await.0, 429);
    let session = session.unwrap();
    for _ in 0..5 {
        let (status, _) = log_in(&endpoint, "username=ada&password=wrong", &[&session]).await;
        assert_eq!(status, 401);
    }
    assert_eq!(log_in(&endpoint, LOGIN, &[&session]).await.0, 429);
}

#[tokio::test]
async fn sessions_without_end_give_no_tries_without_end() {
    let (house, endpoint) = house().await;
    let mut sessions = Vec::new();
    for _ in 0..8 {
        sessions.push(session(&endpoint, LOGIN).await);
    }
    let accounts = house.accounts();
    house.throttle.unlock(&Username::new("ada")).await.unwrap();
    guess(&endpoint, "username=ada&password=wrong").await;
    let mut tried = 0;
    for session in sessions.iter().cycle().take(200) {
        let (status, _) = log_in(&endpoint, "username=ada&password=wrong", &[session]).await;
        tried += u32::from(status == 401);
    }
    // Four devices, five tries each.
    assert_eq!(tried, 20);

    // A change of password ends the sessions, and what they are good for.
    accounts
        .set_password(&UserId::new("1"), Secret::from("another".to_owned()))
        .await
        .unwrap();
    guess(&endpoint, "username=ada&password=wrong").await;
    let new = "username=ada&password=another";
    for session in &sessions {
        assert_eq!(log_in(&endpoint, new, &[session]).await.0, 429);
    }
}
