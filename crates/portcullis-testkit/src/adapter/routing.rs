//! Each request goes where FastAPI would have it go.

use portcullis_core::adapter::{Mount, Operation, Scheme};

use super::client::Request;
use super::{Adapter, AdapterApp, RIGHT, Site, endpoint};
use crate::fastapi::{self, Answer, Case};
use crate::property::equal;
use crate::suite::{Outcome, Subject, Violation};

/// The recorded logins are answered as FastAPI answered them.
///
/// # Errors
/// How the property was violated.
pub async fn recorded_logins_are_answered_as_fastapi_did(
    subject: &Subject<dyn Adapter>,
) -> Outcome {
    let site = AdapterApp::new(endpoint().await?).start(subject)?;
    let compared = replay(&site, |case| {
        matches!(case.tier.as_str(), "core" | "multipart")
            && case.path == "/v1/login"
            && case.method == "POST"
    });
    equal("recorded logins", &(compared.await? > 300), &true)
}

/// Wrong methods, redirects, unknown paths, odd spellings and requests without a token are answered
/// as FastAPI answered them.
///
/// # Errors
/// How the property was violated.
pub async fn recorded_requests_for_other_paths_are_answered_as_fastapi_did(
    subject: &Subject<dyn Adapter>,
) -> Outcome {
    let site = AdapterApp::new(endpoint().await?).start(subject)?;
    let compared = replay(&site, |case| match case.tier.as_str() {
        "core" => case.path != "/v1/login" || case.method != "POST",
        // The recorded app takes every token.
        "me" => case.expect.status == 401,
        _ => false,
    });
    equal("recorded requests", &(compared.await? > 20), &true)
}

/// The login is at the path that the mount gives it, in each spelling of it, and not elsewhere.
///
/// # Errors
/// How the property was violated.
pub async fn the_login_is_where_the_mount_says(subject: &Subject<dyn Adapter>) -> Outcome {
    let mount = Mount::new(endpoint().await?)
        .with_prefix("/auth")
        .with_path(Operation::Login, "/token");
    let site = AdapterApp::new(mount).start(subject)?;
    for (path, status) in [
        ("/auth/token", 200),
        ("/auth/%74oken", 200),
        ("/auth%2Ftoken", 200),
        ("/%61uth%2ftoken%0A", 200),
        ("/auth/token?x=y", 200),
        ("/v1/login", 404),
        ("/auth/login", 404),
        ("/auth/TOKEN", 404),
        ("/auth/%2574oken", 404),
    ] {
        let login = Request::post(path, RIGHT);
        site.answers(path, &login, status).await?;
    }
    Ok(())
}

/// Every method but POST is 405, with what is allowed.
///
/// # Errors
/// How the property was violated.
pub async fn another_method_is_405(subject: &Subject<dyn Adapter>) -> Outcome {
    let site = AdapterApp::new(endpoint().await?).start(subject)?;
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "BREW", "post"] {
        let answer = site.send(&Request::new(method, "/v1/login")).await?;
        equal(method, &answer.status, &405)?;
        equal(
            "the allowed methods",
            &answer.header("allow"),
            &Some("POST"),
        )?;
    }
    Ok(())
}

/// A redirect has the scheme that was said, and the host that the client names.
///
/// # Errors
/// How the property was violated.
pub async fn a_redirect_leads_to_where_the_client_believes_the_app_is(
    subject: &Subject<dyn Adapter>,
) -> Outcome {
    let mount = Mount::new(endpoint().await?);
    for (mount, location) in [
        (mount.clone(), "http://testserver/v1/login?x=y"),
        (
            mount.with_scheme(Scheme::Https),
            "https://testserver/v1/login?x=y",
        ),
    ] {
        let site = AdapterApp::new(mount).start(subject)?;
        let answer = site.send(&Request::post("/v1/login/?x=y", "")).await?;
        equal("a slash too many", &answer.status, &307)?;
        equal("the location", &answer.header("location"), &Some(location))?;
    }
    Ok(())
}

/// The paths of the application itself, which the fallback was told of, are answered as FastAPI
/// does too.
///
/// # Errors
/// How the property was violated.
pub async fn the_apps_own_paths_are_answered_as_fastapi_does(
    subject: &Subject<dyn Adapter>,
) -> Outcome {
    let site = AdapterApp::new(endpoint().await?).start(subject)?;
    for (method, path, status, header, value) in [
        ("GET", "/v1/me", 401, "www-authenticate", "Bearer"),
        ("POST", "/v1/me", 405, "allow", "GET"),
        ("GET", "/v1/me/", 307, "location", "http://testserver/v1/me"),
        ("GET", "/v1/you", 404, "content-type", "application/json"),
    ] {
        let answer = site.send(&Request::new(method, path)).await?;
        let what = format!("{method} {path}");
        equal(&what, &answer.status, &status)?;
        equal(&what, &answer.header(header), &Some(value))?;
    }
    Ok(())
}

/// Sends the recorded requests that are wanted, and returns how many that were.
async fn replay(site: &Site, wanted: impl Fn(&Case) -> bool) -> Result<usize, Violation> {
    let mut compared = 0;
    for case in fastapi::cases().iter().filter(|case| wanted(case)) {
        let answer = site.send(&Request::recorded(case)).await?;
        let headers: Vec<_> = answer
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let differences = case.differences(&Answer {
            status: answer.status,
            headers: &headers,
            body: &answer.body,
        });
        if !differences.is_empty() {
            let differences = differences.join(", ");
            return Err(Violation::new(format!("{}: {differences}", case.id)));
        }
        compared += 1;
    }
    Ok(compared)
}
