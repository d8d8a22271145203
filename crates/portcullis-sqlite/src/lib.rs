#![doc = include_str!("../README.md")]

mod error;

mod migration;

mod open;

mod store;
pub use store::SqliteStore;

pub use sqlx::SqlitePool;

/// The scheme of the URLs that [`SqliteStore::open`] takes.
pub const SCHEME: &str = "sqlite";
