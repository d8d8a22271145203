//! What FastAPI 0.165.0 answered to recorded requests, for whoever writes an adapter.
//!
//! Recorded with Starlette 1.10.0, Pydantic 2.14.3, python-multipart 0.0.34 and uvicorn 0.54.0 from
//! an app with `POST /v1/login` (`OAuth2PasswordRequestForm`), `GET /v1/me`
//! (`OAuth2PasswordBearer`) and the two users of [`USERS`].

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portcullis_core::memory::MemoryCredentialStore;
use portcullis_core::password::{Arena, PasswordHasher};
use portcullis_core::{
    Authenticator, Credential, CredentialStore, Error, HashPool, TokenEndpoint, UserId, Username,
};
use serde::Deserialize;

use crate::{FakeHasher, FakeTokens};

/// The users of the recorded app: username and password.
pub const USERS: [(&str, &str); 2] = [
    ("ada@example.com", "correct horse battery staple"),
    ("zoë@example.com", "pässwörd✓ 密码"),
];

/// The headers that are compared: equal, or absent from both.
const HEADERS: [&str; 4] = ["content-type", "allow", "www-authenticate", "location"];

/// All recorded cases.
///
/// # Panics
/// Never: they are part of this crate.
#[must_use]
#[expect(clippy::expect_used, reason = "the recordings are part of this crate")]
pub fn cases() -> Vec<Case> {
    include_str!("../fixtures/fastapi-0.165.0.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("the recordings are well formed"))
        .collect()
}

/// An endpoint that knows [`USERS`], hashes by [`FakeHasher`] and issues [`FakeTokens`]: what an
/// adapter needs to answer the recorded logins.
///
/// # Errors
/// None that a test could do anything about.
pub async fn endpoint() -> Result<TokenEndpoint, Error> {
    let pool = HashPool::inline(Arc::new(FakeHasher::new(1)));
    Ok(TokenEndpoint::new(
        authenticator(pool).await?,
        Arc::new(FakeTokens::new()),
    ))
}

/// Knows [`USERS`] by the hashes of a [`FakeHasher`] of cost 1, and checks them on `pool`.
pub(crate) async fn authenticator(pool: HashPool) -> Result<Authenticator, Error> {
    let hasher = FakeHasher::new(1);
    let store = MemoryCredentialStore::new();
    for (username, password) in USERS {
        let hash = hasher.hash(password.as_bytes(), &mut Arena::new())?;
        let user = Credential::new(UserId::new(username), Username::new(username));
        store.create(&user.with_password_hash(hash)).await?;
    }
    Authenticator::new(Arc::new(store), pool)
}

/// One request and its answer.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct Case {
    /// A name that is unique.
    pub id: String,
    /// What it is about: `route`, `missing`, `grant` and so on.
    pub group: String,
    /// `core` and `multipart` hold for every server; `exotic` mirrors Python's internals, `me` is
    /// the bearer dependency, `server` is uvicorn's and not FastAPI's.
    pub tier: String,
    /// The method of the request.
    pub method: String,
    /// The path and query of the request, as on the request line.
    pub path: String,
    /// The header lines of the request.
    pub headers: Vec<(String, String)>,
    /// Whether the client closes its side once the request is sent.
    #[serde(default)]
    pub half_close: bool,
    /// What FastAPI answered.
    pub expect: Expected,
    /// Whether the body of the answer holds an access token, so that only its shape counts.
    #[serde(default)]
    token: bool,
    #[serde(default)]
    body_b64: Option<String>,
    #[serde(default)]
    body_parts: Vec<(String, usize)>,
}

impl Case {
    /// The body of the request.
    ///
    /// # Panics
    /// Never: the recordings are part of this crate.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        match &self.body_b64 {
            Some(body) => decode(body),
            None => self
                .body_parts
                .iter()
                .map(|(part, count)| decode(part).repeat(*count))
                .collect::<Vec<_>>()
                .concat(),
        }
    }

    /// The first header of the request with this name, in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Names everything in which `answer` differs from FastAPI's; empty if nothing does.
    #[must_use]
    pub fn differences(&self, answer: &Answer<'_>) -> Vec<String> {
        let mut differences = Vec::new();
        if answer.status != self.expect.status {
            differences.push(format!(
                "status {} for {}",
                answer.status, self.expect.status
            ));
        }
        for name in HEADERS {
            let (ours, theirs) = (answer.header(name), self.expect.header(name));
            if ours != theirs {
                differences.push(format!("{name} {ours:?} for {theirs:?}"));
            }
        }
        let expected = self.expect.body();
        let equal = if self.token {
            is_token(answer.body)
        } else {
            answer.body == expected
        };
        if !equal {
            let (ours, theirs) = (
                String::from_utf8_lossy(answer.body),
                String::from_utf8_lossy(&expected),
            );
            differences.push(format!("body {ours:?} for {theirs:?}"));
        }
        differences
    }
}

/// What FastAPI answered.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct Expected {
    /// The status; 0 if the connection was closed without an answer.
    pub status: u16,
    /// Those of the compared headers that were sent.
    pub headers: std::collections::BTreeMap<String, String>,
    body_b64: String,
}

impl Expected {
    /// The body of the answer.
    ///
    /// # Panics
    /// Never: the recordings are part of this crate.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        decode(&self.body_b64)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// What the service under test answered.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "callers make these")]
pub struct Answer<'a> {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
}

impl Answer<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }
}

/// `{"access_token":"...","token_type":"bearer"}`, with any token that needs no escaping.
fn is_token(body: &[u8]) -> bool {
    let Ok(body) = str::from_utf8(body) else {
        return false;
    };
    body.strip_prefix(r#"{"access_token":""#)
        .and_then(|rest| rest.strip_suffix(r#"","token_type":"bearer"}"#))
        .is_some_and(|token| !token.is_empty() && !token.contains(['"', '\\']))
}

#[expect(clippy::expect_used, reason = "the recordings are part of this crate")]
fn decode(base64: &str) -> Vec<u8> {
    STANDARD
        .decode(base64)
        .expect("the recordings are well formed")
}
