//! Devices that are known by a cookie, and what that is good for.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portcullis_core::accounts::Accounts;
use portcullis_core::audit::Audit;
use portcullis_core::clock::Clock;
use portcullis_core::device::DeviceCookies;
use portcullis_core::endpoint::LoginRequest;
use portcullis_core::memory::{MemoryCredentialStore, MemoryThrottleStore};
use portcullis_core::responder::Reply;
use portcullis_core::{
    Authenticator, BoxError, Credential, CredentialStore, ErrorKind, HashPool, Secret, Throttle,
    TokenEndpoint, UserId, Username,
};
use portcullis_testkit::{FakeHasher, FakeTokens, ManualClock};

const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test]
async fn an_owner_on_the_move_gets_in_while_strangers_guess() -> Result<(), BoxError> {
    let site = Site::new().await?;
    let device = site.log_in("ada", None).await?;
    site.guess("ada").await;
    assert_eq!(site.post("ada", "right", None).await.status(), 429);
    assert_eq!(site.post("ada", "right", Some(&device)).await.status(), 200);
    // Still it is no password.
    assert_eq!(site.post("ada", "wrong", Some(&device)).await.status(), 401);
    Ok(())
}

#[tokio::test]
async fn a_device_has_no_more_tries_than_others() -> Result<(), BoxError> {
    let site = Site::new().await?;
    let device = site.log_in("ada", None).await?;
    for _ in 0..5 {
        assert_eq!(site.post("ada", "wrong", Some(&device)).await.status(), 401);
    }
    assert_eq!(site.post("ada", "right", Some(&device)).await.status(), 429);
    // They are not those of strangers.
    assert_eq!(site.post("ada", "right", None).await.status(), 200);
    Ok(())
}

#[tokio::test]
async fn a_device_is_known_for_its_own_account_alone() -> Result<(), BoxError> {
    let site = Site::new().await?;
    let devices = [
        site.log_in("eve", None).await?,
        site.log_in("ADA", None).await?,
    ];
    site.guess("ada").await;
    for device in &devices {
        assert_eq!(site.post("ada", "right", Some(device)).await.status(), 429);
    }
    Ok(())
}

#[tokio::test]
async fn a_cookie_names_nobody_and_no_script_reads_it() -> Result<(), BoxError> {
    let site = Site::new().await?;
    let reply = site.post("ada", "right", None).await;
    let cookie = set_cookie(&reply).ok_or("no cookie")?;
    assert!(
        cookie.ends_with("; Max-Age=7776000; HttpOnly; SameSite=Strict; Secure"),
        "{cookie}"
    );
    let (first, second) = (
        site.log_in("ada", None).await?,
        site.log_in("ada", None).await?,
    );
    assert_ne!(first, second);
    // A failure sets none, and without devices there is none.
    assert_eq!(set_cookie(&site.post("ada", "wrong", None).await), None);
    let without = site.endpoint.clone().with_throttle(site.throttle(None));
    assert_eq!(
        set_cookie(&post(&without, "ada", "right", None).await),
        None
    );
    Ok(())
}

#[tokio::test]
async fn a_cookie_that_was_changed_is_none() -> Result<(), BoxError> {
    let site = Site::new().await?;
    let device = site.log_in("ada", None).await?;
    site.guess("ada").await;
    for place in 0..device.len() {
        let mut forged = device.clone().into_bytes();
        forged[place] = if forged[place] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(forged)?;
        assert_eq!(
            site.post("ada", "right", Some(&forged)).await.status(),
            429,
            "{place}"
        );
    }
    let cut = &device[..device.len() - 1];
    for forged in [
        "",
        "x",
        cut,
        &"A".repeat(device.len()),
        &"A".repeat(100_000),
    ] {
        assert_eq!(site.post("ada", "right", Some(forged)).await.status(), 429);
    }
    // Some that another host of the domain has set do not hide it.
    let tossed = format!("x; device=y; device=z; device={device}");
    assert_eq!(site.post("ada", "right", Some(&tossed)).await.status(), 200);
    Ok(())
}

#[tokio::test]
async fn a_change_of_password_makes_strangers_of_devices() -> Result<(), BoxError> {
    let site = Site::new().await?;
    let stolen = site.log_in("ada", None).await?;
    let ada = UserId::new("ada");
    let changed = site.accounts.change_password(
        &ada,
        "right".to_owned().into(),
        "a new password that is long".to_owned().into(),
        None,
    );
    changed.await?;
    site.guess("ada").await;
    let new = "a+new+password+that+is+long";
    assert_eq!(site.post("ada", new, Some(&stolen)).await.status(), 429);
    // A right login with it makes another one known, and not this one again.
    site.clock.advance(Duration::from_secs(1));
    let reply = site.post("ada", new, Some(&stolen)).await;
    let device = value(&set_cookie(&reply).ok_or("no cookie")?);
    site.guess("ada").await;
    assert_eq!(site.post("ada", new, Some(&stolen)).await.status(), 429);
    assert_eq!(site.post("ada", new, Some(&device)).await.status(), 200);
    Ok(())
}

#[tokio::test]
async fn four_devices_are_known_for_ninety_days() -> Result<(), BoxError> {
    let site = Site::new().await?;
    let mut devices = Vec::new();
    for _ in 0..5 {
        site.clock.advance(Duration::from_secs(1));
        devices.push(site.log_in("ada", None).await?);
    }
    site.guess("ada").await;
    let mut statuses = Vec::new();
    for device in &devices {
        statuses.push(site.post("ada", "right", Some(device)).await.status());
    }
    assert_eq!(statuses, [429, 200, 200, 200, 200]);
    // Each login is the last.
    site.clock.advance(89 * DAY);
    let renewed = site.log_in("ada", Some(&devices[4])).await?;
    site.clock.advance(DAY);
    site.guess("ada").await;
    assert_eq!(
        site.post("ada", "right", Some(&devices[3])).await.status(),
        429
    );
    assert_eq!(
        site.post("ada", "right", Some(&renewed)).await.status(),
        200
    );
    Ok(())
}

#[tokio::test]
async fn keys_are_rotated_and_have_32_bytes() -> Result<(), BoxError> {
    let mut site = Site::new().await?;
    let device = site.log_in("ada", None).await?;
    site.guess("ada").await;
    let (old, new) = (
        Secret::from(KEY.to_owned()),
        Secret::from(OTHER_KEY.to_owned()),
    );
    let only_new = DeviceCookies::new(&new)?.with_clock(site.clock.clone());
    let both = only_new.clone().and_accept(&old)?;
    for (devices, status) in [(only_new, 429), (both, 200)] {
        site.endpoint = site
            .endpoint
            .clone()
            .with_throttle(site.throttle(Some(devices)));
        assert_eq!(
            site.post("ada", "right", Some(&device)).await.status(),
            status
        );
    }
    let short = Secret::from(KEY[..31].to_owned());
    let refused = DeviceCookies::new(&short).err().map(|error| error.kind());
    assert_eq!(refused, Some(ErrorKind::InvalidConfig));
    assert!(!format!("{:?}", DeviceCookies::new(&old)?).contains(KEY));
    Ok(())
}

const KEY: &str = "3vbWOTNRjTbMX4pYcLJFEYZJs0zEQoeT";

const OTHER_KEY: &str = "kQ0uVtY3iEo1fXbq9yZrHn7aJmWsLcDg";

/// A login with the users `ada`, `ADA` and `eve`, whose password is `right`. Each request comes from
/// another address.
struct Site {
    endpoint: TokenEndpoint,
    accounts: Accounts,
    store: Arc<MemoryThrottleStore>,
    clock: Arc<ManualClock>,
}

impl Site {
    async fn new() -> Result<Self, BoxError> {
        let pool = HashPool::inline(Arc::new(FakeHasher::new(1)));
        let users = Arc::new(MemoryCredentialStore::new());
        for name in ["ada", "ADA", "eve"] {
            let mut user = Credential::new(UserId::new(name), Username::new(name));
            user.password_hash = Some(pool.hash("right".to_owned().into()).await?);
            users.create(&user).await?;
        }
        let authenticator = Authenticator::new(users, pool)?;
        let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH + 365 * DAY));
        let mut site = Self {
            endpoint: TokenEndpoint::new(authenticator.clone(), Arc::new(FakeTokens::new()))
                .with_audit(Audit::silent()),
            accounts: Accounts::new(authenticator),
            store: Arc::default(),
            clock,
        };
        let devices = DeviceCookies::new(&KEY.to_owned().into())?.with_clock(site.clock.clone());
        let throttle = site.throttle(Some(devices));
        site.endpoint = site.endpoint.with_throttle(throttle.clone());
        site.accounts = site
            .accounts
            .with_throttle(throttle)
            .with_audit(Audit::silent());
        Ok(site)
    }

    fn throttle(&self, devices: Option<DeviceCookies>) -> Throttle {
        let throttle =
            Throttle::new(self.store.clone()).with_clock(Arc::clone(&self.clock) as Arc<dyn Clock>);
        match devices {
            Some(devices) => throttle.with_devices(devices),
            None => throttle,
        }
    }

    /// The cookie that a login leaves.
    async fn log_in(&self, username: &str, device: Option<&str>) -> Result<String, BoxError> {
        let reply = self.post(username, "right", device).await;
        assert_eq!(reply.status(), 200);
        Ok(value(&set_cookie(&reply).ok_or("no cookie")?))
    }

    /// As many as keep strangers out.
    async fn guess(&self, username: &str) {
        let mut status = 401;
        for _ in 0..10 {
            if status == 401 {
                status = self.post(username, "wrong", None).await.status();
            }
        }
        assert_eq!(status, 429, "nobody is kept out");
    }

    async fn post(&self, username: &str, password: &str, device: Option<&str>) -> Reply {
        post(&self.endpoint, username, password, device).await
    }
}

async fn post(
    endpoint: &TokenEndpoint,
    username: &str,
    password: &str,
    device: Option<&str>,
) -> Reply {
    static REQUESTS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = REQUESTS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let address = IpAddr::from(Ipv4Addr::from_bits(0xC633_6400 + number));
    let body = format!("username={username}&password={password}");
    let cookie = device.map(|device| format!("a=b; device={device}"));
    let cookies: Vec<_> = cookie.iter().map(String::as_bytes).collect();
    let request = LoginRequest::new(Some(b"application/x-www-form-urlencoded"), body.as_bytes())
        .with_remote_address(address)
        .with_cookies(&cookies);
    endpoint.handle(request).await
}

fn set_cookie(reply: &Reply) -> Option<String> {
    let mut headers = reply.headers();
    let (_, value) = headers.find(|(name, _)| *name == "set-cookie")?;
    Some(value.to_owned())
}

fn value(cookie: &str) -> String {
    let (pair, _) = cookie.split_once(';').unwrap_or((cookie, ""));
    pair.trim_start_matches("device=").to_owned()
}
