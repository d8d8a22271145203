//! Conformance suites for portcullis backends, and fakes for tests.
