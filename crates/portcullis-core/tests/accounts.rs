//! The life of an account: what each change ends, and what is left where a store fails half-way.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_core::accounts::{ResetRefusal, SignUpRefusal};
use portcullis_core::authenticator::Authentication;
use portcullis_core::endpoint::TokenRefusal;
use portcullis_core::memory::{
    MemoryCredentialStore, MemoryRefreshStore, MemoryThrottleStore, MemoryTokenStore,
};
use portcullis_core::password::{HashPoolConfig, PasswordPolicy};
use portcullis_core::store::UserStatus;
use portcullis_core::token::TokenRequest;
use portcullis_core::{
    AccessTokenPolicy, Accounts, Authenticator, BearerGuard, CredentialStore, ErrorKind, HashPool,
    OpaqueIssuer, RefreshTokens, Secret, Throttle, TokenIssuer, UserId, Username,
};
use portcullis_testkit::{FakeHasher, Faults, Faulty, ManualClock};
use tokio::task::yield_now;

#[tokio::test]
async fn somebody_signs_up_once() {
    let site = Site::new().await;
    let user = site.users.find_by_id(&site.ada).await.unwrap().unwrap();
    assert_eq!(user.username.as_str(), "ada");
    assert_eq!(user.scopes, ["read"]);
    assert_eq!(user.status, UserStatus::Enabled);
    assert!(site.knows("the right one").await);

    let sign_up = async |name: &str, password: &str| {
        let name = Username::new(name);
        let signed_up = site.accounts.sign_up(name, secret(password), ["read"]);
        signed_up.await.unwrap_err()
    };
    let taken = sign_up("ada", "another one").await;
    assert!(matches!(taken, SignUpRefusal::NameTaken));
    assert!(matches!(
        sign_up("", "another one").await,
        SignUpRefusal::NameEmpty
    ));
    assert!(matches!(
        sign_up("eve", "short").await,
        SignUpRefusal::Password(_)
    ));
    assert!(site.knows("the right one").await);
    // An outage is not a name that is taken.
    site.faults.fail("users.create", 1);
    let failed = sign_up("eve", "another one").await;
    assert!(matches!(failed, SignUpRefusal::Failed(_)));
}

#[tokio::test]
async fn a_changed_password_ends_every_session_but_the_one_that_goes_on() {
    let site = Site::new().await;
    let (old, family) = site.log_in().await;
    let changed = site.change("the right one", "the next one").await.unwrap();

    assert!(!site.knows("the right one").await);
    assert!(site.knows("the next one").await);
    assert!(!site.admits(&old).await);
    assert!(
        site.refresh_tokens
            .look_up(&family)
            .await
            .unwrap()
            .is_none()
    );
    // In the same instant, by a clock that has not moved.
    let request = TokenRequest::of(&changed.user);
    let fresh = site.issuer.issue(request).await.unwrap().access_token;
    assert!(site.admits(fresh.expose()).await);
    let stored = site.users.find_by_id(&site.ada).await.unwrap();
    assert_eq!(stored, Some(changed.user));
}

#[tokio::test]
async fn a_wrong_current_password_changes_nothing_and_is_throttled() {
    let site = Site::new().await;
    let (token, _) = site.log_in().await;
    for _ in 0..5 {
        let refused = site.change("wrong", "the next one").await.unwrap_err();
        assert!(matches!(refused, TokenRefusal::BadCurrentPassword));
    }
    let refused = site
        .change("the right one", "the next one")
        .await
        .unwrap_err();
    assert!(matches!(refused, TokenRefusal::Throttled { .. }));
    assert!(site.knows("the right one").await);
    assert!(site.admits(&token).await);

    site.accounts.unlock(&Username::new("ada")).await.unwrap();
    let refused = site.change("the right one", "short").await.unwrap_err();
    assert!(matches!(refused, TokenRefusal::NewPassword(_)));
    assert!(site.change("the right one", "the next one").await.is_ok());
    let nobody = UserId::new("nobody");
    let gone = site.accounts.change_password(
        &nobody,
        secret("the right one"),
        secret("the next one"),
        None,
    );
    assert!(matches!(gone.await, Err(TokenRefusal::BadCurrentPassword)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_changes_that_prove_the_same_password_at_once_one_wins() {
    let hasher = Arc::new(FakeHasher::new(1));
    let mut config = HashPoolConfig::default();
    config.threads = RIVALS;
    let pool = HashPool::new(hasher.clone(), config).unwrap();
    let site = Site::over(pool.clone(), clock()).await;
    hasher.hold();
    let changes: Vec<_> = (0..RIVALS.get())
        .map(|rival| {
            let (accounts, ada) = (site.accounts.clone(), site.ada.clone());
            let new = secret(&format!("the password of {rival}"));
            tokio::spawn(async move {
                let current = secret("the right one");
                accounts.change_password(&ada, current, new, None).await
            })
        })
        .collect();
    // All of them have the current password under way before any has changed it.
    while pool.metrics().running < RIVALS.get() {
        yield_now().await;
    }
    hasher.release();
    let (mut won, mut lost) = (0, 0);
    for change in changes {
        match change.await.unwrap() {
            Ok(_) => won += 1,
            Err(TokenRefusal::BadCurrentPassword) => lost += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((won, lost), (1, RIVALS.get() - 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_session_goes_on_that_was_ended_while_the_password_was_changed() {
    for disable in [false, true] {
        let hasher = Arc::new(FakeHasher::new(1));
        let clock = clock();
        let mut config = HashPoolConfig::default();
        config.clock = clock.clone();
        let pool = HashPool::new(hasher.clone(), config).unwrap();
        let site = Site::over(pool.clone(), clock).await;
        hasher.hold();
        let (accounts, ada) = (site.accounts.clone(), site.ada.clone());
        let change = tokio::spawn(async move {
            let (current, new) = (secret("the right one"), secret("the next one"));
            accounts.change_password(&ada, current, new, None).await
        });
        // The user has been looked up, and the current password is under way.
        while pool.metrics().running == 0 {
            yield_now().await;
        }
        if disable {
            assert!(site.accounts.disable(&site.ada).await.unwrap());
        } else {
            assert!(site.accounts.log_out_everywhere(&site.ada).await.unwrap());
        }
        hasher.release();
        let refused = change.await.unwrap().unwrap_err();
        assert!(matches!(refused, TokenRefusal::Failed(_)), "{disable}");
        assert!(site.accounts.enable(&site.ada).await.unwrap());
        assert!(site.knows("the next one").await);
    }
}

/// No more than the throttle lets be under way at once.
const RIVALS: NonZeroUsize = NonZeroUsize::new(5).unwrap();

#[tokio::test]
async fn whatever_store_fails_no_token_of_before_is_good_once_the_password_is_new() {
    for nth in 1.. {
        let site = Site::new().await;
        let (token, family) = site.log_in().await;
        site.faults.fail_any(nth);
        let changed = site.change("the right one", "the next one").await;
        let failed = !site.faults.heal();
        if let Err(TokenRefusal::Failed(error)) = &changed {
            assert_eq!(error.kind(), ErrorKind::Unavailable);
        }
        let is_new = site.knows("the next one").await;
        assert!(is_new || site.knows("the right one").await, "{nth}");
        if is_new {
            assert!(!site.admits(&token).await, "{nth}");
            let good = site.refresh_tokens.look_up(&family).await.unwrap();
            let cut_off = site.cut_off().await;
            assert!(good.is_none_or(|good| good.cut_off() < cut_off), "{nth}");
        } else {
            assert!(changed.is_err(), "{nth}");
            assert!(site.admits(&token).await, "{nth}");
        }
        if !failed {
            assert!(changed.is_ok());
            assert!(nth > 5, "a change asks the stores more often");
            break;
        }
    }
}

#[tokio::test]
async fn an_operator_sets_a_password_and_unlocks_the_account() {
    let site = Site::new().await;
    let (token, _) = site.log_in().await;
    for _ in 0..6 {
        let _ = site.change("wrong", "the next one").await;
    }
    let set = site
        .accounts
        .set_password(&site.ada, secret("the next one"));
    set.await.unwrap();
    assert!(site.knows("the next one").await);
    assert!(!site.admits(&token).await);
    assert!(site.change("the next one", "the right one").await.is_ok());

    let short = site.accounts.set_password(&site.ada, secret("short")).await;
    assert!(matches!(short, Err(ResetRefusal::Password(_))));
    let nobody = UserId::new("nobody");
    let gone = site.accounts.set_password(&nobody, secret("the next one"));
    assert!(matches!(gone.await, Err(ResetRefusal::NoSuchUser)));
}

#[tokio::test]
async fn what_was_issued_before_a_user_was_disabled_stays_dead() {
    let site = Site::new().await;
    let (token, family) = site.log_in().await;
    assert!(site.accounts.disable(&site.ada).await.unwrap());
    assert!(!site.knows("the right one").await);
    assert!(site.accounts.enable(&site.ada).await.unwrap());
    assert!(site.knows("the right one").await);
    assert!(!site.admits(&token).await);
    assert!(
        site.refresh_tokens
            .look_up(&family)
            .await
            .unwrap()
            .is_none()
    );
    assert!(site.admits(&site.log_in().await.0).await);
}

#[tokio::test]
async fn disabling_and_deleting_can_be_done_again_until_all_is_done() {
    for delete in [false, true] {
        for nth in 1.. {
            let site = Site::new().await;
            let (token, _) = site.log_in().await;
            let end = async || {
                if delete {
                    site.accounts.delete(&site.ada).await
                } else {
                    site.accounts.disable(&site.ada).await
                }
            };
            site.faults.fail_any(nth);
            let first = end().await;
            let all_worked = site.faults.heal();
            if first.is_err() {
                assert!(end().await.unwrap(), "{nth}");
            }
            assert!(!site.admits(&token).await, "{nth}");
            assert!(!site.knows("the right one").await, "{nth}");
            let user = site.users.find_by_id(&site.ada).await.unwrap();
            assert_eq!(user.is_none(), delete, "{nth}");
            if all_worked {
                assert!(nth > 3, "more steps are needed");
                break;
            }
        }
    }
    let site = Site::new().await;
    let nobody = UserId::new("nobody");
    assert!(!site.accounts.disable(&nobody).await.unwrap());
    assert!(!site.accounts.enable(&nobody).await.unwrap());
    assert!(!site.accounts.delete(&nobody).await.unwrap());
    assert!(!site.accounts.log_out_everywhere(&nobody).await.unwrap());
}

#[tokio::test]
async fn logging_out_everywhere_keeps_the_password() {
    let site = Site::new().await;
    let (token, family) = site.log_in().await;
    // A clock that was set back does not keep a token alive.
    site.clock.set(UNIX_EPOCH + Duration::from_secs(1));
    assert!(site.accounts.log_out_everywhere(&site.ada).await.unwrap());
    assert!(!site.admits(&token).await);
    assert!(
        site.refresh_tokens
            .look_up(&family)
            .await
            .unwrap()
            .is_none()
    );
    assert!(site.knows("the right one").await);
}

/// A service with the user `ada`.
struct Site {
    clock: Arc<ManualClock>,
    faults: Arc<Faults>,
    users: Arc<dyn CredentialStore>,
    authenticator: Authenticator,
    accounts: Accounts,
    issuer: OpaqueIssuer,
    guard: BearerGuard,
    refresh_tokens: RefreshTokens,
    ada: UserId,
}

impl Site {
    async fn new() -> Self {
        Self::over(HashPool::inline(Arc::new(FakeHasher::new(1))), clock()).await
    }

    async fn over(pool: HashPool, clock: Arc<ManualClock>) -> Self {
        let faults = Arc::new(Faults::new());
        let users = Faulty::new("users", MemoryCredentialStore::new(), faults.clone());
        let users: Arc<dyn CredentialStore> = Arc::new(users);
        let tokens = Faulty::new("tokens", MemoryTokenStore::new(), faults.clone());
        let tokens = Arc::new(tokens);
        let families = Faulty::new("families", MemoryRefreshStore::new(), faults.clone());
        let attempts = Faulty::new("attempts", MemoryThrottleStore::new(), faults.clone());
        let authenticator = Authenticator::new(users.clone(), pool).unwrap();
        let refresh_tokens = RefreshTokens::new(Arc::new(families)).with_clock(clock.clone());
        let policy = AccessTokenPolicy::new("issuer", "audience").with_clock(clock.clone());
        let issuer = OpaqueIssuer::new(policy, tokens.clone());
        let mut passwords = PasswordPolicy::default();
        passwords.min_code_points = 8;
        let accounts = Accounts::new(authenticator.clone())
            .with_policy(passwords)
            .with_throttle(Throttle::new(Arc::new(attempts)).with_clock(clock.clone()))
            .with_refresh_tokens(refresh_tokens.clone())
            .with_access_tokens(tokens)
            .with_clock(clock.clone());
        let ada = Username::new("ada");
        let ada = accounts.sign_up(ada, secret("the right one"), ["read"]);
        Self {
            ada: ada.await.unwrap().user_id,
            guard: BearerGuard::new(Arc::new(issuer.verifier()))
                .with_credential_check(users.clone()),
            clock,
            faults,
            users,
            authenticator,
            accounts,
            issuer,
            refresh_tokens,
        }
    }

    /// An access token and a refresh token.
    async fn log_in(&self) -> (String, String) {
        let user = self.users.find_by_id(&self.ada).await.unwrap().unwrap();
        let request = TokenRequest::of(&user);
        let token = self.issuer.issue(request).await.unwrap().access_token;
        let family = self.refresh_tokens.begin(request).await.unwrap().token;
        (token.expose().to_owned(), family.expose().to_owned())
    }

    async fn change(
        &self,
        current: &str,
        new: &str,
    ) -> Result<portcullis_core::accounts::ChangedPassword, TokenRefusal> {
        let changed = self
            .accounts
            .change_password(&self.ada, secret(current), secret(new), None);
        changed.await
    }

    async fn knows(&self, password: &str) -> bool {
        let ada = Username::new("ada");
        let checked = self.authenticator.authenticate(&ada, secret(password));
        matches!(checked.await.unwrap(), Authentication::Accepted(_))
    }

    async fn admits(&self, token: &str) -> bool {
        let authorization = format!("Bearer {token}");
        let admitted = self.guard.check(Some(authorization.as_bytes()));
        admitted.await.is_ok()
    }

    async fn cut_off(&self) -> SystemTime {
        let user = self.users.find_by_id(&self.ada).await.unwrap();
        user.unwrap().tokens_valid_from
    }
}

fn clock() -> Arc<ManualClock> {
    let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    Arc::new(ManualClock::new(now))
}

fn secret(text: &str) -> Secret {
    Secret::from(text.to_owned())
}
