//! The server answers, over a socket, what FastAPI answered to recorded requests.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use portcullis_testkit::fastapi::{self, Answer};

use common::{Server, add_user};

#[test]
fn recorded_requests_are_answered_as_fastapi_did() {
    let directory = tempfile::tempdir().unwrap();
    for (username, password) in fastapi::USERS {
        add_user(directory.path(), username, password);
    }
    let server = Server::start(
        directory.path(),
        [
            "serve",
            "--throttle=off",
            "--store=sqlite://users.db",
            // As much as FastAPI's limits for the parts of a form come to.
            "--body-limit=8388608",
        ],
    );
    let mut failures = Vec::new();
    let mut compared = 0;
    for case in fastapi::cases() {
        let applies = match case.tier.as_str() {
            "core" | "multipart" => true,
            // Its tokens are those of the recorded app.
            "me" => case.expect.status != 200,
            _ => false,
        };
        if !applies {
            continue;
        }
        let headers: Vec<_> = case
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let response = server.request(&case.method, &case.path, &headers, &case.body());
        let headers: Vec<_> = response
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let answer = Answer {
            status: response.status,
            headers: &headers,
            body: &response.body,
        };
        for difference in case.differences(&answer) {
            failures.push(format!("{}: {difference}", case.id));
        }
        compared += 1;
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(compared > 340, "only {compared} cases were compared");
}
