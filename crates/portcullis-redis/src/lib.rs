#![doc = include_str!("../README.md")]

mod connection;

mod credentials;

mod error;

mod keys;

mod open;

mod script;

mod store;
pub use store::RedisStore;

pub use redis;

/// The schemes of the URLs that [`RedisStore::open`] takes.
pub const SCHEMES: [&str; 2] = ["redis", "rediss"];
