//! In which order an account changes, shown by failing each step.

use portcullis_core::accounts::ResetRefusal;
use portcullis_core::endpoint::TokenRefusal;
use portcullis_core::store::UserStatus;
use portcullis_core::{Accounts, Error, Secret, UserId};

use crate::house::{House, LOGIN, cookie, is_admitted, member, post};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Change {
    ByUser,
    Delete,
    Disable,
    LogOutEverywhere,
    Set,
}

use Change::{ByUser, Delete, Disable, LogOutEverywhere, Set};

impl Change {
    async fn make(self, accounts: &Accounts) -> Result<(), Error> {
        let id = UserId::new("1");
        let secret = |text: &str| Secret::from(text.to_owned());
        match self {
            ByUser => {
                let changed = accounts.change_password(&id, secret("right"), secret("new"), None);
                match changed.await {
                    Ok(_) => Ok(()),
                    Err(TokenRefusal::Failed(error)) => Err(error),
                    Err(other) => panic!("{other}"),
                }
            }
            Delete => accounts.delete(&id).await.map(drop),
            Disable => accounts.disable(&id).await.map(drop),
            LogOutEverywhere => accounts.log_out_everywhere(&id).await.map(drop),
            Set => match accounts.set_password(&id, secret("new")).await {
                Ok(()) => Ok(()),
                Err(ResetRefusal::Failed(error)) => Err(error),
                Err(other) => panic!("{other}"),
            },
        }
    }

    /// The calls of stores, in order.
    fn steps(self) -> &'static [&'static str] {
        match self {
            ByUser => &[
                "users.find_by_id",
                "attempts.find",
                "attempts.replace",
                "users.find",
                "attempts.replace",
                "users.change_password",
                "families.revoke_all",
                "tokens.revoke_all",
                "users.find_by_id",
            ],
            Delete => &[
                "users.set_status",
                "users.end_sessions",
                "families.revoke_all",
                "tokens.revoke_all",
                "users.delete",
            ],
            Disable => &[
                "users.set_status",
                "users.end_sessions",
                "families.revoke_all",
                "tokens.revoke_all",
            ],
            LogOutEverywhere => &[
                "users.end_sessions",
                "families.revoke_all",
                "tokens.revoke_all",
            ],
            Set => &[
                "users.find_by_id",
                "users.set_password",
                "families.revoke_all",
                "tokens.revoke_all",
                "attempts.find",
                "attempts.replace",
            ],
        }
    }

    /// The step from which on older tokens are refused.
    fn decisive(self) -> &'static str {
        match self {
            ByUser => "users.change_password",
            Delete | Disable => "users.set_status",
            LogOutEverywhere => "users.end_sessions",
            Set => "users.set_password",
        }
    }
}

/// A house in which ada has a session.
async fn house() -> (House, String, String) {
    let house = House::new().await;
    let login = post(&house.by_cookie(), LOGIN).await;
    let refresh = format!("refresh_token={}", cookie(&login, "refresh_token").unwrap());
    let _ = house.faults.take_calls();
    (house, member(&login, "access_token"), refresh)
}

#[tokio::test]
async fn the_users_record_changes_first_and_what_is_kept_of_tokens_goes_afterwards() {
    for change in [ByUser, Delete, Disable, LogOutEverywhere, Set] {
        let (house, ..) = house().await;
        change.make(&house.accounts()).await.unwrap();
        assert_eq!(house.faults.take_calls(), change.steps(), "{change:?}");
    }
}

#[tokio::test]
async fn a_step_that_fails_leaves_no_session_alive_that_should_have_ended() {
    for change in [ByUser, Delete, Disable, LogOutEverywhere, Set] {
        let decisive = change
            .steps()
            .iter()
            .position(|step| *step == change.decisive());
        for (n, step) in change.steps().iter().enumerate() {
            let (house, access, refresh) = house().await;
            let accounts = house.accounts();
            house.faults.fail_any(n + 1);
            let made = change.make(&accounts).await;
            assert!(!house.faults.heal());
            // The throttle is only told that the password was right; and a password that is new cannot be
            // changed again, so that tokens which are refused and could not be deleted are logged.
            let is_told = change == ByUser && n == 4;
            let is_logged = change == ByUser && step.ends_with(".revoke_all");
            assert_eq!(made.is_ok(), is_told || is_logged, "{change:?} {step}");

            let is_over = Some(n) > decisive || is_told;
            assert_eq!(
                !is_admitted(&house.guard(), &access).await,
                is_over,
                "{change:?} {step}"
            );
            let refreshed = house
                .by_cookie()
                .handle_refresh([refresh.as_bytes()], None)
                .await;
            assert_eq!(refreshed.status() == 401, is_over, "{change:?} {step}");

            // Nobody is deleted whose sessions might live on.
            let user = house.user("1").await.unwrap();
            let disables = matches!(change, Delete | Disable) && n > 0;
            assert_eq!(user.status == UserStatus::Disabled, disables);
            let new = user.password_hash.unwrap().expose().ends_with("$6e6577");
            assert_eq!(
                new,
                is_over && matches!(change, ByUser | Set),
                "{change:?} {step}"
            );
            // An operator can make the call again.
            if change != ByUser {
                change.make(&accounts).await.unwrap();
                assert!(!is_admitted(&house.guard(), &access).await);
                assert_eq!(house.user("1").await.is_none(), change == Delete);
            }
        }
    }
}

#[tokio::test]
async fn the_error_says_what_is_done_and_what_is_left() {
    for (change, done) in [
        (Set, "the password was set"),
        (Disable, "the user was disabled"),
        (Delete, "the user was disabled"),
        (LogOutEverywhere, "older access tokens are refused"),
    ] {
        for store in ["families.revoke_all", "tokens.revoke_all"] {
            let (house, ..) = house().await;
            house.faults.fail(store, 1);
            let error = change.make(&house.accounts()).await.unwrap_err();
            assert_eq!(
                error.message(),
                format!(
                    "{done}, but opaque and refresh tokens may still be good until they expire"
                )
            );
            assert!(std::error::Error::source(&error).is_some());
        }
    }
}
