//! The memory stores keep the promises of their traits.

mod users {
    use portcullis_core::MemoryCredentialStore;

    portcullis_testkit::credential_store_suite!(async { MemoryCredentialStore::new() });
}

mod tokens {
    use portcullis_core::MemoryTokenStore;

    portcullis_testkit::token_store_suite!(async { MemoryTokenStore::new() });
}

mod refresh {
    use portcullis_core::MemoryRefreshStore;

    portcullis_testkit::refresh_store_suite!(async { MemoryRefreshStore::new() });
}

mod throttle {
    use portcullis_core::MemoryThrottleStore;

    portcullis_testkit::throttle_store_suite!(async { MemoryThrottleStore::new() });
}
