//! Refresh tokens: which are good, once, and until when; and what the endpoint makes of them.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_core::{
    Arena, Authenticator, BoxError, Credential, CredentialStore, Dialect, Error, ErrorKind,
    FamilyKey, FamilyRecord, HashPool, HashPoolConfig, LoginRequest, MemoryCredentialStore,
    MemoryRefreshStore, Operation, PasswordHasher, RefreshCookie, RefreshPolicy, RefreshStore,
    RefreshTokens, Reply, SameSite, Secret, TokenEndpoint, TokenIssuer, TokenRequest,
    TokenResponse, UserId, UserStatus, Username, async_trait,
};
use portcullis_testkit::{FakeHasher, ManualClock, SeededRandom};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const RETRY_WINDOW: Duration = Duration::from_secs(10);
const MILLI: Duration = Duration::from_millis(1);

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
    let user = UserId::new("Zoë \"\\\0\u{1F980}");
    let scopes = ["read".to_owned(), "write".to_owned()];
    let looked_up_at = site.clock_now() - Duration::from_micros(1_500_001);
    let mut request = TokenRequest::new(&user);
    request.client_id = Some("spa");
    request.scopes = &scopes;
    request.authenticated_at = Some(looked_up_at);
    let first = site.tokens.begin(request).await.unwrap();
    assert_eq!(first.expires_in, 30 * DAY);
    let refresh = site.tokens.look_up(first.token.expose()).await.unwrap();
    let second = refresh.unwrap().rotate().await.unwrap().unwrap();
    let refresh = site.tokens.look_up(second.token.expose()).await.unwrap();
    let refresh = refresh.unwrap();
    assert_eq!(refresh.subject(), &user);
    assert_eq!(refresh.client_id(), Some("spa"));
    assert_eq!(refresh.scopes(), scopes);
    assert_eq!(refresh.authenticated_at(), looked_up_at);
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
        r#"{"sub":"1","client_id":null,"scopes":[],"authenticated_at":0,"ends_at":0,"expires_at":0,"current":"hunter2","previous":null}"#,
        r#"{"sub":"1","client_id":null,"scopes":[],"authenticated_at":-1,"ends_at":0,"expires_at":0,"current":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","previous":null}"#,
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

#[tokio::test]
async fn a_browser_keeps_the_token_in_a_cookie() {
    let site = Site::new();
    let endpoint = site.endpoint().await.unwrap();
    let reply = login(&endpoint, LOGIN).await;
    assert_eq!(
        text(&reply),
        r#"{"access_token":"1 for read,write","token_type":"bearer"}"#
    );
    let first = cookie(
        &reply,
        "; Max-Age=2592000; HttpOnly; SameSite=Strict; Secure",
    )
    .unwrap();

    let among_others = format!("a=b; refresh_token={first}; refresh_tokens=no");
    let reply = endpoint
        .refresh([b"x=y".as_slice(), among_others.as_bytes()])
        .await;
    assert_eq!(reply.status(), 200);
    assert_eq!(
        text(&reply),
        r#"{"access_token":"1 for read,write","token_type":"bearer"}"#
    );
    let second = cookie(
        &reply,
        "; Max-Age=2592000; HttpOnly; SameSite=Strict; Secure",
    )
    .unwrap();
    assert_ne!(first, second);
    assert!(!format!("{reply:?}").contains(&second));

    let reply = endpoint
        .log_out([format!("refresh_token={second}").as_bytes()])
        .await;
    assert_eq!((reply.status(), text(&reply)), (204, String::new()));
    assert_eq!(
        cookie(&reply, "; Max-Age=0; HttpOnly; SameSite=Strict; Secure").unwrap(),
        ""
    );

    let reply = endpoint
        .refresh([format!("refresh_token={second}").as_bytes()])
        .await;
    assert_eq!(reply.status(), 401);
    assert_eq!(
        text(&reply),
        r#"{"detail":"Could not validate credentials"}"#
    );
    assert_eq!(header(&reply, "www-authenticate"), Some("Bearer"));
    assert_eq!(header(&reply, "set-cookie"), None);
    not_stored(&reply);
}

#[tokio::test]
async fn without_a_cookie_nobody_is_logged_in_and_everybody_can_log_out() {
    let endpoint = Site::new().endpoint().await.unwrap();
    for cookies in [
        Vec::new(),
        vec![b"".as_slice()],
        vec![
            b"refresh_token".as_slice(),
            b"refresh_token=; =x; Refresh_Token=1",
        ],
        vec![b"\xff=\xff".as_slice()],
    ] {
        let reply = endpoint.refresh(cookies.iter().copied()).await;
        assert_eq!(reply.status(), 401);
        assert_eq!(text(&reply), r#"{"detail":"Not authenticated"}"#);
        assert_eq!(header(&reply, "set-cookie"), None);
        assert_eq!(endpoint.log_out(cookies).await.status(), 204);
    }
}

#[tokio::test]
async fn no_cookie_hides_another() {
    let site = Site::new();
    let endpoint = site.endpoint().await.unwrap();
    let attributes = "; Max-Age=2592000; HttpOnly; SameSite=Strict; Secure";
    let log_in = async || cookie(&login(&endpoint, LOGIN).await, attributes).unwrap();
    let unknown = "A".repeat(64);
    let (one, other) = (log_in().await, log_in().await);
    let sent = |tokens: [&str; 3]| {
        tokens
            .map(|token| format!("refresh_token={token}"))
            .join("; ")
    };

    let reply = endpoint
        .refresh([sent(["junk", &unknown, &one]).as_bytes()])
        .await;
    assert_eq!(reply.status(), 200);
    let one = cookie(&reply, attributes).unwrap();
    let reply = endpoint
        .log_out([sent(["junk", &one, &other]).as_bytes()])
        .await;
    assert_eq!(reply.status(), 204);
    for token in [one, other] {
        assert_eq!(site.rotate(&token).await, None);
    }

    // A bound on what one request costs, which what can be no token does not count against.
    let good = log_in().await;
    let junk = "refresh_token=junk; ".repeat(4);
    let sent = format!("{junk}refresh_token={good}");
    assert_eq!(endpoint.refresh([sent.as_bytes()]).await.status(), 200);
    let good = log_in().await;
    let four = vec![format!("refresh_token={unknown}"); 4].join("; ");
    let sent = format!("{four}; refresh_token={good}");
    assert_eq!(endpoint.refresh([sent.as_bytes()]).await.status(), 401);
}

#[tokio::test]
async fn the_cookie_is_set_as_it_was_said() {
    let mut said = RefreshCookie::default();
    said.secure = false;
    said.same_site = SameSite::Lax;
    said.path = Some("/auth".to_owned());
    let endpoint = Site::new()
        .endpoint()
        .await
        .unwrap()
        .with_refresh_cookie(said)
        .unwrap();
    let reply = login(&endpoint, LOGIN).await;
    assert!(
        cookie(
            &reply,
            "; Max-Age=2592000; HttpOnly; SameSite=Lax; Path=/auth"
        )
        .is_some()
    );
}

#[tokio::test]
async fn a_cookie_that_no_browser_would_take_is_refused() {
    let endpoint = Site::new().endpoint().await.unwrap();
    let set = |secure, same_site, path: Option<&str>| {
        let mut cookie = RefreshCookie::default();
        (cookie.secure, cookie.same_site) = (secure, same_site);
        cookie.path = path.map(str::to_owned);
        let set = endpoint.clone().with_refresh_cookie(cookie);
        set.err().map(|error| error.kind())
    };
    assert_eq!(set(true, SameSite::None, Some("/a/b")), None);
    assert_eq!(set(false, SameSite::Strict, None), None);
    let refused = Some(ErrorKind::InvalidConfig);
    assert_eq!(set(false, SameSite::None, None), refused);
    for path in ["", "a", "/a b", "/a;Domain=b", "/\r\nx: y", "/é"] {
        assert_eq!(set(true, SameSite::Strict, Some(path)), refused, "{path:?}");
    }
}

#[tokio::test]
async fn rfc_6749_has_the_token_in_the_body() {
    let site = Site::new();
    let endpoint = site
        .endpoint()
        .await
        .unwrap()
        .with_dialect(Dialect::Rfc6749);
    let reply = login(&endpoint, &format!("{LOGIN}&scope=read")).await;
    let first = body_token(&reply, "1 for read", "read");
    assert_eq!(header(&reply, "set-cookie"), None);

    let refresh = |token: &str| format!("grant_type=refresh_token&refresh_token={token}");
    let reply = login(&endpoint, &refresh(&first)).await;
    let second = body_token(&reply, "1 for read", "read");
    // What the login was not granted no refresh is.
    let reply = login(&endpoint, &format!("{}&scope=write", refresh(&second))).await;
    let third = body_token(&reply, "1 for ", "");

    let reply = login(&endpoint, &refresh(&first)).await;
    assert_eq!(reply.status(), 400);
    assert_eq!(
        text(&reply),
        r#"{"error":"invalid_grant","error_description":"The refresh token is not valid"}"#
    );
    not_stored(&reply);
    assert_eq!(login(&endpoint, &refresh(&third)).await.status(), 400);

    let reply = login(&endpoint, "grant_type=refresh_token").await;
    assert_eq!(reply.status(), 400);
    assert!(text(&reply).starts_with(r#"{"error":"invalid_request""#));
}

#[tokio::test]
async fn rfc_7009_revokes_a_token() {
    let site = Site::new();
    let endpoint = site
        .endpoint()
        .await
        .unwrap()
        .with_dialect(Dialect::Rfc6749);
    let reply = login(&endpoint, LOGIN).await;
    let token = body_token(&reply, "1 for read,write", "read write");
    for _ in 0..2 {
        let reply = revoke(
            &endpoint,
            &format!("token={token}&token_type_hint=refresh_token"),
        )
        .await;
        assert_eq!((reply.status(), text(&reply)), (200, String::new()));
        not_stored(&reply);
    }
    let refresh = format!("grant_type=refresh_token&refresh_token={token}");
    assert_eq!(login(&endpoint, &refresh).await.status(), 400);
    let reply = revoke(&endpoint, "").await;
    assert_eq!(reply.status(), 400);
    assert!(text(&reply).starts_with(r#"{"error":"invalid_request""#));

    for hint in [
        "",
        "&token_type_hint=refresh_token",
        "&token_type_hint=other",
    ] {
        assert_eq!(
            revoke(&endpoint, &format!("token=a.b.c{hint}"))
                .await
                .status(),
            200
        );
    }
    let reply = revoke(&endpoint, "token=a.b.c&token_type_hint=access_token").await;
    assert_eq!(reply.status(), 400);
    assert!(text(&reply).starts_with(r#"{"error":"unsupported_token_type""#));
    // A wrong hint does not keep a token from being revoked.
    let reply = login(&endpoint, LOGIN).await;
    let token = body_token(&reply, "1 for read,write", "read write");
    let reply = revoke(
        &endpoint,
        &format!("token={token}&token_type_hint=access_token"),
    )
    .await;
    assert_eq!(reply.status(), 200);
    assert_eq!(site.rotate(&token).await, None);
}

#[tokio::test]
async fn a_token_of_another_client_is_not_good_for_this_one() {
    let site = Site::new();
    let endpoint = site
        .endpoint()
        .await
        .unwrap()
        .with_dialect(Dialect::Rfc6749);
    let reply = login(&endpoint, &format!("{LOGIN}&client_id=spa")).await;
    let token = body_token(&reply, "1 for read,write", "read write");
    let refresh = format!("grant_type=refresh_token&refresh_token={token}");
    let reply = login(&endpoint, &format!("{refresh}&client_id=other")).await;
    assert_eq!(reply.status(), 400);
    let reply = login(&endpoint, &format!("{refresh}&client_id=spa")).await;
    assert_eq!(reply.status(), 200);
}

#[tokio::test]
async fn a_user_who_may_not_log_in_may_not_refresh() {
    let one = UserId::new("1");
    let hash = FakeHasher::new(1)
        .hash(b"another password", &mut Arena::new())
        .unwrap();
    for change in ["disable", "delete", "set password"] {
        let site = Site::new();
        let endpoint = site.endpoint().await.unwrap();
        let token = cookie(
            &login(&endpoint, LOGIN).await,
            "; Max-Age=2592000; HttpOnly; SameSite=Strict; Secure",
        )
        .unwrap();
        site.clock.advance(Duration::from_micros(1));
        let changed = match change {
            "disable" => site.users.set_status(&one, UserStatus::Disabled).await,
            "delete" => site.users.delete(&one).await,
            _ => {
                let now = site.clock_now();
                let cut_off = site.users.set_password(&one, &hash, now).await;
                cut_off.map(|cut_off| cut_off == Some(now))
            }
        };
        assert!(changed.unwrap());
        let reply = endpoint
            .refresh([format!("refresh_token={token}").as_bytes()])
            .await;
        assert_eq!(reply.status(), 401, "{change}");
    }
}

#[tokio::test]
async fn scopes_that_a_user_has_lost_are_not_granted_again_and_new_ones_are_not_added() {
    let site = Site::new();
    let endpoint = site
        .endpoint()
        .await
        .unwrap()
        .with_dialect(Dialect::Rfc6749);
    let reply = login(&endpoint, LOGIN).await;
    let token = body_token(&reply, "1 for read,write", "read write");
    let user = site
        .users
        .find(&Username::new("ada"))
        .await
        .unwrap()
        .unwrap();
    site.users.delete(&user.user_id).await.unwrap();
    let mut changed = user;
    changed.scopes = vec!["admin".to_owned(), "write".to_owned()];
    site.users.create(&changed).await.unwrap();
    let refresh = format!("grant_type=refresh_token&refresh_token={token}");
    body_token(&login(&endpoint, &refresh).await, "1 for write", "write");
}

#[tokio::test]
async fn what_fails_on_the_way_does_not_use_the_token_up() {
    let site = Site::new();
    let endpoint = site.endpoint().await.unwrap();
    let set = "; Max-Age=2592000; HttpOnly; SameSite=Strict; Secure";
    let first = cookie(&login(&endpoint, LOGIN).await, set).unwrap();
    let sent = format!("refresh_token={first}");
    site.store.fail(ErrorKind::Unavailable);
    for reply in [
        login(&endpoint, LOGIN).await,
        endpoint.refresh([sent.as_bytes()]).await,
        endpoint.log_out([sent.as_bytes()]).await,
    ] {
        assert_eq!(reply.status(), 503);
        assert!(header(&reply, "retry-after").is_some());
        assert_eq!(header(&reply, "set-cookie"), None);
    }
    site.store.work();
    let broken = TokenEndpoint::new(site.authenticator().unwrap(), Arc::new(NoIssuer))
        .with_refresh_tokens(site.tokens.clone());
    assert_eq!(broken.refresh([sent.as_bytes()]).await.status(), 503);
    // However long that takes.
    site.clock.advance(DAY);
    assert_eq!(endpoint.refresh([sent.as_bytes()]).await.status(), 200);
}

#[tokio::test]
async fn what_an_endpoint_does_not_offer_is_not_found() {
    let site = Site::new();
    let none = TokenEndpoint::new(site.authenticator().unwrap(), Arc::new(PlainIssuer));
    let fastapi = site.endpoint().await.unwrap();
    let rfc = fastapi.clone().with_dialect(Dialect::Rfc6749);
    for (endpoint, cookie, revocation) in
        [(&none, 404, 404), (&fastapi, 401, 404), (&rfc, 404, 400)]
    {
        assert_eq!(endpoint.refresh([]).await.status(), cookie);
        let offers = |operation| endpoint.operations().contains(&operation);
        assert!(offers(Operation::Login));
        assert_eq!(offers(Operation::Refresh), cookie != 404);
        assert_eq!(offers(Operation::LogOut), cookie != 404);
        assert_eq!(offers(Operation::Revoke), revocation != 404);
        assert_eq!(endpoint.log_out([]).await.status() == 404, cookie == 404);
        assert_eq!(revoke(endpoint, "").await.status(), revocation);
    }
    // FastAPI's form has no such grant.
    let reply = login(&fastapi, "grant_type=refresh_token&refresh_token=x").await;
    assert_eq!(reply.status(), 422);
}

const LOGIN: &str = "username=ada&password=correct";

async fn login(endpoint: &TokenEndpoint, body: &str) -> Reply {
    let form = Some(b"application/x-www-form-urlencoded".as_slice());
    endpoint
        .handle(LoginRequest::new(form, body.as_bytes()))
        .await
}

async fn revoke(endpoint: &TokenEndpoint, body: &str) -> Reply {
    let form = Some(b"application/x-www-form-urlencoded".as_slice());
    endpoint
        .revoke(LoginRequest::new(form, body.as_bytes()))
        .await
}

fn text(reply: &Reply) -> String {
    String::from_utf8_lossy(reply.body()).into_owned()
}

fn header<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    let mut found = reply.headers().filter(|(of, _)| *of == name);
    found.next().map(|(_, value)| value)
}

fn not_stored(reply: &Reply) {
    assert_eq!(header(reply, "cache-control"), Some("no-store"));
    assert_eq!(header(reply, "pragma"), Some("no-cache"));
}

/// The refresh token in a cookie that is set with these attributes.
fn cookie(reply: &Reply, attributes: &str) -> Option<String> {
    let value = header(reply, "set-cookie")?.strip_prefix("refresh_token=")?;
    value.strip_suffix(attributes).map(str::to_owned)
}

/// The refresh token in a body that is otherwise as expected.
fn body_token(reply: &Reply, access_token: &str, scope: &str) -> String {
    let body = text(reply);
    let before = format!(
        r#"{{"access_token":"{access_token}","token_type":"bearer","expires_in":900,"refresh_token":""#
    );
    let after = format!(r#"","scope":"{scope}"}}"#);
    let token = body
        .strip_prefix(&before)
        .and_then(|body| body.strip_suffix(&after));
    assert!(token.is_some(), "{body}");
    token.unwrap_or_default().to_owned()
}

/// A service with one user.
struct Site {
    tokens: RefreshTokens,
    store: Arc<Store>,
    users: Arc<MemoryCredentialStore>,
    clock: Arc<ManualClock>,
    random: Arc<SeededRandom>,
}

impl Site {
    fn new() -> Self {
        let store = Arc::new(Store::default());
        let clock = Arc::new(ManualClock::new(UNIX_EPOCH + 20_000 * DAY));
        let random = Arc::new(SeededRandom::new(1));
        let tokens = RefreshTokens::new(store.clone())
            .with_clock(clock.clone())
            .with_random(random.clone());
        Self {
            tokens,
            store,
            users: Arc::new(MemoryCredentialStore::new()),
            clock,
            random,
        }
    }

    fn clock_now(&self) -> SystemTime {
        use portcullis_core::Clock;
        self.clock.now()
    }

    async fn begin(&self) -> String {
        let ada = UserId::new("ada");
        let first = self.tokens.begin(TokenRequest::new(&ada)).await.unwrap();
        first.token.expose().to_owned()
    }

    async fn rotate(&self, token: &str) -> Option<String> {
        let refresh = self.tokens.look_up(token).await.unwrap()?;
        let next = refresh.rotate().await.unwrap()?;
        Some(next.token.expose().to_owned())
    }

    fn authenticator(&self) -> Result<Authenticator, BoxError> {
        let mut config = HashPoolConfig::default();
        config.threads = NonZeroUsize::MIN;
        config.clock = self.clock.clone();
        let pool = HashPool::new(Arc::new(FakeHasher::new(1)), config)?;
        Ok(Authenticator::new(self.users.clone(), pool)?)
    }

    async fn endpoint(&self) -> Result<TokenEndpoint, BoxError> {
        let hash = FakeHasher::new(1).hash(b"correct", &mut Arena::new())?;
        let mut ada =
            Credential::new(UserId::new("1"), Username::new("ada")).with_password_hash(hash);
        ada.scopes = vec!["read".to_owned(), "write".to_owned()];
        self.users.create(&ada).await?;
        Ok(
            TokenEndpoint::new(self.authenticator()?, Arc::new(PlainIssuer))
                .with_refresh_tokens(self.tokens.clone()),
        )
    }
}

/// Keeps families in memory, shows them, and lags behind or fails when told to.
#[derive(Debug, Default)]
struct Store {
    inner: MemoryRefreshStore,
    keys: Mutex<Vec<FamilyKey>>,
    failure: Mutex<Option<ErrorKind>>,
    /// What to find, and how often.
    lag: Mutex<Option<(FamilyRecord, usize)>>,
}

impl Store {
    fn lag(&self, record: &FamilyRecord, look_ups: usize) {
        *self.lag.lock().unwrap() = Some((record.clone(), look_ups));
    }

    fn fail(&self, kind: ErrorKind) {
        *self.failure.lock().unwrap() = Some(kind);
    }

    fn work(&self) {
        *self.failure.lock().unwrap() = None;
    }

    fn check(&self) -> Result<(), Error> {
        match *self.failure.lock().unwrap() {
            Some(kind) => Err(Error::new(kind, "the store is out of order")),
            None => Ok(()),
        }
    }

    async fn records(&self) -> Vec<FamilyRecord> {
        let keys = self.keys.lock().unwrap().clone();
        let mut records = Vec::new();
        for key in keys {
            records.extend(self.inner.find(&key).await.unwrap());
        }
        records
    }

    /// Puts a text in the place of all records.
    async fn overwrite(&self, text: &str) {
        let keys = self.keys.lock().unwrap().clone();
        for key in keys {
            let old = self.inner.find(&key).await.unwrap().unwrap();
            let new = FamilyRecord::new(text);
            let expires_at = UNIX_EPOCH + 100_000 * DAY;
            assert!(
                self.inner
                    .replace(&key, &old, &new, expires_at)
                    .await
                    .unwrap()
            );
        }
    }
}

#[async_trait]
impl RefreshStore for Store {
    async fn insert(
        &self,
        key: &FamilyKey,
        subject: &UserId,
        record: &FamilyRecord,
        expires_at: SystemTime,
        ends_at: SystemTime,
    ) -> Result<(), Error> {
        self.check()?;
        assert!(expires_at <= ends_at);
        self.keys.lock().unwrap().push(*key);
        self.inner
            .insert(key, subject, record, expires_at, ends_at)
            .await
    }

    async fn find(&self, key: &FamilyKey) -> Result<Option<FamilyRecord>, Error> {
        self.check()?;
        if let Some((record, look_ups)) = &mut *self.lag.lock().unwrap()
            && *look_ups > 0
        {
            *look_ups -= 1;
            return Ok(Some(record.clone()));
        }
        self.inner.find(key).await
    }

    async fn replace(
        &self,
        key: &FamilyKey,
        old: &FamilyRecord,
        new: &FamilyRecord,
        expires_at: SystemTime,
    ) -> Result<bool, Error> {
        self.check()?;
        self.inner.replace(key, old, new, expires_at).await
    }

    async fn revoke(&self, key: &FamilyKey) -> Result<bool, Error> {
        self.check()?;
        self.inner.revoke(key).await
    }

    async fn revoke_all(&self, subject: &UserId) -> Result<u64, Error> {
        self.check()?;
        self.inner.revoke_all(subject).await
    }

    async fn delete_expired(&self, now: SystemTime, limit: u32) -> Result<u32, Error> {
        self.check()?;
        self.inner.delete_expired(now, limit).await
    }
}

/// Issues tokens that say what they were asked for.
#[derive(Debug)]
struct PlainIssuer;

#[async_trait]
impl TokenIssuer for PlainIssuer {
    async fn issue(&self, request: TokenRequest<'_>) -> Result<TokenResponse, Error> {
        let token = format!("{} for {}", request.subject, request.scopes.join(","));
        Ok(TokenResponse::new(
            Secret::from(token),
            Duration::from_secs(900),
        ))
    }
}

/// Cannot issue any token.
#[derive(Debug)]
struct NoIssuer;

#[async_trait]
impl TokenIssuer for NoIssuer {
    async fn issue(&self, _: TokenRequest<'_>) -> Result<TokenResponse, Error> {
        Err(Error::new(
            ErrorKind::Unavailable,
            "the issuer is out of order",
        ))
    }
}
