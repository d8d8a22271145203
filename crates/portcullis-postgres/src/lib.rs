#![doc = include_str!("../README.md")]

mod credentials;

mod database;

mod error;

mod identifier;

mod migration;

mod open;

mod store;
pub use store::PostgresStore;

mod timestamp;

pub use sqlx::PgPool;

/// The schemes of the URLs that [`PostgresStore::open`] takes.
pub const SCHEMES: [&str; 2] = ["postgres", "postgresql"];
