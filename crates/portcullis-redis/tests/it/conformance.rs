//! The store keeps the promises of its traits.

mod users_on_a_server {
    use portcullis_testservers::redis;

    use crate::common::users;

    portcullis_testkit::credential_store_suite!(users(&redis::url()));
}

mod users_on_a_cluster {
    use portcullis_testservers::redis;

    use crate::common::users;

    portcullis_testkit::credential_store_suite!(users(&redis::cluster_url()));
}

mod tokens_on_a_server {
    use portcullis_testservers::redis;

    use crate::common::tokens;

    portcullis_testkit::token_store_suite!(tokens(&redis::url()));
}

mod tokens_on_a_cluster {
    use portcullis_testservers::redis;

    use crate::common::tokens;

    portcullis_testkit::token_store_suite!(tokens(&redis::cluster_url()));
}
