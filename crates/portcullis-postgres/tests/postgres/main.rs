//! The stores on a real server.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test may")]

mod conformance;
mod fastapi_users;
mod index;
mod mapped_table;
mod opening;
mod outages;
mod schema;
