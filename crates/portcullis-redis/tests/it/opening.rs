//! What is found out when a store is opened.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use portcullis_core::{CredentialStore, ErrorKind};
use portcullis_redis::RedisStore;
use portcullis_redis::redis::Client;
use portcullis_redis::redis::cluster::ClusterClientBuilder;
use portcullis_testservers::redis::{self, Server};

use crate::common::{Logins, alice, is_discreet, open, with_own_prefix};

#[tokio::test]
async fn a_url_that_makes_no_sense_is_said_in_a_sentence() {
    let form = "a Redis URL is `redis://USER:PASSWORD@HOST:PORT/DATABASE`, or `rediss:` for TLS";
    let option = "a Redis URL has no other options than `cluster`, `prefix` and `timeout_ms`";
    let timeout = "`timeout_ms` is a number from 1 to 60000";
    let prefix = "the key prefix is 1 to 64 ASCII letters, digits and `-`, `_`, `.`, `:`";
    for (url, sentence) in [
        ("postgres://alice:s3cret@localhost", form),
        ("redis:s3cret", form),
        ("redis://", form),
        ("redis://s3cret:x", form),
        ("redis://localhost/s3cret", form),
        ("rediss://localhost/#insecure", form),
        ("redis://localhost?s3cret", option),
        ("redis://localhost?protocol=2", option),
        ("redis://localhost?timeout_ms=0", timeout),
        ("redis://localhost?timeout_ms=60001", timeout),
        ("redis://localhost?prefix=", prefix),
        ("redis://localhost?prefix=%7Bs3cret", prefix),
        (
            "redis://localhost?cluster=yes",
            "`cluster` is `true` or `false`",
        ),
        (
            "redis://one,other",
            "only a cluster has several hosts: add `cluster=true`, or leave one",
        ),
        (
            "redis://localhost/1?cluster=true",
            "a Redis cluster has no database but 0",
        ),
    ] {
        is_refused(url, sentence).await;
    }
}

#[tokio::test]
async fn a_server_that_is_not_as_the_url_says_is_refused() {
    let server = Server::start().unwrap();
    let host = format!("127.0.0.1:{}", server.port());
    let check = "check the database number and the ACL";
    let refused = format!("the Redis server refuses the connection: {check}");
    is_refused(&format!("redis://{host}/99"), &refused).await;
    is_refused(
        &format!("redis://{host}?cluster=true"),
        "the Redis server is not part of a cluster: leave out `cluster=true`",
    )
    .await;
    let cluster = redis::cluster_url();
    let (nodes, _) = cluster.split_once('?').unwrap();
    let (node, _) = nodes.split_once(',').unwrap();
    is_refused(
        node,
        "the Redis server is part of a cluster: add `cluster=true`",
    )
    .await;

    for rights in [
        // Nothing at all, no hashes, and the keys of somebody else.
        &["~*"][..],
        &["~*", "+@connection", "+info"],
        &["~other:*", "+@all"],
    ] {
        let user = ["ACL", "SETUSER", "app", "reset", "on", ">s3cret"];
        server.command([&user[..], rights].concat()).unwrap();
        is_refused(
            &format!("redis://app:s3cret@{host}"),
            "the Redis user may not do what portcullis needs: allow it in the ACL",
        )
        .await;
    }

    server
        .command(["CONFIG", "SET", "requirepass", "s3cret"])
        .unwrap();
    for user in ["", ":wrong@", "nobody:s3cret@"] {
        is_refused(
            &format!("redis://{user}{host}"),
            "the Redis server refuses the username or the password: check both in the URL",
        )
        .await;
    }
    let logins = Logins::with_alice(open(&format!("redis://:s3cret@{host}/3")).await).await;
    assert!(!format!("{:?}", logins.store).contains("s3cret"));
    let there = server
        .command(["-a", "s3cret", "-n", "3", "DBSIZE"])
        .unwrap();
    assert_eq!(there, "3");
}

#[tokio::test]
async fn what_is_not_redis_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        client.read_exact(&mut [0; 1]).unwrap();
        client
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .unwrap();
    });
    let sentence = "what answers is not Redis 7 or later: check host and port";
    is_refused(&url, sentence).await;
}

#[tokio::test]
async fn of_a_cluster_one_node_that_is_up_is_enough() {
    let url = redis::cluster_url();
    // Nobody listens on the first.
    let url = url.replace("redis://", "redis://127.0.0.1:1,");
    Logins::with_alice(open(&with_own_prefix(&url)).await).await;
}

#[tokio::test]
async fn stores_of_different_prefixes_do_not_see_each_other() {
    let [one, other] = [
        open(&with_own_prefix(&redis::url())).await,
        open(&with_own_prefix(&redis::url())).await,
    ];
    one.create(&alice()).await.unwrap();
    other.create(&alice()).await.unwrap();
    one.delete(&alice().user_id).await.unwrap();
    assert_eq!(other.list(None, 10).await.unwrap(), [alice()]);
}

#[tokio::test]
async fn a_client_of_the_driver_is_as_good_as_a_url() {
    let prefix = portcullis_core::UserId::random(&portcullis_core::OsRandom).unwrap();
    let store = RedisStore::new(&Client::open(redis::url()).unwrap()).unwrap();
    Logins::with_alice(store.with_prefix(prefix.as_str()).unwrap()).await;

    let cluster = redis::cluster_url();
    let (nodes, _) = cluster.split_once('?').unwrap();
    let (node, _) = nodes.split_once(',').unwrap();
    let store = RedisStore::on_cluster(ClusterClientBuilder::new([node])).unwrap();
    Logins::with_alice(store.with_prefix(prefix.as_str()).unwrap()).await;
}

async fn is_refused(url: &str, sentence: &str) {
    let error = RedisStore::open(url).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{url}");
    assert_eq!(error.message(), sentence, "{url}");
    is_discreet(&error);
}

/// Redis reads them from files.
#[cfg(feature = "tls")]
mod tls {
    use std::error::Error as _;
    use std::fs;
    use std::net::TcpListener;

    use portcullis_core::ErrorKind;
    use portcullis_redis::RedisStore;
    use portcullis_redis::redis::{Client, TlsCertificates};
    use portcullis_testservers::redis::Server;

    use crate::common::Logins;

    #[tokio::test]
    async fn tls_is_spoken_with_who_can_be_trusted() {
        let server = Server::start().unwrap();
        let port = listen(&server);
        let url = format!("rediss://127.0.0.1:{port}");
        let client = Client::build_with_tls(
            &*url,
            TlsCertificates {
                client_tls: None,
                root_cert: Some(fs::read(fixture("authority.pem")).unwrap()),
            },
        );
        Logins::with_alice(RedisStore::new(&client.unwrap()).unwrap()).await;

        // The system does not know that authority.
        let error = RedisStore::open(&url).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert_eq!(
            error.message(),
            "the Redis server has no certificate that is trusted: check it, and the host"
        );
        assert_eq!(
            error.source().unwrap().to_string(),
            "invalid peer certificate: UnknownIssuer"
        );
    }

    fn listen(server: &Server) -> u16 {
        loop {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = free.local_addr().unwrap().port();
            drop(free);
            let reply = server.command([
                "CONFIG",
                "SET",
                "tls-auth-clients",
                "no",
                "tls-cert-file",
                &fixture("server.pem"),
                "tls-key-file",
                &fixture("server.key"),
                "tls-port",
                &port.to_string(),
            ]);
            if reply.unwrap() == "OK" {
                return port;
            }
        }
    }

    fn fixture(name: &str) -> String {
        format!("{}/tests/fixtures/tls/{name}", env!("CARGO_MANIFEST_DIR"))
    }
}
