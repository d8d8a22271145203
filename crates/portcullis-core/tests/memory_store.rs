//! The memory store keeps the promises of its trait.

use portcullis_core::MemoryStore;

portcullis_testkit::credential_store_suite!(async { MemoryStore::new() });
