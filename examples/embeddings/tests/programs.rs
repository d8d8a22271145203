//! Each example as a program, asked over a socket.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use portcullis::{Accounts, Authenticator, HashPool, Secret, Username};
use serde_json::{Value, json};
use tempfile::TempDir;

const PASSWORD: &str = "correct horse battery staple";
const RIGHT: &str = "username=ada%40example.com&password=correct+horse+battery+staple";
const WRONG: &str = "username=ada%40example.com&password=wrong";

#[tokio::test]
async fn minimal_applications_log_in_and_check_scopes() {
    for program in [
        env!("CARGO_BIN_EXE_actix_minimal"),
        env!("CARGO_BIN_EXE_axum_minimal"),
    ] {
        let site = Site::start(program, &["orders:read"]).await;
        assert_eq!(site.post("/v1/login", WRONG, &[]).status, 401);
        let token = site.token("/v1/login");
        let bearer = [("authorization", format!("Bearer {token}"))];
        let orders = site.get("/v1/orders", &bearer);
        assert_eq!((orders.status, &orders.body[..14]), (200, "the orders of "));
        assert_eq!(site.get("/v1/orders", &[]).status, 401);

        let site = Site::start(program, &["other"]).await;
        let token = site.token("/v1/login");
        let bearer = [("authorization", format!("Bearer {token}"))];
        let refused = site.get("/v1/orders", &bearer);
        assert_eq!(refused.status, 403);
        assert_eq!(
            refused.header("www-authenticate"),
            Some(r#"Bearer error="insufficient_scope", scope="orders:read""#)
        );
    }
}

#[tokio::test]
async fn a_single_page_application_keeps_its_login_in_a_cookie() {
    let site = Site::start(env!("CARGO_BIN_EXE_refresh_cookie_spa"), &[]).await;
    let login = site.post("/v1/login", RIGHT, &[]);
    let cookie = |answer: &Answer| {
        let set = answer.header("set-cookie").unwrap();
        assert!(set.starts_with("__Host-refresh_token="), "{set}");
        assert!(
            set.ends_with("; HttpOnly; SameSite=Strict; Path=/; Secure"),
            "{set}"
        );
        [("cookie", set.split(';').next().unwrap().to_owned())]
    };
    let refreshed = site.post("/v1/refresh", "", &cookie(&login));
    assert_eq!(refreshed.status, 200);

    let token = refreshed.json()["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    let bearer = [("authorization", format!("Bearer {token}"))];
    let change = "current_password=correct+horse+battery+staple&new_password=another+good+password";
    let changed = site.post("/v1/password", change, &bearer);
    assert_eq!(changed.status, 200);
    assert_eq!(site.post("/v1/login", RIGHT, &[]).status, 401);
    assert_eq!(
        site.post("/v1/refresh", "", &cookie(&refreshed)).status,
        401
    );
    assert_eq!(site.post("/v1/refresh", "", &cookie(&changed)).status, 200);
    assert_eq!(site.post("/v1/logout", "", &cookie(&changed)).status, 204);
}

#[tokio::test]
async fn oauth_clients_are_answered_as_the_standards_have_it() {
    let site = Site::start(env!("CARGO_BIN_EXE_rfc6749_clients"), &["read"]).await;
    let wrong = site.post("/oauth/token", &format!("grant_type=password&{WRONG}"), &[]);
    assert_eq!(
        (wrong.status, &wrong.json()["error"]),
        (400, &json!("invalid_grant"))
    );
    let login = site.post("/oauth/token", &format!("grant_type=password&{RIGHT}"), &[]);
    assert_eq!(login.json()["scope"], "read");
    let refresh_token = login.json()["refresh_token"].as_str().unwrap().to_owned();
    let again = format!("grant_type=refresh_token&refresh_token={refresh_token}");
    let refreshed = site.post("/oauth/token", &again, &[]).json();
    let revoke = format!("token={}", refreshed["refresh_token"].as_str().unwrap());
    assert_eq!(site.post("/oauth/revoke", &revoke, &[]).status, 200);
    let junk = site.get("/whoami", &[("authorization", "Bearer junk".to_owned())]);
    assert_eq!(
        (junk.status, &junk.json()["error"]),
        (401, &json!("invalid_token"))
    );
}

#[tokio::test]
async fn a_service_keeps_its_own_answers() {
    let site = Site::start(env!("CARGO_BIN_EXE_own_answers"), &[]).await;
    let wrong = site.post("/v1/login", WRONG, &[]);
    assert_eq!(
        (
            wrong.status,
            wrong.body.as_str(),
            wrong.header("www-authenticate")
        ),
        (400, r#"{"detail":"Incorrect email or password"}"#, None)
    );
    let login = site.post("/v1/login", RIGHT, &[]);
    let token = login.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(
        login.body,
        format!(
            r#"{{"access_token":"{token}","token_type":"bearer","expires_in":900,"email":"ada@example.com"}}"#
        )
    );
    let bad = site.get("/v1/me", &[("authorization", "Bearer junk".to_owned())]);
    assert_eq!(
        (bad.status, bad.body.as_str()),
        (403, r#"{"detail":"Could not validate credentials"}"#)
    );

    site.disable().await;
    let inactive = site.post("/v1/login", RIGHT, &[]);
    assert_eq!(
        (inactive.status, inactive.body.as_str()),
        (400, r#"{"detail":"Inactive user"}"#)
    );
    // Only who has the password hears that.
    assert_eq!(site.post("/v1/login", WRONG, &[]).body, wrong.body);
}

/// A program that serves the users of a database of its own.
struct Site {
    program: Child,
    address: String,
    url: String,
    _directory: TempDir,
}

impl Site {
    /// Starts `program` with one user, who may have `scopes`.
    async fn start(program: &str, scopes: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", directory.path().join("users.db").display());
        let accounts = accounts(&url).await;
        let password = Secret::from(PASSWORD.to_owned());
        let ada = Username::new("ada@example.com");
        accounts
            .sign_up(ada, password, scopes.iter().copied())
            .await
            .unwrap();
        let mut program = Command::new(program)
            .env("DATABASE_URL", &url)
            .env("LISTEN", "127.0.0.1:0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(program.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.trim().strip_prefix("listening on http://").unwrap();
        Self {
            address: address.to_owned(),
            program,
            url,
            _directory: directory,
        }
    }

    async fn disable(&self) {
        let users = portcullis::open(&self.url).await.unwrap().credentials;
        let ada = users.find(&Username::new("ada@example.com")).await.unwrap();
        let accounts = accounts(&self.url).await;
        assert!(accounts.disable(&ada.unwrap().user_id).await.unwrap());
    }

    fn token(&self, path: &str) -> String {
        let login = self.post(path, RIGHT, &[]);
        assert_eq!(login.status, 200, "{}", login.body);
        login.json()["access_token"].as_str().unwrap().to_owned()
    }

    fn get(&self, path: &str, headers: &[(&str, String)]) -> Answer {
        self.send("GET", path, "", headers)
    }

    fn post(&self, path: &str, form: &str, headers: &[(&str, String)]) -> Answer {
        self.send("POST", path, form, headers)
    }

    fn send(&self, method: &str, path: &str, form: &str, headers: &[(&str, String)]) -> Answer {
        let headers: String = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
            form.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        Answer {
            status: head.get(9..12).unwrap().parse().unwrap(),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Accounts whose hashes the programs check: at the default parameters.
async fn accounts(url: &str) -> Accounts {
    let users = portcullis::open(url).await.unwrap().credentials;
    let pool = HashPool::argon2id().unwrap();
    Accounts::new(Authenticator::new(users, pool).unwrap())
}
