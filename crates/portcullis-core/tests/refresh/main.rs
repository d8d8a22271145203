//! Refresh tokens: which are good, once, and until when; and what the endpoint makes of them.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod by_cookie;
mod cookie;
mod in_body;
mod rig;
mod tokens;
