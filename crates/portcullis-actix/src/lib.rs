//! Portcullis for actix-web.
