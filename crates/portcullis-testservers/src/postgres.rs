//! Postgres servers.
