//! Portcullis storage on Postgres.
