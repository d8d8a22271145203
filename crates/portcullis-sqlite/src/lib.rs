//! Portcullis storage on SQLite.
