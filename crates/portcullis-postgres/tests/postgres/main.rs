//! The stores on a real server.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod conformance;
mod index;
mod mapped_table;
mod opening;
mod schema;
