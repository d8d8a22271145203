//! Starts real database servers in temporary directories, on private ports, and stops them.
//!
//! Tests that only use a server share the one that `with-servers` started for the whole run; those
//! that stop, pause or break it start one of their own. A server that cannot be had fails the
//! test: nothing is skipped. And [`log`] keeps what a test logs, to look for secrets in it.

pub mod log;

pub mod postgres;

mod process;

pub mod redis;
