//! The memory stores keep the promises of their traits.

mod users {
    use portcullis_core::memory::MemoryCredentialStore;

    portcullis_testkit::credential_store_suite!(async { MemoryCredentialStore::new() });
}

mod tokens {
    use portcullis_core::memory::MemoryTokenStore;

    portcullis_testkit::token_store_suite!(async { MemoryTokenStore::new() });
}

mod refresh {
    use portcullis_core::memory::MemoryRefreshStore;

    portcullis_testkit::refresh_store_suite!(async { MemoryRefreshStore::new() });
}

mod throttle {
    use portcullis_core::memory::MemoryThrottleStore;

    portcullis_testkit::throttle_store_suite!(async { MemoryThrottleStore::new() });
}
