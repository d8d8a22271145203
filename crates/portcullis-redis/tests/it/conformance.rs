//! The store keeps the promises of its traits.

mod on_a_server {
    use portcullis_testservers::redis;

    use crate::common::handles;

    portcullis_testkit::credential_store_suite!(handles(&redis::url()));
}

mod on_a_cluster {
    use portcullis_testservers::redis;

    use crate::common::handles;

    portcullis_testkit::credential_store_suite!(handles(&redis::cluster_url()));
}
