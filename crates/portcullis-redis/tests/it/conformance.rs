//! The store keeps the promises of its traits.

mod on_a_server {
    use portcullis_testservers::redis::shared_url;

    use crate::common::handles;

    portcullis_testkit::credential_store_suite!(handles(&shared_url().unwrap()));
}

mod on_a_cluster {
    use portcullis_testservers::redis::shared_cluster_url;

    use crate::common::handles;

    portcullis_testkit::credential_store_suite!(handles(&shared_cluster_url().unwrap()));
}
