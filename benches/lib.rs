//! What the benchmarks of portcullis share: a whole endpoint whose hashing costs next to nothing.

use std::sync::Arc;

use portcullis_core::endpoint::LoginRequest;
use portcullis_core::memory::MemoryCredentialStore;
use portcullis_core::password::{Arena, PasswordHasher};
use portcullis_core::responder::Reply;
use portcullis_core::{
    AccessTokenPolicy, Authenticator, BoxError, Credential, CredentialStore, HashPool,
    TokenEndpoint, UserId, Username,
};
use portcullis_jwt::{JwtIssuer, SigningKey};
use portcullis_testkit::FakeHasher;
use tokio::runtime::{Builder, Runtime};

/// A login as a browser sends it.
pub const LOGIN: &[u8] =
    b"grant_type=password&username=ada%40example.com&password=correct+horse+battery+staple&scope=";

/// The content type of [`LOGIN`].
pub const URLENCODED: &[u8] = b"application/x-www-form-urlencoded";

/// An endpoint over a memory store of 1,000 users and an HS256 issuer, whose logins cost what
/// portcullis itself costs: its hasher is near-free and runs on the calling thread.
#[derive(Debug)]
pub struct Overhead {
    endpoint: TokenEndpoint,
    runtime: Runtime,
}

impl Overhead {
    /// Makes the endpoint.
    ///
    /// # Errors
    /// Whatever one of its parts returns.
    pub fn new() -> Result<Self, BoxError> {
        let runtime = Builder::new_current_thread().build()?;
        let hasher = FakeHasher::new(1);
        let store = MemoryCredentialStore::new();
        let hash = hasher.hash(b"correct horse battery staple", &mut Arena::new())?;
        let names = (1..1_000).map(|n| format!("user{n}@example.com"));
        for (id, name) in std::iter::once("ada@example.com".to_owned())
            .chain(names)
            .enumerate()
        {
            let credential = Credential::new(UserId::new(id.to_string()), Username::new(name))
                .with_password_hash(hash.clone());
            runtime.block_on(store.create(&credential))?;
        }
        let authenticator =
            Authenticator::new(Arc::new(store), HashPool::inline(Arc::new(hasher)))?;
        let key = SigningKey::from_hs256_secret(b"3vbWOTNRjTbMX4pYcLJFEYZJs0zEQoeT")?;
        let policy = AccessTokenPolicy::new("https://api.example.com", "example-api");
        let issuer = JwtIssuer::new(policy, key);
        Ok(Self {
            endpoint: TokenEndpoint::new(authenticator, Arc::new(issuer)),
            runtime,
        })
    }

    /// Answers one request with this body.
    #[must_use]
    pub fn handle(&self, body: &[u8]) -> Reply {
        let request = LoginRequest::new(Some(URLENCODED), body);
        self.runtime.block_on(self.endpoint.handle(request))
    }
}
