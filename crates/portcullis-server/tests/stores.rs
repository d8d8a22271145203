//! Stores on real servers, which several portcullis-servers share.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(all(feature = "postgres", feature = "redis"))]

mod common;

use std::path::Path;

use common::Server;
use portcullis::{OsRandom, UserId};
use portcullis_testservers::{postgres, redis};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

#[test]
fn servers_share_all_of_a_postgres() {
    let schema = Schema::new();
    servers_share(&schema.url(), &schema.url());
}

#[test]
fn servers_share_users_in_postgres_and_tokens_on_redis() {
    let schema = Schema::new();
    servers_share(&schema.url(), &with_own_prefix(&redis::url()));
}

#[test]
fn servers_share_all_of_a_redis() {
    let url = with_own_prefix(&redis::url());
    servers_share(&url, &url);
}

#[test]
fn servers_share_all_of_a_redis_cluster() {
    let url = with_own_prefix(&redis::cluster_url());
    servers_share(&url, &url);
}

#[test]
fn postgres_is_not_served_before_it_is_migrated() {
    let schema = Schema::new();
    let directory = tempfile::tempdir().unwrap();
    let args = ["serve", "--listen", "127.0.0.1:0", "--store", &schema.url()];
    let output = common::run(directory.path(), args, "");
    let printed = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{printed}");
    assert!(printed.contains("migrate"), "{printed}");

    // Nor without a key that other nodes could share.
    let url = schema.url();
    let args = [
        "serve",
        "--migrate",
        "--listen",
        "127.0.0.1:0",
        "--store",
        &url,
    ];
    let output = common::run(directory.path(), args, "");
    let printed = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{printed}");
    assert!(printed.contains("--jwt-secret-file"), "{printed}");

    let args = ["serve", "--tokens", "opaque", "--store", &url];
    let server = Server::start(directory.path(), args);
    assert_eq!(server.login("username=ada&password=x").status, 401);
}

/// Runs two servers, and a third process whose changes to a user both see at their next request.
fn servers_share(users: &str, tokens: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let stores = ["--store", users, "--token-store", tokens];
    command(path, &["migrate"], &stores, "");
    let [one, other] = [(); 2].map(|()| {
        let args = ["serve", "--tokens", "opaque", "--refresh-tokens", "on"];
        Server::start(path, args.iter().chain(&stores))
    });
    let login = |server: &Server, password: &str| {
        server.login(&format!("username=ada&password={password}"))
    };
    let user = |args: &[&str], stdin: &str| {
        let mut all = vec!["user"];
        all.extend(args);
        let name = ["--store", users, "--username", "ada"];
        command(path, &all, &name, stdin);
    };

    assert_eq!(login(&one, "fifteen+letters").status, 401);
    user(&["add", "--password-stdin"], "fifteen letters");
    let token = || login(&one, "fifteen+letters").access_token().to_owned();
    let revoked = token();
    assert_eq!(me(&other, &revoked), 200);

    // A refresh token is good once on all of them.
    let first = login(&one, "fifteen+letters").refresh_token();
    let second = other.post("/v1/refresh", &first).refresh_token();
    let third = one.post("/v1/refresh", &second).refresh_token();
    assert_eq!(other.post("/v1/refresh", &first).status, 401);
    assert_eq!(one.post("/v1/refresh", &third).status, 401);
    let first = login(&one, "fifteen+letters").refresh_token();

    user(&["disable", "--token-store", tokens], "");
    for server in [&one, &other] {
        assert_eq!(login(server, "fifteen+letters").status, 401);
        assert_eq!(me(server, &revoked), 401);
    }
    user(&["enable"], "");
    assert_eq!(one.post("/v1/refresh", &first).status, 401);
    let token = token();
    for server in [&one, &other] {
        assert_eq!(login(server, "fifteen+letters").status, 200);
        assert_eq!(me(server, &revoked), 401);
        assert_eq!(me(server, &token), 200);
    }
    let change = ["set-password", "--password-stdin", "--token-store", tokens];
    user(&change, "sixteen letters.");
    for server in [&one, &other] {
        assert_eq!(login(server, "fifteen+letters").status, 401);
        assert_eq!(login(server, "sixteen+letters.").status, 200);
        assert_eq!(me(server, &token), 401);
    }
    user(&["delete", "--token-store", tokens], "");
    for server in [&one, &other] {
        assert_eq!(login(server, "sixteen+letters.").status, 401);
    }
}

fn me(server: &Server, token: &str) -> u16 {
    let authorization = format!("Bearer {token}");
    let headers = [
        ("Host", "testserver"),
        ("Authorization", authorization.as_str()),
    ];
    server.request("GET", "/v1/me", &headers, b"").status
}

fn command(directory: &Path, args: &[&str], more: &[&str], stdin: &str) {
    let output = common::run(directory, args.iter().chain(more), stdin);
    assert!(output.status.success(), "{output:?}");
}

/// Keys that no other test has.
fn with_own_prefix(url: &str) -> String {
    let id = UserId::random(&OsRandom).unwrap();
    with_option(url, &format!("prefix=test-{id}"))
}

fn with_option(url: &str, option: &str) -> String {
    let joint = if url.contains('?') { '&' } else { '?' };
    format!("{url}{joint}{option}")
}

/// A schema that no other test has; dropped with whatever is in it.
struct Schema(String);

impl Schema {
    fn new() -> Self {
        Self(format!("test_{}", UserId::random(&OsRandom).unwrap()))
    }

    fn url(&self) -> String {
        with_option(&postgres::url(), &format!("schema={}", self.0))
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let sql = format!("DROP SCHEMA IF EXISTS \"{}\" CASCADE", self.0);
        let dropping = async {
            let mut connection = PgConnection::connect(&postgres::url()).await?;
            sqlx::raw_sql(AssertSqlSafe(sql))
                .execute(&mut connection)
                .await
        };
        // A test that failed already says more than this would.
        let _ = actix_web::rt::System::new().block_on(dropping);
    }
}
