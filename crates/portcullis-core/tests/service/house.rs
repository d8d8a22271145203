//! What the tests share: two users, and everything that a login needs.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_core::adapter::RequestHead;
use portcullis_core::audit::Audit;
use portcullis_core::clock::Clock;
use portcullis_core::cookie::TokenCookie;
use portcullis_core::endpoint::LoginRequest;
use portcullis_core::memory::{
    MemoryCredentialStore, MemoryRefreshStore, MemoryThrottleStore, MemoryTokenStore,
};
use portcullis_core::password::{Arena, HashPoolConfig, PasswordHasher, PasswordPolicy};
use portcullis_core::responder::Reply;
use portcullis_core::store::{TokenStore, UserStatus};
use portcullis_core::{
    AccessTokenPolicy, Accounts, Authenticator, BearerGuard, Credential, CredentialStore, HashPool,
    OpaqueIssuer, RefreshTokens, RefreshTransport, Throttle, TokenEndpoint, TokenIssuer, UserId,
    Username,
};
use portcullis_testkit::{
    FakeHasher, Faults, Faulty, ManualClock, RecordingObserver, SeededRandom,
};
use serde_json::Value;

pub(crate) const FORM: &[u8] = b"application/x-www-form-urlencoded";
pub(crate) const LOGIN: &str = "username=ada&password=right";
pub(crate) const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
pub(crate) const ABROAD: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The parts of a service with the users `ada` and `eve`, whose password is `right`. Eve is disabled.
pub(crate) struct House {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) hasher: Arc<FakeHasher>,
    /// Of the stores of users, refresh tokens and access tokens, and of the throttle.
    pub(crate) faults: Arc<Faults>,
    pub(crate) users: Arc<Faulty<MemoryCredentialStore>>,
    pub(crate) tokens: Arc<dyn TokenStore>,
    pub(crate) pool: HashPool,
    pub(crate) authenticator: Authenticator,
    pub(crate) throttle: Throttle,
    pub(crate) refresh_tokens: RefreshTokens,
    pub(crate) policy: AccessTokenPolicy,
    pub(crate) observer: Arc<RecordingObserver>,
    pub(crate) audit: Audit,
    pub(crate) random: Arc<SeededRandom>,
}

impl House {
    pub(crate) async fn new() -> Self {
        let clock = Arc::new(ManualClock::new(UNIX_EPOCH + 20_000 * DAY));
        let random = Arc::new(SeededRandom::new(1));
        let faults = Arc::new(Faults::new());
        let hasher = Arc::new(FakeHasher::new(1));
        let users = MemoryCredentialStore::new();
        for (id, name, status) in [
            ("1", "ada", UserStatus::Enabled),
            ("2", "eve", UserStatus::Disabled),
        ] {
            let hash = hasher.hash(b"right", &mut Arena::new()).unwrap();
            let user = Credential::new(UserId::new(id), Username::new(name));
            let mut user = user.with_password_hash(hash);
            user.scopes = vec!["read".to_owned(), "write".to_owned()];
            user.status = status;
            users.create(&user).await.unwrap();
        }
        let users = Arc::new(Faulty::new("users", users, faults.clone()));
        let mut config = HashPoolConfig::default();
        config.threads = NonZeroUsize::MIN;
        config.clock = clock.clone();
        let pool = HashPool::new(hasher.clone(), config).unwrap();
        let authenticator = Authenticator::new(users.clone(), pool.clone()).unwrap();
        let _ = hasher.take_work();
        let attempts = Faulty::new("attempts", MemoryThrottleStore::new(), faults.clone());
        let families = Faulty::new("families", MemoryRefreshStore::new(), faults.clone());
        let tokens = Faulty::new("tokens", MemoryTokenStore::new(), faults.clone());
        let observer = Arc::new(RecordingObserver::new());
        Self {
            throttle: Throttle::new(Arc::new(attempts)).with_clock(clock.clone()),
            refresh_tokens: RefreshTokens::new(Arc::new(families))
                .with_clock(clock.clone())
                .with_random(random.clone()),
            policy: AccessTokenPolicy::new("https://login.example", "https://api.example")
                .with_clock(clock.clone())
                .with_random(random.clone()),
            audit: Audit::silent()
                .with_observer(observer.clone())
                .with_key(b"a key that nodes share"),
            users,
            tokens: Arc::new(tokens),
            pool,
            authenticator,
            observer,
            clock,
            hasher,
            faults,
            random,
        }
    }

    pub(crate) fn issuer(&self) -> OpaqueIssuer {
        OpaqueIssuer::new(self.policy.clone(), self.tokens.clone())
    }

    /// With a throttle, and without refresh tokens.
    pub(crate) fn endpoint(&self) -> TokenEndpoint {
        self.endpoint_of(Arc::new(self.issuer()))
    }

    pub(crate) fn endpoint_of(&self, issuer: Arc<dyn TokenIssuer>) -> TokenEndpoint {
        TokenEndpoint::new(self.authenticator.clone(), issuer)
            .with_throttle(self.throttle.clone())
            .with_audit(self.audit.clone())
            .with_random(self.random.clone())
    }

    pub(crate) fn by_cookie(&self) -> TokenEndpoint {
        let cookie = TokenCookie::refresh_token();
        self.refreshing(RefreshTransport::Cookie(cookie))
    }

    pub(crate) fn in_body(&self) -> TokenEndpoint {
        self.refreshing(RefreshTransport::Body)
    }

    fn refreshing(&self, transport: RefreshTransport) -> TokenEndpoint {
        let tokens = self.refresh_tokens.clone();
        let endpoint = self.endpoint().with_refresh_tokens(tokens, transport);
        endpoint.unwrap()
    }

    /// Asks the store of users too.
    pub(crate) fn guard(&self) -> BearerGuard {
        let verifier = self.issuer().verifier();
        BearerGuard::new(Arc::new(verifier)).with_credential_check(self.users.clone())
    }

    /// Takes passwords of three characters.
    pub(crate) fn accounts(&self) -> Accounts {
        let mut policy = PasswordPolicy::default();
        policy.min_code_points = 3;
        Accounts::new(self.authenticator.clone())
            .with_policy(policy)
            .with_throttle(self.throttle.clone())
            .with_refresh_tokens(self.refresh_tokens.clone())
            .with_access_tokens(self.tokens.clone())
            .with_audit(self.audit.clone())
            .with_clock(self.clock.clone())
            .with_random(self.random.clone())
    }

    pub(crate) async fn user(&self, id: &str) -> Option<Credential> {
        self.users.find_by_id(&UserId::new(id)).await.unwrap()
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.clock.now()
    }
}

/// Posts a form from [`ABROAD`].
pub(crate) async fn post(endpoint: &TokenEndpoint, body: &str) -> Reply {
    post_from(endpoint, ABROAD, body).await
}

pub(crate) async fn post_from(endpoint: &TokenEndpoint, from: IpAddr, body: &str) -> Reply {
    let request = LoginRequest::new(Some(FORM), body.as_bytes());
    endpoint.handle(request.with_remote_address(from)).await
}

pub(crate) fn text(reply: &Reply) -> &str {
    str::from_utf8(reply.body()).unwrap()
}

/// A member of the body; empty if there is none.
pub(crate) fn member(reply: &Reply, name: &str) -> String {
    let body: Value = serde_json::from_slice(reply.body()).unwrap();
    body[name].as_str().unwrap_or_default().to_owned()
}

pub(crate) fn header<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    headers(reply, name).next()
}

pub(crate) fn headers<'a>(reply: &'a Reply, name: &str) -> impl Iterator<Item = &'a str> {
    let headers = reply.headers().filter(move |(other, _)| *other == name);
    headers.map(|(_, value)| value)
}

/// The value of a cookie that is set.
pub(crate) fn cookie(reply: &Reply, name: &str) -> Option<String> {
    let mut set = headers(reply, "set-cookie").filter_map(|cookie| {
        let (pair, _) = cookie.split_once(';')?;
        let (other, value) = pair.split_once('=')?;
        (other == name).then(|| value.to_owned())
    });
    set.next()
}

/// What a guard makes of an access token in the header.
pub(crate) async fn is_admitted(guard: &BearerGuard, access_token: &str) -> bool {
    let authorization = format!("Bearer {access_token}");
    let head =
        RequestHead::new("GET", b"/").with_headers([("authorization", authorization.as_bytes())]);
    guard.admit(&head).await.is_ok()
}
