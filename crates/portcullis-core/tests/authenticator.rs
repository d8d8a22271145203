//! One answer and the same work for everybody who may not log in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use portcullis_core::authenticator::Authentication;
use portcullis_core::clock::Clock;
use portcullis_core::memory::MemoryCredentialStore;
use portcullis_core::password::{HashPoolConfig, PasswordHash};
use portcullis_core::store::UserStatus;
use portcullis_core::token::TokenRequest;
use portcullis_core::{
    Authenticator, BoxError, Credential, CredentialStore, HashPool, Secret, UserId, Username,
};
use portcullis_testkit::{FakeHasher, HashWork, ManualClock};

/// `right`, as [`FakeHasher`] hashes it.
const RIGHT: &str = "7269676874";

#[tokio::test]
async fn the_right_password_is_accepted() -> Result<(), BoxError> {
    let house = House::new().await?;
    let Authentication::Accepted(user) = house.login("ada", "right").await? else {
        panic!("refused");
    };
    assert_eq!(user.user_id().as_str(), "id of ada");
    assert_eq!(user.username().as_str(), "ada");
    assert_eq!(house.hasher.take_work(), [HashWork::Verify { cost: 1 }]);
    Ok(())
}

#[tokio::test]
async fn every_refusal_does_the_same_work() -> Result<(), BoxError> {
    let house = House::new().await?;
    for (username, password) in [
        ("ada", "wrong"),
        ("ada", ""),
        ("ADA", "right"),
        ("nobody", "right"),
        // The decoy's own password.
        ("nobody", "decoy"),
        ("no password", "right"),
        ("no password", "decoy"),
        ("disabled", "right"),
        ("disabled", "wrong"),
        ("corrupt", "right"),
        ("corrupt", "decoy"),
        ("ada", &"right".repeat(2_000)),
        ("nobody", &"right".repeat(2_000)),
        // What is hashed in place of a password that is too long.
        ("empty", &"right".repeat(2_000)),
    ] {
        let authentication = house.login(username, password).await?;
        assert!(
            matches!(authentication, Authentication::Refused(_)),
            "{username}"
        );
        assert_eq!(
            house.hasher.take_work(),
            [HashWork::Verify { cost: 1 }],
            "{username}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn an_empty_store_does_the_same_work() -> Result<(), BoxError> {
    let house = House::of(MemoryCredentialStore::new())?;
    for password in ["right", "decoy", &"right".repeat(2_000)] {
        let authentication = house.login("ada", password).await?;
        assert!(matches!(authentication, Authentication::Refused(_)));
        assert_eq!(house.hasher.take_work(), [HashWork::Verify { cost: 1 }]);
    }
    Ok(())
}

#[tokio::test]
async fn a_disabled_user_is_not_told_that_the_password_is_right() -> Result<(), BoxError> {
    let house = House::new().await?;
    // Were the hash replaced, the extra work would tell.
    house.hasher.set_cost(2);
    for password in ["right", "wrong"] {
        house.login("disabled", password).await?;
        assert_eq!(house.hasher.take_work(), [HashWork::Verify { cost: 1 }]);
    }
    Ok(())
}

#[tokio::test]
async fn an_obsolete_hash_is_replaced_after_a_match() -> Result<(), BoxError> {
    let house = House::new().await?;
    house.hasher.set_cost(2);
    house.login("ada", "wrong").await?;
    assert_eq!(house.stored_hash("ada").await?, format!("$fake$1${RIGHT}"));

    let accepted = house.login("ada", "right").await?;
    assert!(matches!(accepted, Authentication::Accepted(_)));
    assert_eq!(house.stored_hash("ada").await?, format!("$fake$2${RIGHT}"));
    Ok(())
}

#[tokio::test]
async fn checking_a_cheaper_hash_takes_as_long_as_checking_a_current_one() -> Result<(), BoxError> {
    let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
    let hasher = Arc::new(FakeHasher::new(10).with_clock(Arc::clone(&clock)));
    let store = Arc::new(MemoryCredentialStore::new());
    for (username, hash) in [
        ("cheap", format!("$fake$1${RIGHT}")),
        ("current", format!("$fake$10${RIGHT}")),
        ("dear", format!("$fake$25${RIGHT}")),
        ("new", format!("$fake$20${RIGHT}")),
        ("unreadable", "$what$is$this".to_owned()),
    ] {
        let hash = PasswordHash::new(hash);
        let credential = Credential::new(UserId::new(username), Username::new(username))
            .with_password_hash(hash);
        store.create(&credential).await?;
    }
    let mut config = HashPoolConfig::default();
    config.clock = Arc::clone(&clock) as _;
    let pool = HashPool::new(Arc::clone(&hasher) as _, config)?;
    let authenticator =
        Authenticator::new(store, pool)?.with_longest_check(Duration::from_secs(22));
    let wrong = || Secret::from("wrong".to_owned());
    let check = async |username: &str| {
        let started = clock.monotonic();
        let username = Username::new(username);
        let checked = authenticator.authenticate(&username, wrong()).await;
        checked.map(|_| clock.monotonic() - started)
    };
    for (username, seconds) in [
        ("nobody", 10),
        ("current", 10),
        ("cheap", 10),
        ("unreadable", 10),
        // Dearer than is hidden.
        ("dear", 25),
        ("cheap", 10),
    ] {
        let took = check(username).await?;
        assert_eq!(took, Duration::from_secs(seconds), "{username}");
    }

    // New parameters: what is checked where there is no hash was made at the old ones.
    hasher.set_cost(20);
    for _ in 0..64 {
        check("new").await?;
    }
    for username in ["nobody", "unreadable", "current"] {
        assert_eq!(
            check(username).await?,
            Duration::from_secs(20),
            "{username}"
        );
    }
    Ok(())
}

/// Gives the processor to another thread for five seconds whenever it waits.
#[derive(Debug)]
struct SharedProcessor {
    own: Arc<ManualClock>,
    others: AtomicU64,
}

impl Clock for SharedProcessor {
    fn now(&self) -> SystemTime {
        self.own.now()
    }

    fn monotonic(&self) -> Duration {
        self.own.monotonic() + Duration::from_secs(self.others.load(Ordering::Relaxed))
    }

    fn thread_time(&self) -> Duration {
        self.own.monotonic()
    }

    fn busy_wait(&self, until: Duration) {
        self.others.fetch_add(5, Ordering::Relaxed);
        self.own.busy_wait(until);
    }
}

#[tokio::test]
async fn an_interruption_costs_a_cheaper_check_as_much_as_a_current_one() -> Result<(), BoxError> {
    let own = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
    let hasher = FakeHasher::new(10).with_clock(Arc::clone(&own));
    let clock = Arc::new(SharedProcessor {
        own,
        others: AtomicU64::new(0),
    });
    let store = Arc::new(MemoryCredentialStore::new());
    let ada = Username::new("ada");
    let credential = Credential::new(UserId::new("ada"), ada.clone())
        .with_password_hash(PasswordHash::new(format!("$fake$1${RIGHT}")));
    store.create(&credential).await?;
    let mut config = HashPoolConfig::default();
    config.clock = Arc::clone(&clock) as _;
    let authenticator = Authenticator::new(store, HashPool::new(Arc::new(hasher), config)?)?;
    for _ in 0..3 {
        let started = clock.monotonic();
        let wrong = Secret::from("wrong".to_owned());
        authenticator.authenticate(&ada, wrong).await?;
        assert_eq!(clock.monotonic() - started, Duration::from_secs(15));
    }
    Ok(())
}

#[tokio::test]
async fn a_login_is_as_old_as_its_look_up() -> Result<(), BoxError> {
    let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
    // Long enough for somebody to change the password meanwhile.
    let hasher = FakeHasher::new(10).with_clock(Arc::clone(&clock));
    let store = Arc::new(MemoryCredentialStore::new());
    let credential = Credential::new(UserId::new("ada"), Username::new("ada"))
        .with_password_hash(PasswordHash::new(format!("$fake$10${RIGHT}")));
    store.create(&credential).await?;
    let mut config = HashPoolConfig::default();
    config.clock = Arc::clone(&clock) as _;
    let authenticator = Authenticator::new(store, HashPool::new(Arc::new(hasher), config)?)?;

    let started = clock.now();
    let right = Secret::from("right".to_owned());
    let authentication = authenticator
        .authenticate(&Username::new("ada"), right)
        .await?;
    let Authentication::Accepted(user) = authentication else {
        panic!("refused");
    };
    assert_eq!(clock.now(), started + Duration::from_secs(10));
    assert_eq!(user.authenticated_at(), started);

    let mut request = TokenRequest::new(user.user_id());
    assert_eq!(request.issued_at(clock.now()), clock.now());
    request.authenticated_at = Some(started);
    assert_eq!(request.issued_at(clock.now()), started);
    Ok(())
}

/// A store with a user for every state there is.
struct House {
    authenticator: Authenticator,
    hasher: Arc<FakeHasher>,
    store: Arc<MemoryCredentialStore>,
}

impl House {
    async fn new() -> Result<Self, BoxError> {
        let right = format!("$fake$1${RIGHT}");
        let store = MemoryCredentialStore::new();
        for (username, hash, status) in [
            ("ada", Some(right.as_str()), UserStatus::Enabled),
            ("disabled", Some(&right), UserStatus::Disabled),
            ("no password", None, UserStatus::Enabled),
            ("corrupt", Some("$what$is$this"), UserStatus::Enabled),
            ("empty", Some("$fake$1$"), UserStatus::Enabled),
        ] {
            let user_id = UserId::new(format!("id of {username}"));
            let mut credential = Credential::new(user_id, Username::new(username));
            credential.password_hash = hash.map(PasswordHash::new);
            credential.status = status;
            store.create(&credential).await?;
        }
        Self::of(store)
    }

    fn of(store: MemoryCredentialStore) -> Result<Self, BoxError> {
        let store = Arc::new(store);
        let hasher = Arc::new(FakeHasher::new(1));
        let pool = HashPool::inline(Arc::clone(&hasher) as _);
        let authenticator = Authenticator::new(Arc::clone(&store) as _, pool)?;
        // Making the decoy and measuring it.
        let work = [HashWork::Hash { cost: 1 }, HashWork::Verify { cost: 1 }];
        assert_eq!(hasher.take_work(), work);
        Ok(Self {
            authenticator,
            hasher,
            store,
        })
    }

    async fn login(&self, username: &str, password: &str) -> Result<Authentication, BoxError> {
        let password = Secret::from(password.to_owned());
        let username = Username::new(username);
        Ok(self.authenticator.authenticate(&username, password).await?)
    }

    async fn stored_hash(&self, username: &str) -> Result<String, BoxError> {
        let user = self.store.find(&Username::new(username)).await?;
        let hash = user.and_then(|user| user.password_hash);
        Ok(hash.ok_or("no hash")?.expose().to_owned())
    }
}
