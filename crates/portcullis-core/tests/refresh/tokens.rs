//! Which tokens are good, once, and until when.

use std::time::Duration;

use portcullis_core::refresh::RefreshPolicy;
use portcullis_core::token::TokenRequest;
use portcullis_core::{Credential, ErrorKind, UserId, Username};

use crate::rig::*;

#[tokio::test]
async fn a_token_is_random_text_that_the_store_never_sees() {
    let site = Site::new();
    let (one, other) = (site.begin().await, site.begin().await);
    assert_ne!(one, other);
    let next = site.rotate(&one).await.unwrap();
    let mut seen = String::new();
    for record in site.store.records().await {
        seen += record.as_str();
    }
    for token in [&one, &other, &next] {
        assert_eq!(token.len(), 64);
        let of_base64url = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        assert!(token.chars().all(of_base64url));
        // Any part of it that lies on whole bytes.
        for part in [&token[..20], &token[20..40], &token[24..64]] {
            assert!(!seen.contains(part));
        }
    }
}

#[tokio::test]
async fn each_token_is_replaced_by_the_next_and_by_no_other() {
    let site = Site::new();
    let mut tokens = vec![site.begin().await];
    for _ in 0..5 {
        site.clock.advance(DAY);
        let next = site.rotate(tokens.last().unwrap()).await.unwrap();
        assert!(!tokens.contains(&next));
        tokens.push(next);
    }
}

#[tokio::test]
async fn a_login_is_remembered_as_it_was() {
    let site = Site::new();
    let user_id = UserId::new("Zoë \"\\\0\u{1F980}");
    let mut user = Credential::new(user_id, Username::new("zoë"));
    user.tokens_valid_from = site.clock_now() - Duration::from_micros(1_500_001);
    let scopes = ["read".to_owned(), "write".to_owned()];
    let mut request = TokenRequest::of(&user).with_scopes(&scopes);
    request.client_id = Some("spa");
    request.session_id = Some("a login");
    let first = site.tokens.begin(request).await.unwrap();
    assert_eq!(first.expires_in, 30 * DAY);
    let refresh = site.tokens.look_up(first.token.expose()).await.unwrap();
    let second = refresh.unwrap().rotate().await.unwrap().unwrap();
    let refresh = site.tokens.look_up(second.token.expose()).await.unwrap();
    let refresh = refresh.unwrap();
    assert_eq!(refresh.subject(), &user.user_id);
    assert_eq!(refresh.client_id(), Some("spa"));
    assert_eq!(refresh.scopes(), scopes);
    assert_eq!(refresh.session_id().len(), 43);
    assert_eq!(refresh.cut_off(), user.tokens_valid_from);
}

#[tokio::test]
async fn a_token_that_is_sent_again_in_time_gets_the_same_successor() {
    let site = Site::new();
    let first = site.begin().await;
    let second = site.rotate(&first).await.unwrap();
    site.clock.advance(RETRY_WINDOW - MILLI);
    assert_eq!(site.rotate(&first).await.unwrap(), second);
    // And that is as good as ever.
    assert!(site.rotate(&second).await.is_some());
}

#[tokio::test]
async fn a_token_that_is_sent_again_too_late_ends_the_family() {
    let site = Site::new();
    let bystander = site.begin().await;
    let first = site.begin().await;
    let second = site.rotate(&first).await.unwrap();
    site.clock.advance(RETRY_WINDOW);
    assert_eq!(site.rotate(&first).await, None);
    assert_eq!(site.rotate(&second).await, None);
    assert!(site.rotate(&bystander).await.is_some());
}

#[tokio::test]
async fn a_token_whose_successor_was_used_ends_the_family_at_once() {
    let site = Site::new();
    let first = site.begin().await;
    let second = site.rotate(&first).await.unwrap();
    let third = site.rotate(&second).await.unwrap();
    assert_eq!(site.rotate(&first).await, None);
    assert_eq!(site.rotate(&third).await, None);
}

#[tokio::test]
async fn of_requests_at_once_all_get_the_same_successor() {
    let site = Site::new();
    let first = site.begin().await;
    // All have looked it up before one rotates.
    let mut refreshes = Vec::new();
    for _ in 0..5 {
        refreshes.push(site.tokens.look_up(&first).await.unwrap().unwrap());
    }
    let mut successors = Vec::new();
    for refresh in refreshes {
        let token = refresh.rotate().await.unwrap().unwrap().token;
        successors.push(token.expose().to_owned());
    }
    successors.dedup();
    assert_eq!(successors.len(), 1);
    assert!(site.rotate(&successors[0]).await.is_some());
}

#[tokio::test]
async fn a_family_that_is_revoked_meanwhile_has_no_successor() {
    let site = Site::new();
    let first = site.begin().await;
    let refresh = site.tokens.look_up(&first).await.unwrap().unwrap();
    assert!(site.tokens.revoke(&first).await.unwrap());
    assert!(refresh.rotate().await.unwrap().is_none());
    assert!(!site.tokens.revoke(&first).await.unwrap());
}

#[tokio::test]
async fn one_that_is_overtaken_twice_ends_nothing() {
    let site = Site::new();
    let first = site.begin().await;
    let overtaken = site.tokens.look_up(&first).await.unwrap().unwrap();
    let second = site.rotate(&first).await.unwrap();
    let third = site.rotate(&second).await.unwrap();
    assert!(overtaken.rotate().await.unwrap().is_none());
    assert!(site.rotate(&third).await.is_some());
}

#[tokio::test]
async fn one_that_is_sent_again_does_not_outlive_its_family() {
    let site = Site::new();
    let first = site.begin().await;
    let second = site.rotate(&first).await.unwrap();
    let again = site.tokens.look_up(&first).await.unwrap().unwrap();
    assert!(site.tokens.revoke(&second).await.unwrap());
    assert!(again.rotate().await.unwrap().is_none());
}

#[tokio::test]
async fn a_clock_that_is_set_back_brings_no_replaced_token_back() {
    for (back, is_good) in [(0, true), (10, true), (11, false), (3_600, false)] {
        let site = Site::new();
        let first = site.begin().await;
        site.rotate(&first).await.unwrap();
        site.clock.set(site.clock_now() - Duration::from_secs(back));
        let again = site.tokens.look_up(&first).await.unwrap();
        assert_eq!(again.is_some(), is_good, "{back}");
    }
}

/// As of a server that another has taken over from.
#[tokio::test]
async fn a_look_up_that_lags_behind_ends_nothing() {
    let site = Site::new();
    let first = site.begin().await;
    let looked_up = site.tokens.look_up(&first).await.unwrap().unwrap();
    let old = site.store.records().await.remove(0);
    let second = site.rotate(&first).await.unwrap();

    // Once, the truth is found at the second attempt.
    site.store.lag(&old, 1);
    assert!(site.tokens.look_up(&second).await.unwrap().is_some());
    site.store.lag(&old, usize::MAX);
    let seen_as_used = site.tokens.look_up(&second).await;
    assert_eq!(seen_as_used.unwrap_err().kind(), ErrorKind::Unavailable);
    let seen_as_good = looked_up.rotate().await;
    assert_eq!(seen_as_good.unwrap_err().kind(), ErrorKind::Unavailable);

    site.store.lag(&old, 0);
    assert!(site.rotate(&second).await.is_some());
}

#[tokio::test]
async fn a_token_is_good_while_it_is_used_and_no_longer_than_the_limit() {
    let site = Site::new();
    let idle = site.begin().await;
    let mut used = site.begin().await;
    site.clock.advance(30 * DAY - MILLI);
    used = site.rotate(&used).await.unwrap();
    site.clock.advance(MILLI);
    assert_eq!(site.rotate(&idle).await, None);
    for _ in 0..2 {
        site.clock.advance(29 * DAY);
        used = site.rotate(&used).await.unwrap();
    }
    // Two days are left of ninety.
    let left = site.tokens.look_up(&used).await.unwrap().unwrap();
    let last = left.rotate().await.unwrap().unwrap();
    assert_eq!(last.expires_in, 2 * DAY);
    site.clock.advance(2 * DAY - MILLI);
    let last = site.rotate(last.token.expose()).await.unwrap();
    site.clock.advance(MILLI);
    assert_eq!(site.rotate(&last).await, None);
}

#[tokio::test]
async fn a_policy_without_end_is_taken() {
    let mut policy = RefreshPolicy::default();
    policy.idle_lifetime = Duration::MAX;
    policy.absolute_lifetime = Duration::MAX;
    policy.retry_window = Duration::MAX;
    let mut site = Site::new();
    site.tokens = site.tokens.with_policy(policy).unwrap();
    let first = site.begin().await;
    site.clock.advance(10_000 * DAY);
    let second = site.rotate(&first).await.unwrap();
    site.clock.advance(10_000 * DAY);
    assert_eq!(site.rotate(&first).await.unwrap(), second);
}

#[test]
fn a_policy_that_cannot_be_meant_is_refused() {
    let second = Duration::from_secs(1);
    for (idle, absolute, is_good) in [
        (second, second, true),
        (second - MILLI, second, false),
        (Duration::ZERO, Duration::ZERO, false),
        (2 * second, second, false),
    ] {
        let mut policy = RefreshPolicy::default();
        (policy.idle_lifetime, policy.absolute_lifetime) = (idle, absolute);
        let taken = Site::new().tokens.with_policy(policy);
        let kind = taken.err().map(|error| error.kind());
        assert_eq!(kind, (!is_good).then_some(ErrorKind::InvalidConfig));
    }
}

#[tokio::test]
async fn what_is_no_token_is_not_good() {
    let site = Site::new();
    let good = site.begin().await;
    let longer = format!("{good}A");
    let padded = format!("{}=", &good[..63]);
    let other = "A".repeat(64);
    for text in [
        "",
        " ",
        "é",
        &good[..63],
        &longer,
        &padded,
        &other,
        &"é".repeat(32),
    ] {
        assert_eq!(site.rotate(text).await, None, "{text}");
        assert!(!site.tokens.revoke(text).await.unwrap(), "{text}");
    }
    assert!(site.rotate(&good).await.is_some());
}

#[tokio::test]
async fn who_knows_a_family_but_none_of_its_tokens_ends_it() {
    let site = Site::new();
    let good = site.begin().await;
    let guess = format!("{}{}", &good[..24], "A".repeat(40));
    assert_eq!(site.rotate(&guess).await, None);
    assert_eq!(site.rotate(&good).await, None);
}

#[tokio::test]
async fn one_user_logs_out_everywhere_and_nobody_else() {
    let site = Site::new();
    let (one, other) = (site.begin().await, site.begin().await);
    let eve = UserId::new("eve");
    let of_eve = site.tokens.begin(TokenRequest::new(&eve)).await.unwrap();
    assert_eq!(
        site.tokens.revoke_all(&UserId::new("ada")).await.unwrap(),
        2
    );
    assert_eq!(site.rotate(&one).await, None);
    assert_eq!(site.rotate(&other).await, None);
    assert!(site.rotate(of_eve.token.expose()).await.is_some());
}

#[tokio::test]
async fn expired_families_are_deleted_at_a_later_login() {
    let site = Site::new();
    for _ in 0..3 {
        site.begin().await;
    }
    site.clock.advance(30 * DAY);
    site.begin().await;
    assert_eq!(site.store.records().await.len(), 1);
}

#[tokio::test]
async fn a_store_that_is_down_is_not_a_token_that_is_not_good() {
    let site = Site::new();
    let first = site.begin().await;
    let refresh = site.tokens.look_up(&first).await.unwrap().unwrap();
    site.store.fail(ErrorKind::Unavailable);
    let ada = UserId::new("ada");
    let kinds = [
        site.tokens
            .begin(TokenRequest::new(&ada))
            .await
            .unwrap_err()
            .kind(),
        site.tokens.look_up(&first).await.unwrap_err().kind(),
        refresh.rotate().await.unwrap_err().kind(),
        site.tokens.revoke(&first).await.unwrap_err().kind(),
        site.tokens.revoke_all(&ada).await.unwrap_err().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::Unavailable; 5]);
}

#[tokio::test]
async fn without_randomness_nothing_is_issued() {
    let site = Site::new();
    let first = site.begin().await;
    site.random.exhaust();
    let ada = UserId::new("ada");
    let begun = site.tokens.begin(TokenRequest::new(&ada)).await;
    assert_eq!(begun.unwrap_err().kind(), ErrorKind::Unavailable);
    let refresh = site.tokens.look_up(&first).await.unwrap().unwrap();
    let rotated = refresh.rotate().await;
    assert_eq!(rotated.unwrap_err().kind(), ErrorKind::Unavailable);
    // It was not used up.
    assert!(site.tokens.look_up(&first).await.unwrap().is_some());
}

#[tokio::test]
async fn a_record_that_makes_no_sense_is_corrupt_and_is_not_printed() {
    for nonsense in [
        "",
        "null",
        "\"hunter2\"",
        r#"{"sub":"1","client_id":null,"scopes":[],"sid":null,"cut_off":0,"ends_at":0,"expires_at":0,"current":"hunter2","previous":null}"#,
        r#"{"sub":"1","client_id":null,"scopes":[],"sid":null,"cut_off":-1,"ends_at":0,"expires_at":0,"current":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","previous":null}"#,
    ] {
        let site = Site::new();
        let first = site.begin().await;
        site.store.overwrite(nonsense).await;
        let error = site.tokens.look_up(&first).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{nonsense}");
        let source = std::error::Error::source(&error).unwrap();
        assert!(!format!("{error} {error:?} {source} {source:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn nothing_printable_holds_a_secret() {
    let site = Site::new();
    let first = site.begin().await;
    let refresh = site.tokens.look_up(&first).await.unwrap().unwrap();
    let before = format!("{refresh:?}");
    let token = refresh.rotate().await.unwrap().unwrap();
    let again = site.tokens.look_up(&first).await.unwrap().unwrap();
    let printed = format!("{:?} {before} {again:?} {token:?}", site.tokens);
    let stored = site.store.records().await;
    let record: serde_json::Value = serde_json::from_str(stored[0].as_str()).unwrap();
    let (current, nonce) = (&record["current"], &record["previous"]["nonce"]);
    for secret in [
        &first[24..],
        &token.token.expose()[24..],
        current.as_str().unwrap(),
        nonce.as_str().unwrap(),
    ] {
        assert!(!printed.contains(secret), "{printed}");
    }
}
