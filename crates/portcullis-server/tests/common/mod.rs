//! Runs the built portcullis-server and talks to it over plain sockets.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file compiles this and uses what it needs"
)]
#![allow(
    clippy::panic,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// How long a socket may be silent before a test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// A portcullis-server, without whatever the environment of the tests says to it.
pub fn portcullis_server() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis-server"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PORTCULLIS_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command to its end, with `stdin` as its input.
pub fn run<A: AsRef<OsStr>>(
    directory: &Path,
    args: impl IntoIterator<Item = A>,
    stdin: &str,
) -> Output {
    let mut child = portcullis_server()
        .args(args)
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("portcullis-server starts");
    // A command that does not read its input may have ended already.
    let _ = child
        .stdin
        .take()
        .expect("piped")
        .write_all(stdin.as_bytes());
    child.wait_with_output().expect("portcullis-server ends")
}

/// Adds a user to `users.db` in `directory`.
pub fn add_user(directory: &Path, username: &str, password: &str) {
    let output = run(
        directory,
        [
            "user",
            "add",
            "--store",
            "sqlite://users.db",
            "--username",
            username,
            "--password-stdin",
            "--min-password-length=1",
            "--blocklist=off",
        ],
        password,
    );
    assert!(output.status.success(), "{output:?}");
}

/// A running server, killed when dropped.
pub struct Server {
    child: Child,
    pub address: String,
    /// What it printed once it was ready.
    pub stdout: BufReader<std::process::ChildStdout>,
}

impl Server {
    /// Starts `portcullis-server` and waits until it says where it listens.
    pub fn start<A: AsRef<OsStr>>(directory: &Path, args: impl IntoIterator<Item = A>) -> Self {
        let mut child = portcullis_server()
            .args(args)
            .args(["--listen", "127.0.0.1:0"])
            .current_dir(directory)
            .stdout(Stdio::piped())
            .spawn()
            .expect("portcullis-server starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line");
        let address = line
            .trim_end()
            .strip_prefix("listening on http://")
            .unwrap_or_else(|| panic!("not an address: {line:?}"))
            .to_owned();
        Self {
            child,
            address,
            stdout,
        }
    }

    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        let mut wire = format!("{method} {path} HTTP/1.1\r\n").into_bytes();
        for (name, value) in headers {
            // Recorded headers are Latin-1, as headers are.
            wire.extend(name.chars().map(|c| c as u8));
            wire.extend(b": ");
            wire.extend(value.chars().map(|c| c as u8));
            wire.extend(b"\r\n");
        }
        wire.extend(b"Connection: close\r\n\r\n");
        wire.extend(body);
        self.send(&wire, method == "HEAD").expect("an answer")
    }

    pub fn get(&self, path: &str) -> Response {
        self.request("GET", path, &[("Host", "testserver")], b"")
    }

    pub fn login(&self, form: &str) -> Response {
        self.request(
            "POST",
            "/v1/login",
            &[
                ("Host", "testserver"),
                ("Content-Type", "application/x-www-form-urlencoded"),
                ("Content-Length", &form.len().to_string()),
            ],
            form.as_bytes(),
        )
    }

    /// Posts nothing but a refresh token, as a browser does.
    pub fn post(&self, path: &str, refresh_token: &str) -> Response {
        let cookie = format!("refresh_token={refresh_token}");
        let headers = [
            ("Host", "testserver"),
            ("Cookie", &*cookie),
            ("Content-Length", "0"),
        ];
        self.request("POST", path, &headers, b"")
    }

    /// Writes bytes as they are and reads one answer.
    pub fn send(&self, wire: &[u8], bodiless: bool) -> io::Result<Response> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        // The server may answer, and close, before it has read everything.
        let _ = stream.write_all(wire);
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Err(error) if answer.is_empty() => return Err(error),
            _ => {}
        }
        let _ = stream.shutdown(Shutdown::Both);
        Ok(Response::parse(&answer, bodiless))
    }

    /// Asks the server to stop, waits, and tells whether it ended well.
    #[cfg(unix)]
    pub fn terminate(mut self) -> bool {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status();
        assert!(sent.expect("kill runs").success());
        self.child.wait().expect("the server ends").success()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    fn parse(answer: &[u8], bodiless: bool) -> Self {
        let end = answer
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .unwrap_or_else(|| panic!("no head: {:?}", String::from_utf8_lossy(answer)));
        let head: String = answer[..end].iter().copied().map(char::from).collect();
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .and_then(|status| status.parse().ok())
            .unwrap_or_else(|| panic!("no status: {head}"));
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let body = answer[end + 4..].to_vec();
        let response = Self {
            status,
            headers,
            body,
        };
        let length = response.header("content-length").map(str::parse::<usize>);
        if response.status == 204 {
            // It has neither (RFC 9110 §8.6).
            assert_eq!((length, response.body.len()), (None, 0));
            return response;
        }
        let length = length
            .expect("content-length is always sent")
            .expect("a number");
        if bodiless {
            assert_eq!(response.body, b"");
        } else {
            assert_eq!(response.body.len(), length);
        }
        response
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).expect("UTF-8")
    }

    /// The token of a login that succeeded.
    /// The one that is set in a cookie.
    pub fn refresh_token(&self) -> String {
        let set = self.header("set-cookie").expect("a cookie");
        let value = set.strip_prefix("refresh_token=").expect("a refresh token");
        value.split(';').next().unwrap_or_default().to_owned()
    }

    pub fn access_token(&self) -> &str {
        assert_eq!(self.status, 200, "{}", self.text());
        self.text()
            .strip_prefix(r#"{"access_token":""#)
            .and_then(|rest| rest.strip_suffix(r#"","token_type":"bearer"}"#))
            .unwrap_or_else(|| panic!("no token: {}", self.text()))
    }
}
