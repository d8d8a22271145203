//! The Redis store, on real servers.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod cluster_outages;
mod common;
mod conformance;
mod forward;
mod keys;
mod opening;
mod outages;
