//! Each operation is served as itself, with the cookies that it takes and sets.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use portcullis_core::cookie::TokenCookie;
use portcullis_core::memory::{MemoryRefreshStore, MemoryThrottleStore};
use portcullis_core::{
    Accounts, HashPool, RefreshTokens, RefreshTransport, Throttle, TokenEndpoint,
};

use super::client::{Request, Response};
use super::{Adapter, AdapterApp, RIGHT, Site, WRONG, endpoint};
use crate::fake_hasher::FakeHasher;
use crate::fake_tokens::FakeTokens;
use crate::fastapi::{self, USERS};
use crate::property::equal;
use crate::signed_in::signed_in;
use crate::suite::{Outcome, Subject, Violation};

/// A login sets a cookie, a refresh takes it and sets the next, and logging out ends them all.
///
/// # Errors
/// How the property was violated.
pub async fn a_cookie_refreshes_a_login_and_logging_out_ends_it(
    subject: &Subject<dyn Adapter>,
) -> Outcome {
    let transport = RefreshTransport::Cookie(TokenCookie::refresh_token());
    let endpoint = endpoint()
        .await?
        .with_refresh_tokens(refresh_tokens(), transport)?;
    let site = AdapterApp::new(endpoint).start(subject)?;
    let login = site.send(&Request::post("/v1/login", RIGHT)).await?;
    let first = token_of(&login, 200)?;

    // No other cookie hides it, in the same header or before.
    let refresh = Request::post("/v1/refresh", "")
        .header("cookie", "other=1")
        .header("cookie", &format!("another=2; refresh_token={first}"));
    let second = token_of(&site.send(&refresh).await?, 200)?;
    equal("another refresh token", &(first != second), &true)?;

    let with_cookie = |path: &str| {
        let cookie = format!("refresh_token={second}");
        Request::post(path, "").header("cookie", &cookie)
    };
    let log_out = site.send(&with_cookie("/v1/logout")).await?;
    equal("log out", &log_out.status, &204)?;
    let forgotten = log_out.cookie("refresh_token");
    equal("the cookie after that", &forgotten, &Some(""))?;
    let refresh = with_cookie("/v1/refresh");
    site.answers("refresh after that", &refresh, 401).await?;
    let refresh = Request::new("GET", "/v1/refresh");
    site.answers("GET of the refresh", &refresh, 405).await
}

/// An answer may set two cookies, and a browser gets both.
///
/// # Errors
/// How the property was violated.
pub async fn both_cookies_of_an_answer_are_set(subject: &Subject<dyn Adapter>) -> Outcome {
    let transport = RefreshTransport::Cookie(TokenCookie::refresh_token());
    let endpoint = endpoint()
        .await?
        .with_refresh_tokens(refresh_tokens(), transport)?
        .with_access_cookie(TokenCookie::access_token())?;
    let site = AdapterApp::new(endpoint).start(subject)?;
    let login = site.send(&Request::post("/v1/login", RIGHT)).await?;
    token_of(&login, 200)?;
    let access = login.cookie("access_token");
    equal("the cookie access_token", &access, &Some("good"))?;
    equal("cookies", &login.all("set-cookie").count(), &2)?;
    let not_stored = login.header("cache-control");
    equal("cache-control", &not_stored, &Some("no-store"))
}

/// A refresh token that travels in bodies is taken by the login, and revoked.
///
/// # Errors
/// How the property was violated.
pub async fn a_refresh_token_in_a_body_is_refreshed_and_revoked(
    subject: &Subject<dyn Adapter>,
) -> Outcome {
    let endpoint = endpoint()
        .await?
        .with_refresh_tokens(refresh_tokens(), RefreshTransport::Body)?;
    let site = AdapterApp::new(endpoint).start(subject)?;
    let first = refresh_token_in(&site.send(&Request::post("/v1/login", RIGHT)).await?)?;
    let refresh = async |token: &str| {
        let form = format!("grant_type=refresh_token&refresh_token={token}");
        site.send(&Request::post("/v1/login", &form)).await
    };
    let second = refresh_token_in(&refresh(&first).await?)?;
    let revoke = Request::post("/v1/revoke", &format!("token={second}"));
    site.answers("revoke", &revoke, 200).await?;
    equal("refresh", &refresh(&second).await?.status, &401)
}

/// A user who is logged in changes the password.
///
/// # Errors
/// How the property was violated.
pub async fn a_password_is_changed_by_its_bearer(subject: &Subject<dyn Adapter>) -> Outcome {
    let pool = HashPool::inline(Arc::new(FakeHasher::new(1)));
    let authenticator = fastapi::authenticator(pool).await?;
    let [(ada, _), _] = USERS;
    let (guard, authorization) = signed_in::<&str>(ada, []);
    let endpoint = TokenEndpoint::new(authenticator.clone(), Arc::new(FakeTokens::new()))
        .with_password_change(Accounts::new(authenticator), guard);
    let site = AdapterApp::new(endpoint).start(subject)?;
    let change = Request::post(
        "/v1/password",
        "current_password=correct+horse+battery+staple&new_password=a+stable+for+many+horses",
    );
    site.answers("a change by nobody", &change, 401).await?;
    let change = change_with(&change, &authorization);
    site.answers("a change by its bearer", &change, 200).await?;
    log_in(&site, RIGHT, 401).await?;
    let new = "username=ada%40example.com&password=a+stable+for+many+horses";
    log_in(&site, new, 200).await
}

/// An operation that the endpoint does not offer has no path.
///
/// # Errors
/// How the property was violated.
pub async fn what_is_not_offered_is_not_there(subject: &Subject<dyn Adapter>) -> Outcome {
    let plain = endpoint().await?;
    let in_body = plain
        .clone()
        .with_refresh_tokens(refresh_tokens(), RefreshTransport::Body)?;
    let cookie = RefreshTransport::Cookie(TokenCookie::refresh_token());
    let in_cookie = plain
        .clone()
        .with_refresh_tokens(refresh_tokens(), cookie)?;
    for (endpoint, refresh, log_out, revoke) in [
        (plain, 404, 404, 404),
        (in_body, 404, 404, 200),
        (in_cookie, 401, 204, 404),
    ] {
        let site = AdapterApp::new(endpoint).start(subject)?;
        for (path, status) in [
            ("/v1/refresh", refresh),
            ("/v1/logout", log_out),
            ("/v1/revoke", revoke),
            ("/v1/password", 404),
        ] {
            let request = Request::post(path, "token=unknown");
            site.answers(path, &request, status).await?;
        }
    }
    Ok(())
}

/// A client is known to the throttle by where its connection comes from.
///
/// # Errors
/// How the property was violated.
pub async fn clients_are_told_apart_by_their_address(subject: &Subject<dyn Adapter>) -> Outcome {
    let throttle = Throttle::new(Arc::new(MemoryThrottleStore::new()));
    let endpoint = endpoint().await?.with_throttle(throttle);
    let site = AdapterApp::new(endpoint).start(subject)?;
    let [home, abroad] = [1, 2].map(|host| IpAddr::from(Ipv4Addr::new(127, 0, 0, host)));
    let log_in = async |form: &str, from: IpAddr, status: u16| {
        let what = format!("a login from {from}");
        let login = Request::post("/v1/login", form).from(from);
        site.answers(&what, &login, status).await
    };
    log_in(RIGHT, home, 200).await?;
    for _ in 0..5 {
        log_in(WRONG, abroad, 401).await?;
    }
    log_in(RIGHT, abroad, 429).await?;
    log_in(RIGHT, home, 200).await
}

async fn log_in(site: &Site, form: &str, status: u16) -> Outcome {
    let login = Request::post("/v1/login", form);
    site.answers("a login", &login, status).await
}

fn change_with(change: &Request, authorization: &str) -> Request {
    change.clone().header("authorization", authorization)
}

fn refresh_tokens() -> RefreshTokens {
    RefreshTokens::new(Arc::new(MemoryRefreshStore::new()))
}

/// The refresh token in the cookie of an answer.
fn token_of(answer: &Response, status: u16) -> Result<String, Violation> {
    equal("the status", &answer.status, &status)?;
    match answer.cookie("refresh_token") {
        Some(token) if !token.is_empty() => Ok(token.to_owned()),
        other => Err(Violation::new(format!("the refresh token is {other:?}"))),
    }
}

/// The refresh token in the body of an answer.
fn refresh_token_in(answer: &Response) -> Result<String, Violation> {
    equal("the status", &answer.status, &200)?;
    let text = answer.text();
    let token = text
        .split_once(r#""refresh_token":""#)
        .and_then(|(_, rest)| rest.split_once('"'));
    match token {
        Some((token, _)) => Ok(token.to_owned()),
        None => Err(Violation::new("there is no refresh token in the body")),
    }
}
