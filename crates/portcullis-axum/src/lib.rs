#![doc = include_str!("../README.md")]

mod bearer;
pub use bearer::{Bearer, BearerOf, BearerRejection};

mod exchange;
pub use exchange::respond;

mod login;
pub use login::LoginRoutes;

mod proxies;
pub use proxies::{BehindProxies, TrustedProxies};

mod runtime;

pub use portcullis_core;
