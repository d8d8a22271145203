//! Refresh tokens, as their users meet them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;

use common::Server;

const FORM: &str = "username=ada%40example.com&password=correct+horse+battery+staple";

#[test]
fn a_login_is_refreshed_after_a_restart_until_it_is_ended() {
    let directory = directory_with_ada();
    let path = directory.path();
    let login = serve(path, &["--refresh-tokens", "on"]).login(FORM);
    // No client of FastAPI sees a difference in the body.
    let (before, after) = (r#"{"access_token":""#, r#"","token_type":"bearer"}"#);
    assert!(login.text().starts_with(before) && login.text().ends_with(after));
    let first = login.refresh_token();

    let server = serve(path, &["--refresh-tokens", "on"]);
    let refreshed = server.post("/v1/refresh", &first);
    assert_eq!(refreshed.status, 200, "{}", refreshed.text());
    let authorization = format!("Bearer {}", refreshed.access_token());
    let headers = [("Host", "a"), ("Authorization", authorization.as_str())];
    assert_eq!(server.request("GET", "/v1/me", &headers, b"").status, 200);
    let second = refreshed.refresh_token();
    assert_ne!(first, second);

    let out = server.post("/v1/logout", &second);
    assert_eq!(out.status, 204);
    assert_eq!(out.refresh_token(), "");
    assert_eq!(server.post("/v1/refresh", &second).status, 401);
    // And so are its access tokens.
    assert_eq!(server.request("GET", "/v1/me", &headers, b"").status, 401);
}

#[test]
fn an_operator_sees_the_sessions_of_a_user_and_ends_one() {
    let directory = directory_with_ada();
    let path = directory.path();
    let server = serve(
        path,
        &["--refresh-tokens=on", "--max-sessions=2", "--tokens=opaque"],
    );
    let logins = [(); 3].map(|()| server.login(FORM));
    let list = user(path, &["sessions"], "");
    let list = String::from_utf8(list.stdout).unwrap();
    let sessions: Vec<_> = list
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>())
        .collect();
    assert_eq!(sessions.len(), 2, "{list}");
    assert_eq!(sessions[0][4], "127.0.0.0/24");
    user(path, &["end-session", "--session", sessions[0][0]], "");
    user(path, &["end-session", "--session", sessions[1][0]], "");
    for login in logins {
        let authorization = format!("Bearer {}", login.access_token());
        let headers = [("Host", "a"), ("Authorization", authorization.as_str())];
        assert_eq!(server.request("GET", "/v1/me", &headers, b"").status, 401);
    }
}

#[test]
fn who_may_not_log_in_may_not_refresh_wherever_tokens_are() {
    for elsewhere in [&[][..], &["--token-store", "sqlite://tokens.db"]] {
        let directory = directory_with_ada();
        let path = directory.path();
        let server = serve(path, &[&["--refresh-tokens", "on"], elsewhere].concat());
        let disabled = server.login(FORM).refresh_token();
        user(path, &[&["disable"], elsewhere].concat(), "");
        user(path, &["enable"], "");
        // It was revoked, not just refused meanwhile.
        assert_eq!(server.post("/v1/refresh", &disabled).status, 401);

        let old = server.login(FORM).refresh_token();
        let set_password = [&["set-password", "--password-stdin"], elsewhere].concat();
        user(path, &set_password, "correct horse battery staple");
        assert_eq!(server.post("/v1/refresh", &old).status, 401);
        let new = server.login(FORM).refresh_token();
        assert_eq!(server.post("/v1/refresh", &new).status, 200);
    }
}

#[test]
fn browsers_send_the_cookie_over_https_alone_where_that_is_said() {
    let directory = directory_with_ada();
    for (scheme, attributes) in [
        ("http", "; Max-Age=2592000; HttpOnly; SameSite=Strict"),
        (
            "https",
            "; Max-Age=2592000; HttpOnly; SameSite=Strict; Secure",
        ),
    ] {
        let server = serve(
            directory.path(),
            &["--refresh-tokens", "on", "--scheme", scheme],
        );
        let login = server.login(FORM);
        assert!(login.header("set-cookie").unwrap().ends_with(attributes));
    }
}

#[test]
fn tokens_are_good_as_long_as_was_said() {
    let directory = directory_with_ada();
    let flags = ["--refresh-tokens", "on", "--refresh-idle-lifetime"];
    let server = serve(directory.path(), &[&flags[..], &["77"]].concat());
    let login = server.login(FORM);
    assert!(
        login
            .header("set-cookie")
            .unwrap()
            .contains("; Max-Age=77;")
    );

    let args = ["serve", "--store", "sqlite://users.db"];
    let output = common::run(directory.path(), [&args[..], &flags, &["0"]].concat(), "");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("idle lifetime"), "{said}");
}

#[test]
fn without_the_flag_there_are_none() {
    let directory = directory_with_ada();
    let server = serve(directory.path(), &[]);
    assert_eq!(server.login(FORM).header("set-cookie"), None);
    assert_eq!(server.post("/v1/refresh", "x").status, 404);
    assert_eq!(server.post("/v1/logout", "x").status, 404);
}

fn directory_with_ada() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    common::add_user(
        directory.path(),
        "ada@example.com",
        "correct horse battery staple",
    );
    directory
}

fn serve(directory: &Path, flags: &[&str]) -> Server {
    let args = ["serve", "--store", "sqlite://users.db"];
    Server::start(directory, args.iter().chain(flags))
}

/// Runs a `user` command on ada.
fn user(directory: &Path, command: &[&str], stdin: &str) -> std::process::Output {
    let store = ["--store", "sqlite://users.db"];
    let name = ["--username", "ada@example.com"];
    let args = [&["user"], command, &store, &name].concat();
    let output = common::run(directory, &args, stdin);
    assert!(output.status.success(), "{output:?}");
    output
}
