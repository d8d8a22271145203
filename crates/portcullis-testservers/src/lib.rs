//! Starts real database servers in temporary directories, on private ports, and stops them.

pub mod postgres;
pub mod redis;
