#![doc = include_str!("../README.md")]

mod column;

mod error;

mod migration;

mod open;
pub use open::database_path;

mod refresh;

mod store;
pub use store::SqliteStore;

mod throttle;

mod tokens;

mod users;

pub use sqlx::SqlitePool;

/// The scheme of the URLs that [`SqliteStore::open`] takes.
pub const SCHEME: &str = "sqlite";
