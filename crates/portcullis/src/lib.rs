//! Embeddable login for Rust services.
