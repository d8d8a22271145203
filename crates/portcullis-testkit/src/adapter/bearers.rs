//! A handler behind a guard gets whom the guard admits, and nobody else.

use std::sync::Arc;

use portcullis_core::BearerGuard;

use super::client::Request;
use super::{Adapter, AdapterApp, Site, endpoint};
use crate::fake_tokens::FakeTokens;
use crate::property::equal;
use crate::signed_in::signed_in;
use crate::suite::{Outcome, Subject};

/// A handler is reached with a good token, and not with a bad one, without one, or while nobody
/// knows.
///
/// # Errors
/// How the property was violated.
pub async fn a_handler_sees_only_bearers_of_good_tokens(subject: &Subject<dyn Adapter>) -> Outcome {
    let site = AdapterApp::new(endpoint().await?).start(subject)?;
    for (authorization, status, body) in [
        (None, 401, NO_TOKEN),
        (Some("Basic x"), 401, NO_TOKEN),
        (Some("Bearer"), 401, BAD_TOKEN),
        (Some("Bearer bad"), 401, BAD_TOKEN),
        (Some("Bearer b\u{e4}d"), 401, BAD_TOKEN),
        (Some("Bearer out"), 503, OUTAGE),
        (Some("bearer good"), 200, "ada"),
    ] {
        asks(&site, "/v1/me", authorization, status, body).await?;
    }
    Ok(())
}

/// A handler that does without a token is reached without one, and still not with a bad one, or
/// while nobody knows.
///
/// # Errors
/// How the property was violated.
pub async fn a_handler_may_do_without_a_token(subject: &Subject<dyn Adapter>) -> Outcome {
    let site = AdapterApp::new(endpoint().await?).start(subject)?;
    for (authorization, status, body) in [
        (None, 200, "nobody"),
        (Some("Basic x"), 200, "nobody"),
        (Some("Bearer bad"), 401, BAD_TOKEN),
        (Some("Bearer out"), 503, OUTAGE),
        (Some("Bearer good"), 200, "ada"),
    ] {
        asks(&site, "/v1/maybe", authorization, status, body).await?;
    }
    Ok(())
}

/// A handler that requires a scope refuses a token without it, and says which it is.
///
/// # Errors
/// How the property was violated.
pub async fn a_handler_may_require_a_scope(subject: &Subject<dyn Adapter>) -> Outcome {
    for (scopes, status, challenge) in [
        (&["write", "read"][..], 200, None),
        (
            &["write", "reads"],
            403,
            Some(r#"Bearer error="insufficient_scope", scope="read""#),
        ),
        (
            &[],
            403,
            Some(r#"Bearer error="insufficient_scope", scope="read""#),
        ),
    ] {
        let (guard, authorization) = signed_in("ada", scopes.iter().copied());
        let app = AdapterApp::new(endpoint().await?).guarded_by(guard);
        let site = app.start(subject)?;
        let request = Request::get("/v1/read").header("authorization", &authorization);
        let answer = site.send(&request).await?;
        equal("a scope", &answer.status, &status)?;
        let said = answer.header("www-authenticate");
        equal("the challenge", &said, &challenge)?;
    }
    Ok(())
}

/// A guard may read the token from a cookie.
///
/// # Errors
/// How the property was violated.
pub async fn a_token_may_come_in_a_cookie(subject: &Subject<dyn Adapter>) -> Outcome {
    let guard = BearerGuard::new(Arc::new(FakeTokens::new())).with_cookie("session");
    let app = AdapterApp::new(endpoint().await?).guarded_by(guard);
    let site = app.start(subject)?;
    for (cookie, status) in [
        ("a=b; session=good", 200),
        ("session=bad", 401),
        ("a=good", 401),
    ] {
        let request = Request::get("/v1/me").header("cookie", cookie);
        site.answers(cookie, &request, status).await?;
    }
    Ok(())
}

/// A guard may read the token after another scheme.
///
/// # Errors
/// How the property was violated.
pub async fn a_token_may_come_by_another_scheme(subject: &Subject<dyn Adapter>) -> Outcome {
    let guard = BearerGuard::new(Arc::new(FakeTokens::new())).with_scheme("Token");
    let app = AdapterApp::new(endpoint().await?).guarded_by(guard);
    let site = app.start(subject)?;
    asks(&site, "/v1/me", Some("token good"), 200, "ada").await?;
    asks(&site, "/v1/me", Some("Bearer good"), 401, NO_TOKEN).await
}

async fn asks(
    site: &Site,
    path: &str,
    authorization: Option<&str>,
    status: u16,
    body: &str,
) -> Outcome {
    let mut request = Request::get(path);
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    let answer = site.send(&request).await?;
    let what = format!("{path} with {authorization:?}");
    equal(&what, &answer.status, &status)?;
    equal(&what, &answer.text().as_str(), &body)?;
    let challenge = answer.header("www-authenticate");
    let expected = (status == 401).then_some("Bearer");
    equal("the challenge", &challenge, &expected)
}

const NO_TOKEN: &str = r#"{"detail":"Not authenticated"}"#;

const BAD_TOKEN: &str = r#"{"detail":"Could not validate credentials"}"#;

const OUTAGE: &str = r#"{"detail":"Service Unavailable"}"#;
