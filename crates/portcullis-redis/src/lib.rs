//! Portcullis storage on Redis.
