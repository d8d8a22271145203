#![doc = include_str!("../README.md")]

mod cluster;

mod connection;

mod error;

mod fields;

mod keys;

mod link;

mod notes;

mod open;

mod refresh;

mod script;

mod server;

mod store;
pub use store::RedisStore;

mod throttle;

mod tokens;

mod users;

pub use redis;

/// The schemes of the URLs that [`RedisStore::open`] takes.
pub const SCHEMES: [&str; 2] = ["redis", "rediss"];
