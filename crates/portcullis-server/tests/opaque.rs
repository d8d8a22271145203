//! Opaque tokens, as their users meet them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;

use common::Server;

const FORM: &str = "username=ada%40example.com&password=correct+horse+battery+staple";

#[test]
fn an_opaque_token_opens_me_and_no_other_does() {
    let directory = directory_with_ada();
    let server = serve(directory.path(), &[]);
    let login = server.login(FORM);
    let token = login.access_token();
    assert_eq!(token.len(), 43);

    let answer = me(&server, token);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let rest = r#","username":"ada@example.com","scopes":["read"]}"#;
    assert!(answer.text().ends_with(rest), "{}", answer.text());
    let jwt = Server::start(directory.path(), ["serve", "--store", "sqlite://users.db"]);
    for refused in [
        "",
        "x",
        &format!("{token}x"),
        &"x".repeat(43),
        jwt.login(FORM).access_token(),
    ] {
        let answer = me(&server, refused);
        assert_eq!(answer.status, 401);
        assert_eq!(
            answer.text(),
            r#"{"detail":"Could not validate credentials"}"#
        );
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    assert_eq!(me(&jwt, token).status, 401);
}

#[test]
fn an_opaque_token_outlives_a_restart_and_not_its_user() {
    let directory = directory_with_ada();
    let path = directory.path();
    let token = serve(path, &[]).login(FORM).access_token().to_owned();
    let server = serve(path, &[]);
    let me = || me(&server, &token).status;
    assert_eq!(me(), 200);
    user(path, &["disable"], "");
    assert_eq!(me(), 401);
    // It was revoked, not just refused meanwhile.
    user(path, &["enable"], "");
    assert_eq!(me(), 401);

    let token = server.login(FORM).access_token().to_owned();
    user(path, &["delete"], "");
    assert_eq!(self::me(&server, &token).status, 401);
}

#[test]
fn a_password_change_ends_opaque_tokens_at_once_wherever_they_are() {
    let directory = directory_with_ada();
    let path = directory.path();
    for elsewhere in [&[][..], &["--token-store", "sqlite://tokens.db"]] {
        let server = serve(path, elsewhere);
        let old = server.login(FORM).access_token().to_owned();
        assert_eq!(me(&server, &old).status, 200);
        let mut command = vec!["set-password", "--password-stdin"];
        command.extend(elsewhere);
        user(path, &command, "correct horse battery staple");
        assert_eq!(me(&server, &old).status, 401);
        let login = server.login(FORM);
        assert_eq!(me(&server, login.access_token()).status, 200);
    }
}

#[test]
fn tokens_may_be_in_another_store_than_users() {
    let directory = directory_with_ada();
    let elsewhere = ["--token-store", "sqlite://tokens.db"];
    let token = serve(directory.path(), &elsewhere)
        .login(FORM)
        .access_token()
        .to_owned();
    let server = serve(directory.path(), &elsewhere);
    assert_eq!(me(&server, &token).status, 200);
    let server = serve(directory.path(), &[]);
    assert_eq!(me(&server, &token).status, 401);
}

#[test]
fn stores_are_migrated_by_a_command_or_a_flag() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let stores = [
        "--store",
        "sqlite://users.db",
        "--token-store",
        "sqlite://tokens.db",
    ];
    for _ in 0..2 {
        let output = common::run(path, ["migrate"].iter().chain(&stores), "");
        assert!(output.status.success(), "{output:?}");
    }
    assert!(path.join("users.db").exists());
    assert!(path.join("tokens.db").exists());

    let output = common::run(path, ["migrate", "--store", "mysql://root:hunter2@db"], "");
    assert_eq!(output.status.code(), Some(2));

    let server = serve(path, &["--migrate"]);
    assert_eq!(server.login(FORM).status, 401);
}

fn directory_with_ada() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    user(
        directory.path(),
        &["add", "--password-stdin", "--scope", "read"],
        "correct horse battery staple",
    );
    directory
}

fn serve(directory: &Path, flags: &[&str]) -> Server {
    let args = [
        "serve",
        "--store",
        "sqlite://users.db",
        "--tokens",
        "opaque",
    ];
    Server::start(directory, args.iter().chain(flags))
}

fn me(server: &Server, token: &str) -> common::Response {
    let authorization = format!("Bearer {token}");
    let headers = [
        ("Host", "testserver"),
        ("Authorization", authorization.as_str()),
    ];
    server.request("GET", "/v1/me", &headers, b"")
}

/// Runs a `user` command on ada.
fn user(directory: &Path, command: &[&str], stdin: &str) {
    let mut args = vec!["user"];
    args.extend(command);
    args.extend([
        "--store",
        "sqlite://users.db",
        "--username",
        "ada@example.com",
    ]);
    let output = common::run(directory, &args, stdin);
    assert!(output.status.success(), "{output:?}");
}
