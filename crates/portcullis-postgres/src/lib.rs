#![doc = include_str!("../README.md")]

mod catalog;

mod column;

mod database;

mod error;

mod identifier;

mod mapped;
pub use mapped::MappedTable;

mod mapping;
pub use mapping::{TableAccess, TableMapping};

mod migration;

mod open;

mod refresh;

mod store;
pub use store::PostgresStore;

mod throttle;

mod tokens;

mod users;

pub use sqlx::PgPool;

/// The schemes of the URLs that [`PostgresStore::open`] takes.
pub const SCHEMES: [&str; 2] = ["postgres", "postgresql"];
