#![doc = include_str!("../README.md")]
//!
//! [`ClaimsSource`]: token::ClaimsSource
//! [`Clock`]: clock::Clock
//! [`HashScheme`]: password::HashScheme
//! [`PasswordHasher`]: password::PasswordHasher
//! [`SecureRandom`]: random::SecureRandom

pub mod accounts;
pub mod adapter;
pub mod audit;
pub mod authenticator;
pub mod clock;
pub mod cookie;
pub mod device;
pub mod endpoint;
pub mod form;
pub mod gate;
pub mod guard;
pub mod memory;
pub mod openapi;
pub mod password;
pub mod random;
pub mod refresh;
pub mod responder;
pub mod store;
pub mod throttle;
pub mod token;

mod error;
mod hex;
mod housekeeping;
mod password_check;
mod percent;
mod secret;

pub use error::{BoxError, Error, ErrorKind};
pub use secret::Secret;

// What an embedder meets first. Each has its home in a module, beside what belongs to it.
pub use accounts::Accounts;
pub use audit::LoginObserver;
pub use authenticator::Authenticator;
pub use cookie::RefreshTransport;
pub use endpoint::TokenEndpoint;
pub use gate::LoginGate;
pub use guard::{Bearer, BearerGuard};
pub use password::{Argon2idHasher, HashPool};
pub use random::OsRandom;
pub use refresh::RefreshTokens;
pub use responder::Responder;
pub use store::{Credential, CredentialStore, UserId, Username};
pub use throttle::Throttle;
pub use token::{AccessTokenPolicy, Claims, OpaqueIssuer, TokenIssuer, TokenVerifier};

/// The attribute that implementations of the traits here are written with.
pub use async_trait::async_trait;
