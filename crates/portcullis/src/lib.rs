#![doc = include_str!("../README.md")]
//!
//! [`FastApi`]: responder::FastApi
//! [`Mount::with_scheme`]: adapter::Mount::with_scheme
//! [`Rfc6749`]: responder::Rfc6749
//! [`Wording`]: responder::Wording

pub use portcullis_core::*;

#[cfg(feature = "actix")]
pub use portcullis_actix as actix;
#[cfg(feature = "axum")]
pub use portcullis_axum as axum;

#[cfg(feature = "jwt")]
pub use portcullis_jwt as jwt;

#[cfg(feature = "postgres")]
pub use portcullis_postgres as postgres;

#[cfg(feature = "redis")]
pub use portcullis_redis as redis;

#[cfg(feature = "sqlite")]
pub use portcullis_sqlite as sqlite;

mod open;
pub use open::{Stores, check_url, migrate, open};
