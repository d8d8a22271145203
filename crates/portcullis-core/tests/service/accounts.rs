//! The life of an account.

use std::time::Duration;

use portcullis_core::accounts::{ResetRefusal, SignUpRefusal};
use portcullis_core::endpoint::TokenRefusal;
use portcullis_core::password::{PasswordHash, PasswordRefusal};
use portcullis_core::store::UserStatus;
use portcullis_core::{
    Credential, CredentialStore, ErrorKind, Secret, TokenVerifier, UserId, Username,
};

use crate::house::{ABROAD, House, LOGIN, cookie, is_admitted, member, post};

fn secret(text: &str) -> Secret {
    Secret::from(text.to_owned())
}

fn ada() -> UserId {
    UserId::new("1")
}

async fn status(house: &House, username: &str, password: &str) -> u16 {
    let body = format!("username={username}&password={password}");
    post(&house.endpoint(), &body).await.status()
}

/// A session of ada's: an access token, and a cookie with a refresh token.
async fn session(house: &House) -> (String, String) {
    let login = post(&house.by_cookie(), LOGIN).await;
    let refresh = cookie(&login, "refresh_token").unwrap();
    (
        member(&login, "access_token"),
        format!("refresh_token={refresh}"),
    )
}

/// Whether both tokens of a session are dead. One whose refresh token is good is refreshed.
async fn is_over(house: &House, (access, refresh): &(String, String)) -> bool {
    let refreshed = house
        .by_cookie()
        .handle_refresh([refresh.as_bytes()], None)
        .await;
    let admitted = is_admitted(&house.guard(), access).await;
    assert_eq!(refreshed.status() == 200, admitted);
    !admitted
}

#[tokio::test]
async fn who_signs_up_can_log_in_and_has_a_name_of_their_own() {
    let house = House::new().await;
    let accounts = house.accounts();
    let sign_up = |name: &str, password: &str| {
        accounts.sign_up(Username::new(name), secret(password), ["read", "x"])
    };
    let bob = sign_up("bob", "his password").await.unwrap();
    assert_eq!(house.user(bob.user_id.as_str()).await, Some(bob.clone()));
    assert_eq!(
        (bob.status, bob.scopes.as_slice()),
        (
            UserStatus::Enabled,
            &["read".to_owned(), "x".to_owned()][..]
        )
    );
    assert_eq!(status(&house, "bob", "his password").await, 200);

    let kept = house.user("1").await;
    assert!(matches!(
        sign_up("ada", "another").await,
        Err(SignUpRefusal::NameTaken)
    ));
    assert_eq!(house.user("1").await, kept);
    assert!(matches!(
        sign_up("", "another").await,
        Err(SignUpRefusal::NameEmpty)
    ));
    let _ = house.hasher.take_work();
    let refused = sign_up("carol", "pw").await;
    let too_short = PasswordRefusal::TooShort {
        code_points: 2,
        min_code_points: 3,
    };
    assert!(matches!(refused, Err(SignUpRefusal::Password(refusal)) if refusal == too_short));
    let refused = sign_up("carol", &"x".repeat(4_097)).await;
    assert!(matches!(
        refused,
        Err(SignUpRefusal::Password(PasswordRefusal::TooLong))
    ));
    // What is refused is not hashed.
    assert_eq!(house.hasher.take_work(), []);
    house.faults.fail("users.create", 1);
    let failed = sign_up("carol", "her password").await;
    assert!(
        matches!(failed, Err(SignUpRefusal::Failed(error)) if error.kind() == ErrorKind::Unavailable)
    );
    house.random.exhaust();
    assert!(matches!(
        sign_up("dave", "his password").await,
        Err(SignUpRefusal::Failed(_))
    ));
}

#[tokio::test]
async fn an_imported_account_keeps_the_hash_and_the_status_that_it_had() {
    let house = House::new().await;
    let accounts = house.accounts();
    // `right`, which no policy is asked about.
    let hash = PasswordHash::new("$fake$1$7269676874");
    for (name, hash, status_of, login) in [
        ("bob", Some(hash.clone()), UserStatus::Enabled, 200),
        ("carol", Some(hash), UserStatus::Disabled, 401),
        ("dave", None, UserStatus::Enabled, 401),
    ] {
        let import = accounts.import(
            Username::new(name),
            hash.clone(),
            vec!["a".to_owned()],
            status_of,
        );
        let user = import.await.unwrap();
        assert_eq!((&user.password_hash, user.status), (&hash, status_of));
        assert_eq!(house.user(user.user_id.as_str()).await, Some(user));
        assert_eq!(status(&house, name, "right").await, login);
    }
    let again = accounts.import(Username::new("ada"), None, Vec::new(), UserStatus::Enabled);
    assert!(matches!(again.await, Err(SignUpRefusal::NameTaken)));
    let empty = accounts.import(Username::new(""), None, Vec::new(), UserStatus::Enabled);
    assert!(matches!(empty.await, Err(SignUpRefusal::NameEmpty)));
}

/// In a token that writes scopes in one line it would be two, or end the line.
#[tokio::test]
async fn a_scope_is_a_scope_token_where_it_is_set_and_where_it_is_granted() {
    let house = House::new().await;
    let accounts = house.accounts();
    for scope in [
        "read admin",
        "",
        " ",
        "a\nb",
        "\"",
        "\\",
        "\u{e9}",
        "\u{7f}",
    ] {
        let bob = || Username::new("bob");
        let password = secret("a long enough password");
        let refused = accounts.sign_up(bob(), password, ["read", scope]).await;
        assert!(
            matches!(refused, Err(SignUpRefusal::NoScopeToken)),
            "{scope:?}"
        );
        let scopes = vec![scope.to_owned()];
        let refused = accounts
            .import(bob(), None, scopes, UserStatus::Enabled)
            .await;
        assert!(
            matches!(refused, Err(SignUpRefusal::NoScopeToken)),
            "{scope:?}"
        );

        // Something else has written it.
        let mut user = Credential::new(
            UserId::new(format!("id of {scope:?}")),
            Username::new("eve2"),
        );
        user.scopes = vec!["read".to_owned(), scope.to_owned()];
        user.password_hash = Some(house.pool.hash(secret("right")).await.unwrap());
        house.users.create(&user).await.unwrap();
        let login = post(&house.endpoint(), "username=eve2&password=right").await;
        let token = member(&login, "access_token");
        let claims = house.issuer().verifier().verify(&token).await.unwrap();
        assert_eq!(claims.scopes, ["read"], "{scope:?}");
        house.users.delete(&user.user_id).await.unwrap();
    }
}

#[tokio::test]
async fn who_knows_the_current_password_replaces_it_and_ends_all_sessions() {
    let house = House::new().await;
    let sessions = [session(&house).await, session(&house).await];
    let accounts = house.accounts();
    let id = ada();
    let changed = accounts.change_password(&id, secret("right"), secret("new"), None);
    let changed = changed.await.unwrap();
    assert_eq!(house.user("1").await, Some(changed.user));
    assert_eq!(changed.at, house.now());
    for session in &sessions {
        assert!(is_over(&house, session).await);
    }
    assert_eq!(status(&house, "ada", "right").await, 401);
    assert_eq!(status(&house, "ada", "new").await, 200);
}

#[tokio::test]
async fn a_change_of_password_is_refused_before_anything_changes() {
    let house = House::new().await;
    let accounts = house.accounts();
    let live = session(&house).await;
    let change = |id: &str, current: &str, new: &str| {
        let (id, current, new) = (UserId::new(id), secret(current), secret(new));
        let accounts = accounts.clone();
        async move {
            accounts
                .change_password(&id, current, new, Some(ABROAD))
                .await
                .unwrap_err()
        }
    };
    let before = house.user("1").await;
    assert!(matches!(
        change("1", "right", "pw").await,
        TokenRefusal::NewPassword(_)
    ));
    assert!(matches!(
        change("3", "right", "new").await,
        TokenRefusal::BadCurrentPassword
    ));
    // Disabled.
    assert!(matches!(
        change("2", "right", "new").await,
        TokenRefusal::BadCurrentPassword
    ));
    for _ in 0..5 {
        assert!(matches!(
            change("1", "wrong", "new").await,
            TokenRefusal::BadCurrentPassword
        ));
    }
    assert_eq!(
        house.observer.take_names().last().unwrap(),
        "refused: wrong_password"
    );
    let _ = house.hasher.take_work();
    let throttled = change("1", "right", "new").await;
    assert!(matches!(throttled, TokenRefusal::Throttled { .. }));
    assert_eq!(house.hasher.take_work(), []);
    // It is the count of logins.
    assert_eq!(status(&house, "ada", "right").await, 429);
    assert_eq!(house.user("1").await, before);
    assert!(!is_over(&house, &live).await);
}

#[tokio::test]
async fn of_two_changes_at_once_one_wins() {
    let house = House::new().await;
    let accounts = house.accounts();
    let id = ada();
    let change = |new: &str| accounts.change_password(&id, secret("right"), secret(new), None);
    let (one, other) = tokio::join!(change("one"), change("other"));
    let (won, lost, password) = if one.is_ok() {
        (one, other, "one")
    } else {
        (other, one, "other")
    };
    assert_eq!(house.user("1").await, Some(won.unwrap().user));
    assert!(matches!(
        lost.unwrap_err(),
        TokenRefusal::BadCurrentPassword
    ));
    assert_eq!(status(&house, "ada", password).await, 200);
}

#[tokio::test]
async fn an_operator_sets_a_password_ends_sessions_and_unlocks() {
    let house = House::new().await;
    let accounts = house.accounts();
    let old = session(&house).await;
    for _ in 0..6 {
        status(&house, "ada", "wrong").await;
    }
    assert_eq!(status(&house, "ada", "right").await, 429);
    accounts.set_password(&ada(), secret("new")).await.unwrap();
    assert!(is_over(&house, &old).await);
    assert_eq!(status(&house, "ada", "new").await, 200);

    let refused = accounts.set_password(&ada(), secret("pw")).await;
    assert!(matches!(refused, Err(ResetRefusal::Password(_))));
    let refused = accounts
        .set_password(&UserId::new("3"), secret("new"))
        .await;
    assert!(matches!(refused, Err(ResetRefusal::NoSuchUser)));
    assert_eq!(status(&house, "ada", "new").await, 200);
}

#[tokio::test]
async fn tokens_of_a_disabled_user_stay_dead_once_the_user_is_enabled() {
    let house = House::new().await;
    let accounts = house.accounts();
    let old = session(&house).await;
    assert!(accounts.disable(&ada()).await.unwrap());
    assert!(is_over(&house, &old).await);
    assert_eq!(status(&house, "ada", "right").await, 401);
    assert!(accounts.enable(&ada()).await.unwrap());
    assert!(is_over(&house, &old).await);
    assert!(!is_over(&house, &session(&house).await).await);
}

#[tokio::test]
async fn logging_out_everywhere_ends_the_sessions_of_one_user_alone() {
    let house = House::new().await;
    let accounts = house.accounts();
    let bob = accounts
        .sign_up(Username::new("bob"), secret("right"), ["a"])
        .await
        .unwrap();
    let sessions = [session(&house).await, session(&house).await];
    assert!(accounts.log_out_everywhere(&bob.user_id).await.unwrap());
    assert!(!is_over(&house, &sessions[0]).await);
    assert!(accounts.log_out_everywhere(&ada()).await.unwrap());
    for session in &sessions {
        assert!(is_over(&house, session).await);
    }
    assert_eq!(status(&house, "ada", "right").await, 200);
}

#[tokio::test]
async fn a_deleted_user_is_gone_and_so_are_the_sessions() {
    let house = House::new().await;
    let accounts = house.accounts();
    let old = session(&house).await;
    assert!(accounts.delete(&ada()).await.unwrap());
    assert_eq!(house.user("1").await, None);
    assert!(is_over(&house, &old).await);
    // The name is free, and what was another's stays dead.
    accounts
        .sign_up(Username::new("ada"), secret("right"), ["a"])
        .await
        .unwrap();
    assert!(is_over(&house, &old).await);
}

#[tokio::test]
async fn who_is_not_there_is_not_changed_and_nobody_hears_of_it() {
    let house = House::new().await;
    let accounts = house.accounts();
    let nobody = UserId::new("3");
    assert!(!accounts.disable(&nobody).await.unwrap());
    assert!(!accounts.enable(&nobody).await.unwrap());
    assert!(!accounts.delete(&nobody).await.unwrap());
    assert!(!accounts.log_out_everywhere(&nobody).await.unwrap());
    assert!(house.observer.take().is_empty());
}

#[tokio::test]
async fn an_account_is_unlocked_by_its_name() {
    let house = House::new().await;
    for _ in 0..6 {
        status(&house, "ada", "wrong").await;
    }
    house
        .accounts()
        .unlock(&Username::new("nobody"))
        .await
        .unwrap();
    assert_eq!(status(&house, "ada", "right").await, 429);
    house
        .accounts()
        .unlock(&Username::new("ada"))
        .await
        .unwrap();
    assert_eq!(status(&house, "ada", "right").await, 200);
    // Another delay, from the start.
    for _ in 0..5 {
        status(&house, "ada", "wrong").await;
    }
    assert_eq!(status(&house, "ada", "right").await, 429);
    house.clock.advance(Duration::from_secs(1));
    assert_eq!(status(&house, "ada", "right").await, 200);
}
