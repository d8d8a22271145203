//! JWT access tokens for portcullis.
