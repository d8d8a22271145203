//! A server as its users meet it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::BufRead;
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use common::{Server, add_user};
use portcullis::clock::Clock;
use portcullis::throttle::{Admission, LoginSource, Told};
use portcullis::{Throttle, Username};
use portcullis_testkit::ManualClock;

const PASSWORD: &str = "correct horse battery staple";
const FORM: &str = "username=ada%40example.com&password=correct+horse+battery+staple";

#[test]
fn a_token_from_login_opens_me() {
    let directory = tempfile::tempdir().unwrap();
    add_user(directory.path(), "ada@example.com", PASSWORD);
    let server = serve(directory.path());
    let login = server.login(FORM);
    assert_eq!(login.header("cache-control"), Some("no-store"));

    let me = |authorization: &str| {
        let headers = [("Host", "testserver"), ("Authorization", authorization)];
        server.request("GET", "/v1/me", &headers, b"")
    };
    let answer = me(&format!("bEARER  {} ", login.access_token()));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(
        answer.text().starts_with(r#"{"sub":""#),
        "{}",
        answer.text()
    );
    let rest = r#","username":"ada@example.com","scopes":[]}"#;
    assert!(answer.text().ends_with(rest), "{}", answer.text());

    for refused in [
        "Bearer",
        "Bearer x",
        &format!("Bearer {}x", login.access_token()),
    ] {
        let answer = me(refused);
        assert_eq!(answer.status, 401);
        assert_eq!(
            answer.text(),
            r#"{"detail":"Could not validate credentials"}"#
        );
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
}

#[test]
fn tokens_outlive_a_restart_and_not_a_password_change() {
    let directory = tempfile::tempdir().unwrap();
    add_user(directory.path(), "ada@example.com", PASSWORD);
    let token = serve(directory.path())
        .login(FORM)
        .access_token()
        .to_owned();
    let server = serve(directory.path());
    let authorization = format!("Bearer {token}");
    let me = || {
        let headers = [
            ("Host", "testserver"),
            ("Authorization", authorization.as_str()),
        ];
        server.request("GET", "/v1/me", &headers, b"").status
    };
    assert_eq!(me(), 200);
    user(directory.path(), &["disable"], "");
    assert_eq!(me(), 401);
    // What was issued before stays dead.
    user(directory.path(), &["enable"], "");
    assert_eq!(me(), 401);
    user(directory.path(), &["delete"], "");
    assert_eq!(me(), 401);
}

#[test]
fn changes_to_users_hold_from_the_next_login() {
    let directory = tempfile::tempdir().unwrap();
    add_user(directory.path(), "ada@example.com", PASSWORD);
    let server = serve(directory.path());
    let login = |password: &str| {
        server
            .login(&format!("username=ada%40example.com&password={password}"))
            .status
    };
    assert_eq!(login("correct+horse+battery+staple"), 200);
    user(
        directory.path(),
        &["set-password", "--password-stdin"],
        "a new password, long enough\n",
    );
    assert_eq!(login("correct+horse+battery+staple"), 401);
    assert_eq!(login("a+new+password,+long+enough"), 200);
    user(directory.path(), &["disable"], "");
    assert_eq!(login("a+new+password,+long+enough"), 401);
    user(directory.path(), &["enable"], "");
    assert_eq!(login("a+new+password,+long+enough"), 200);
    user(directory.path(), &["delete"], "");
    assert_eq!(login("a+new+password,+long+enough"), 401);
}

#[test]
fn too_many_wrong_passwords_are_429_until_somebody_unlocks_the_user() {
    let directory = tempfile::tempdir().unwrap();
    add_user(directory.path(), "ada@example.com", PASSWORD);
    too_many_wrong_passwords(directory.path());
    let server = serve(directory.path());
    let refused = server.login(FORM);
    assert_eq!(refused.status, 429);
    assert_eq!(refused.text(), r#"{"detail":"Too Many Requests"}"#);
    assert!(refused.header("retry-after").is_some());
    user(directory.path(), &["unlock"], "");
    assert_eq!(server.login(FORM).status, 200);

    too_many_wrong_passwords(directory.path());
    // Where ada has logged in she still may.
    assert_eq!(server.login(FORM).status, 200);
}

#[test]
fn behind_a_proxy_a_client_is_where_the_proxy_says() {
    let directory = tempfile::tempdir().unwrap();
    add_user(directory.path(), "ada@example.com", PASSWORD);
    let args = [
        "serve",
        "--trusted-proxies",
        "1",
        "--store",
        "sqlite://users.db",
    ];
    let server = Server::start(directory.path(), args);
    let login = |forwarded_for: &str| {
        let headers = [
            ("Host", "testserver"),
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Content-Length", &FORM.len().to_string()),
            ("X-Forwarded-For", forwarded_for),
        ];
        server
            .request("POST", "/v1/login", &headers, FORM.as_bytes())
            .status
    };
    assert_eq!(login("192.0.2.1"), 200);
    too_many_wrong_passwords(directory.path());
    assert_eq!(login("192.0.2.2"), 429);
    assert_eq!(login("192.0.2.1, 192.0.2.2"), 429);
    assert_eq!(login("a lie, 192.0.2.1"), 200);
}

#[test]
fn a_new_password_unlocks_its_user() {
    let directory = tempfile::tempdir().unwrap();
    add_user(
        directory.path(),
        "ada@example.com",
        "the one before, long enough",
    );
    too_many_wrong_passwords(directory.path());
    let server = serve(directory.path());
    assert_eq!(server.login(FORM).status, 429);
    user(
        directory.path(),
        &["set-password", "--password-stdin"],
        PASSWORD,
    );
    assert_eq!(server.login(FORM).status, 200);
}

#[test]
fn without_the_throttle_everybody_may_try() {
    let directory = tempfile::tempdir().unwrap();
    add_user(directory.path(), "ada@example.com", PASSWORD);
    too_many_wrong_passwords(directory.path());
    let args = ["serve", "--throttle", "off", "--store", "sqlite://users.db"];
    assert_eq!(
        Server::start(directory.path(), args).login(FORM).status,
        200
    );
}

#[test]
fn a_body_over_the_limit_is_413_however_it_is_announced() {
    let directory = tempfile::tempdir().unwrap();
    let server = serve(directory.path());
    let head = "POST /v1/login HTTP/1.1\r\nHost: testserver\r\nConnection: close\r\n\
                Content-Type: application/x-www-form-urlencoded\r\n";
    let announced = format!("{head}Content-Length: 99999999999\r\n\r\nx");
    let chunk = format!("100000\r\n{}\r\n", "x".repeat(0x10_0000));
    let body = format!("{}0\r\n\r\n", chunk.repeat(9));
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{body}");
    for wire in [announced, chunked] {
        let answer = server.send(wire.as_bytes(), false).unwrap();
        assert_eq!(answer.status, 413);
        assert_eq!(answer.text(), r#"{"detail":"Content Too Large"}"#);
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
}

#[test]
fn the_prefix_moves_every_path_but_those_for_operators() {
    let directory = tempfile::tempdir().unwrap();
    let args = ["serve", "--store", "memory:", "--prefix", "/auth/v2"];
    let server = Server::start(directory.path(), args);
    assert_eq!(server.get("/v1/login").status, 404);
    assert_eq!(server.get("/auth/v2/login").header("allow"), Some("POST"));
    assert_eq!(server.get("/auth/v2/me").status, 401);
    assert_eq!(server.get("/healthz").text(), r#"{"status":"ok"}"#);
    let document = server.get("/openapi.json");
    assert!(document.text().contains(r#""/auth/v2/login":{"post":{"#));
    assert_eq!(
        server.get("/openapi.json/").header("location"),
        Some("http://testserver/openapi.json")
    );
}

#[test]
fn redirects_lead_to_where_a_proxy_serves_tls() {
    let directory = tempfile::tempdir().unwrap();
    let args = ["serve", "--store", "memory:", "--scheme", "https"];
    let server = Server::start(directory.path(), args);
    assert_eq!(
        server.get("/v1/me/").header("location"),
        Some("https://testserver/v1/me")
    );
}

#[test]
fn sigterm_ends_the_server_well() {
    let directory = tempfile::tempdir().unwrap();
    assert!(serve(directory.path()).terminate());
}

#[test]
fn the_demo_prints_requests_that_work_as_pasted() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::start(directory.path(), ["demo"]);
    let mut script = String::new();
    loop {
        let mut line = String::new();
        server.stdout.read_line(&mut line).unwrap();
        assert_ne!(line, "", "the demo ended");
        if line.starts_with("The user and the store are gone") {
            break;
        }
        if line.starts_with("  ") {
            script.push_str(&line);
        }
    }
    let output = Command::new("sh").arg("-ec").arg(script).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(printed.matches("HTTP/1.1 200 OK").count(), 2, "{output:?}");
    assert!(
        printed.contains(r#""username":"demo@example.com""#),
        "{printed}"
    );
}

#[test]
fn bad_configuration_ends_with_a_sentence_and_code_2() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    std::fs::write(path.join("short"), "hunter2hunter2\n").unwrap();
    std::fs::write(path.join("no.pem"), "hunter2hunter2\n").unwrap();
    std::fs::write(path.join("no.db"), "hunter2 ".repeat(1_000)).unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (args, said) in [
        (&["--jwt-secret-file", "short"][..], "32 bytes"),
        (&["--jwt-secret-file", "absent"], "--jwt-secret-file"),
        (&["--jwt-secret-file", "."], "--jwt-secret-file"),
        (&["--jwt-key-file", "no.pem"], "no.pem"),
        (&["--jwt-key-file", "absent"], "--jwt-key-file"),
        (&["--store", "mysql://root:hunter2@db/users"], "`mysql:`"),
        (&["--store", "hunter2"], "no scheme"),
        (
            &["--store", "sqlite://absent/directory/users.db"],
            "absent/directory",
        ),
        (&["--store", "sqlite://no.db"], "no.db"),
        (&["--store", "sqlite://%ff"], "UTF-8"),
        (&["--tokens", "paseto"], "jwt, opaque"),
        (
            &[
                "--store",
                "memory:",
                "--tokens",
                "opaque",
                "--token-store",
                "mysql://root:hunter2@db/tokens",
            ],
            "`mysql:`",
        ),
        (&["--store", "sqlite:///proc/users.db"], "/proc/users.db"),
        (&["--store", "memory:", "--listen", &taken], "--listen"),
        (
            &["--store", "memory:", "--listen", "192.0.2.1:80"],
            "--listen",
        ),
        (&["--store", "memory:", "--prefix", "v1/"], "--prefix"),
        (
            &["--store", "memory:", "--hash-threads", "0"],
            "--hash-threads",
        ),
        (&["--store", "memory:", "--log", "portcullis=inof"], "--log"),
    ] {
        let mut all = vec!["serve"];
        all.extend(args);
        if !args.contains(&"--listen") {
            all.extend(["--listen", "127.0.0.1:0"]);
        }
        let output = common::run(path, &all, "");
        let printed = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {printed}");
        assert!(printed.contains(said), "{args:?}: {printed}");
        assert!(!printed.contains("hunter2"), "{args:?}: {printed}");
        assert!(!printed.contains("panicked"), "{args:?}: {printed}");
    }
}

#[test]
#[cfg(unix)]
fn the_generated_key_file_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::tempdir().unwrap();
    drop(serve(directory.path()));
    let metadata = std::fs::metadata(directory.path().join("users.db.key")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
}

#[test]
fn the_generated_key_file_is_beside_the_database_wherever_the_url_says_that_is() {
    let directory = tempfile::tempdir().unwrap();
    for (url, files) in [
        ("sqlite::memory:", &[][..]),
        (
            "sqlite://my%20users%3F.db?mode=rwc",
            &["my users?.db", "my users?.db.key"],
        ),
    ] {
        assert!(Server::start(directory.path(), ["serve", "--store", url]).terminate());
        let entries = std::fs::read_dir(directory.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        // What SQLite has beside an open database may outlive the process.
        names.retain(|name| !name.to_string_lossy().contains(".db-"));
        assert_eq!(names, files, "{url}");
    }
}

#[test]
fn an_ed25519_key_in_pem_signs_tokens_and_is_replaced_while_they_are_good() {
    let directory = tempfile::tempdir().unwrap();
    add_user(directory.path(), "ada@example.com", PASSWORD);
    // RFC 8032 §7.1, test 1, as PKCS#8.
    let pem = "-----BEGIN PRIVATE KEY-----\n\
               MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
               -----END PRIVATE KEY-----\n";
    std::fs::write(directory.path().join("key.pem"), pem).unwrap();
    let args = [
        "serve",
        "--store",
        "sqlite://users.db",
        "--jwt-key-file",
        "key.pem",
    ];
    let server = Server::start(directory.path(), args);
    let of_pem = server.login(FORM).access_token().to_owned();
    assert_eq!(me(&server, &of_pem), 200);

    // The next key is a secret; while tokens of the old one are good, it is accepted.
    let public_pem = "-----BEGIN PUBLIC KEY-----\n\
                      MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n\
                      -----END PUBLIC KEY-----\n";
    std::fs::write(directory.path().join("old.pem"), public_pem).unwrap();
    assert_eq!(me(&serve(directory.path()), &of_pem), 401);
    let accept = ["--jwt-accept-key-file", "old.pem"];
    let args = ["serve", "--store", "sqlite://users.db"];
    let server = Server::start(directory.path(), args.iter().chain(&accept));
    assert_eq!(me(&server, &of_pem), 200);
    let of_secret = server.login(FORM).access_token().to_owned();
    assert_eq!(me(&server, &of_secret), 200);

    // And that secret by another.
    let secret = "another secret of thirty-two bytes";
    std::fs::write(directory.path().join("new.secret"), secret).unwrap();
    let new = ["--jwt-secret-file", "new.secret"];
    let accept = ["--jwt-accept-secret-file", "users.db.key"];
    let args = args.iter().chain(&new);
    let server = Server::start(directory.path(), args.clone().chain(&accept));
    assert_eq!(me(&server, &of_secret), 200);
    assert_eq!(me(&server, &of_pem), 401);
    let server = Server::start(directory.path(), args);
    assert_eq!(me(&server, &of_secret), 401);
}

#[test]
fn what_cannot_be_meant_is_refused_with_a_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        std::fs::write(directory.path().join(name), text).unwrap();
    };
    write("weak.secret", "changemechangemechangemechangeme\n");
    write("short.secret", "too short\n");
    let add = [
        "user",
        "add",
        "--store=sqlite://users.db",
        "--password-stdin",
    ];
    let serve = ["serve", "--store=sqlite://users.db"];
    for (args, sentence) in [
        (
            &[&add[..], &["--username="]].concat(),
            "the username is empty",
        ),
        (
            &[&add[..], &["--username=eve", "--scope=a\"b"]].concat(),
            "a scope is empty or has",
        ),
        (
            &[&serve[..], &["--jwt-secret-file=weak.secret"]].concat(),
            "the HS256 secret can be guessed",
        ),
        (
            &[&serve[..], &["--device-key-file=short.secret"]].concat(),
            "the key of device cookies needs 32 random bytes",
        ),
        (
            &[&serve[..], &["--refresh-tokens=on", "--cookie-prefix=host"]].concat(),
            "say --scheme https",
        ),
        (
            &[&serve[..], &["--store-file=absent"]].concat(),
            "name one that can with --store-file",
        ),
    ] {
        let output = common::run(directory.path(), args.iter(), PASSWORD);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{args:?}");
        assert!(said.contains(sentence), "{args:?}: {said}");
        assert!(!said.contains("changeme"), "{said}");
    }
}

#[test]
fn a_store_can_be_named_in_a_file_and_redirects_can_be_paths() {
    let directory = tempfile::tempdir().unwrap();
    add_user(directory.path(), "ada@example.com", PASSWORD);
    std::fs::write(directory.path().join("store"), "sqlite://users.db\n").unwrap();
    let key = "3vbWOTNRjTbMX4pYcLJFEYZJs0zEQoeT\n";
    std::fs::write(directory.path().join("device.secret"), key).unwrap();
    let server = Server::start(
        directory.path(),
        [
            "serve",
            "--store-file=store",
            "--redirects=relative",
            "--scheme=https",
            "--refresh-tokens=on",
            "--cookie-prefix=host",
            "--device-key-file=device.secret",
            "--jwt-secret-file=device.secret",
        ],
    );
    let login = server.login(FORM);
    assert_eq!(login.status, 200, "{}", login.text());
    let cookies: Vec<_> = login
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))
        .map(|(_, value)| value.split_once('=').unwrap().0)
        .collect();
    assert_eq!(cookies, ["__Host-refresh_token", "__Host-device"]);
    let headers = [("Host", "evil.example")];
    let redirect = server.request("POST", "/v1/login/", &headers, b"");
    assert_eq!(redirect.status, 307);
    assert_eq!(redirect.header("location"), Some("/v1/login"));
}

fn me(server: &Server, token: &str) -> u16 {
    let authorization = format!("Bearer {token}");
    let headers = [
        ("Host", "testserver"),
        ("Authorization", authorization.as_str()),
    ];
    server.request("GET", "/v1/me", &headers, b"").status
}

fn serve(directory: &std::path::Path) -> Server {
    Server::start(directory, ["serve", "--store", "sqlite://users.db"])
}

/// As many as let nobody try for 30 days: made by strangers, in the last two.
fn too_many_wrong_passwords(directory: &std::path::Path) {
    let url = format!("sqlite://{}/users.db", directory.display());
    let clock = Arc::new(ManualClock::new(SystemTime::now() - 2 * DAY));
    let failing = async {
        let throttle = Throttle::new(portcullis::open(&url).await.unwrap().throttle)
            .with_clock(Arc::clone(&clock) as Arc<dyn Clock>);
        let ada = Username::new("ada@example.com");
        let mut failed = 0;
        while failed < 100 {
            match throttle.begin(&ada, &LoginSource::default()).await.unwrap() {
                Admission::Granted(attempt) => {
                    assert_eq!(attempt.failed().await.unwrap(), Told::AsItIs);
                    failed += 1;
                }
                Admission::Refused { retry_after, .. } => clock.advance(retry_after),
                _ => {}
            }
        }
    };
    actix_web::rt::System::new().block_on(failing);
}

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Runs a `user` command on ada.
fn user(directory: &std::path::Path, command: &[&str], stdin: &str) {
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
