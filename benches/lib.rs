//! Benchmarks of portcullis.
