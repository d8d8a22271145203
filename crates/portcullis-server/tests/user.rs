//! The commands that manage users.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;

#[test]
fn users_are_added_listed_and_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let list = || check(path, &["list"], "", 0, "");
    assert_eq!(list(), "");
    add(path, "zoë@example.com", "fifteen letters", 0, "");
    add(path, "ada\n@example.com", "fifteen letters\n", 0, "");
    check(
        path,
        &["disable", "--username", "zoë@example.com"],
        "",
        0,
        "",
    );
    let users: Vec<_> = list().lines().map(str::to_owned).collect();
    assert_eq!(users.len(), 2);
    assert!(
        users[0].ends_with("\tada\\n@example.com\tenabled"),
        "{users:?}"
    );
    assert!(
        users[1].ends_with("\tzoë@example.com\tdisabled"),
        "{users:?}"
    );
    check(
        path,
        &["delete", "--username", "zoë@example.com"],
        "",
        0,
        "",
    );
    assert_eq!(list().lines().count(), 1);
}

#[test]
fn what_is_refused_is_said_in_a_sentence_with_code_1() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    add(path, "ada", "fifteen letters", 0, "");
    add(
        path,
        "ada",
        "another password",
        1,
        "there is already a user named \"ada\"",
    );
    add(
        path,
        "bob",
        "fourteen chars",
        1,
        "the password has 14 characters and needs at least 15",
    );
    add(
        path,
        "bob",
        "ääääääääääääää",
        1,
        "the password has 14 characters and needs at least 15",
    );
    for command in ["delete", "disable", "enable"] {
        check(
            path,
            &[command, "--username", "bob"],
            "",
            1,
            "there is no user named \"bob\"",
        );
    }
    let set = &["set-password", "--username", "bob", "--password-stdin"];
    check(
        path,
        set,
        "fifteen letters",
        1,
        "there is no user named \"bob\"",
    );
    let hash = &["add", "--username", "bob", "--password-hash-stdin"];
    check(path, hash, "$1$not$supported", 1, "not a password hash");
    assert_eq!(check(path, &["list"], "", 0, "").lines().count(), 1);
}

#[test]
fn a_new_password_is_long_and_not_a_common_one() {
    let directory = tempfile::tempdir().unwrap();
    let common = "passwordpassword";
    add(directory.path(), "ada", "1234", 1, "at least 15");
    add(
        directory.path(),
        "ada",
        common,
        1,
        "one that is guessed soon",
    );
    let name = "ada.lovelace.1815";
    add(
        directory.path(),
        name,
        name,
        1,
        "the password is the username",
    );

    let add = ["add", "--username", "ada", "--password-stdin"];
    let off = ["--min-password-length", "4", "--blocklist", "off"];
    check(directory.path(), &[&add[..], &off].concat(), "1234", 0, "");
}

#[test]
fn a_ready_hash_logs_in() {
    let directory = tempfile::tempdir().unwrap();
    // argon2-cffi 25.1.0, of "correct horse battery staple", at FastAPI's usual parameters.
    let hash = "$argon2id$v=19$m=65536,t=3,p=4$AAECAwQFBgcICQoLDA0ODw\
                $hTsnKkTbFCHAKWJmmlXrCZTzyrOF7RxMeSU+7hm6tJ4\n";
    let add = ["add", "--username", "ada", "--password-hash-stdin"];
    check(directory.path(), &add, hash, 0, "");
    let server = common::Server::start(directory.path(), ["serve", "--store", "sqlite://users.db"]);
    for _ in 0..2 {
        // The second time with the hash that the first left behind.
        let form = "username=ada&password=correct+horse+battery+staple";
        assert_eq!(server.login(form).status, 200);
    }
}

fn add(directory: &Path, username: &str, password: &str, code: i32, said: &str) {
    let args = ["add", "--username", username, "--password-stdin"];
    check(directory, &args, password, code, said);
}

/// Runs a `user` command and returns what it printed.
#[track_caller]
fn check(directory: &Path, command: &[&str], stdin: &str, code: i32, said: &str) -> String {
    let mut args = vec!["user"];
    args.extend(command);
    args.extend(["--store", "sqlite://users.db"]);
    let output = common::run(directory, &args, stdin);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{errors}");
    assert!(errors.contains(said), "{errors}");
    let secret = stdin.trim_end();
    assert!(secret.is_empty() || !errors.contains(secret), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}
