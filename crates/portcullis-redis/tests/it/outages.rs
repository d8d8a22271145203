//! What happens to a server, and what its users see of it. Each has a server of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use portcullis_core::CredentialStore;
use portcullis_core::store::TokenStore;
use portcullis_redis::RedisStore;
use portcullis_redis::redis::Client;
use portcullis_testkit::{Subject, credential_store, token_store};
use portcullis_testservers::redis::Server;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::yield_now;

use crate::common::{Logins, alice, is_unavailable, open, patience_ends, until, with_password};
use crate::forward::forward;

#[tokio::test]
async fn a_server_that_is_down_at_the_start_is_unavailable_until_it_is_up() {
    let mut server = persistent();
    server.stop().unwrap();
    is_unavailable(&RedisStore::open(&impatient(&server)).await.unwrap_err());
    let client = Client::open(with_password(&server.url())).unwrap();
    let store = RedisStore::new(&client).unwrap();
    let logins = Logins::over(store);
    logins.are_unavailable().await;

    server.restart().unwrap();
    logins.store.create(&alice()).await.unwrap();
    logins.are_answered().await;
    Logins::over(open(&impatient(&server)).await)
        .are_answered()
        .await;
}

#[tokio::test]
async fn a_server_that_goes_down_is_unavailable_until_it_is_back() {
    let mut server = persistent();
    let logins = Logins::with_alice(open(&impatient(&server)).await).await;
    server.stop().unwrap();
    is_unavailable_to_all(&logins.store).await;
    logins.are_unavailable().await;

    server.restart().unwrap();
    logins.are_answered().await;
}

#[tokio::test]
async fn nobody_sees_that_a_server_was_restarted_while_nobody_asked() {
    let mut server = persistent();
    let logins = Logins::over(open(&impatient(&server)).await);
    logins.store.list(None, 1).await.unwrap();
    server.stop().unwrap();
    // The runtime gets to know of it, and hands it on.
    TcpStream::connect(("127.0.0.1", server.port()))
        .await
        .unwrap_err();
    yield_now().await;

    server.restart().unwrap();
    logins.store.create(&alice()).await.unwrap();
    logins.are_answered().await;
}

#[tokio::test]
async fn a_server_that_is_silent_is_unavailable_until_it_speaks() {
    let mut server = Server::start().unwrap();
    let logins = Logins::with_alice(open(&impatient(&server)).await).await;
    server.pause().unwrap();
    is_unavailable_to_all(&logins.store).await;
    logins.are_unavailable_after(TIMEOUT).await;

    server.resume().unwrap();
    logins.are_answered().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_connection_is_killed_is_unavailable_and_reading_goes_on() {
    let server = Server::start().unwrap();
    let patient = format!("{}?timeout_ms=60000", with_password(&server.url()));
    let logins = Logins::with_alice(open(&patient).await).await;
    // Changes wait, until they are let go.
    command(&server, ["CLIENT", "PAUSE", "60000", "WRITE"]);
    let store = logins.store.clone();
    let change = tokio::spawn(async move { store.delete(&alice().user_id).await });
    until(|| command(&server, ["CLIENT", "LIST"]).contains("flags=b"));
    kill_connections(&server);
    is_unavailable(&change.await.unwrap().unwrap_err());
    logins.are_answered().await;

    command(&server, ["CLIENT", "UNPAUSE"]);
    logins.are_answered().await;
}

#[tokio::test]
async fn a_replica_lets_log_in_but_not_change_until_it_is_promoted() {
    let (master, replica) = (Server::start().unwrap(), Server::start().unwrap());
    Logins::with_alice(open(&impatient(&master)).await).await;
    replica.replicate(&master).unwrap();
    let logins = Logins::over(open(&impatient(&replica)).await);
    logins.are_all_that_works().await;

    command(&replica, ["REPLICAOF", "NO", "ONE"]);
    assert!(logins.change().await.unwrap());
}

#[tokio::test]
async fn who_takes_over_is_found_though_the_old_server_keeps_its_connections() {
    let refusals: [&[&[&str]]; 3] = [
        // NOREPLICAS
        &[&["CONFIG", "SET", "min-replicas-to-write", "1"]],
        // READONLY; nobody listens on that port.
        &[&["REPLICAOF", "127.0.0.1", "1"]],
        // MASTERDOWN
        &[
            &["CONFIG", "SET", "replica-serve-stale-data", "no"],
            &["REPLICAOF", "127.0.0.1", "1"],
        ],
    ];
    for commands in refusals {
        let (old, new) = (Server::start().unwrap(), Server::start().unwrap());
        Logins::with_alice(open(&impatient(&new)).await).await;
        let target = Arc::new(AtomicU16::new(old.port()));
        let url = forward(Arc::clone(&target), |_| true).await;
        let logins = Logins::with_alice(open(&with_timeout(&url)).await).await;
        for refuse in commands {
            assert_eq!(command(&old, refuse.iter().copied()), "OK");
        }
        is_unavailable(&logins.change().await.unwrap_err());

        target.store(new.port(), Ordering::Relaxed);
        patience_ends().await;
        assert!(logins.change().await.unwrap());
        logins.are_answered().await;
    }
}

#[tokio::test]
async fn logins_follow_to_who_takes_over_once_a_change_was_refused() {
    let (old, new) = (Server::start().unwrap(), Server::start().unwrap());
    let target = Arc::new(AtomicU16::new(old.port()));
    let url = forward(Arc::clone(&target), |_| true).await;
    let logins = Logins::with_alice(open(&with_timeout(&url)).await).await;
    command(&old, ["REPLICAOF", "127.0.0.1", "1"]);
    // By two connections: the name led to the old server still.
    is_unavailable(&logins.change().await.unwrap_err());

    target.store(new.port(), Ordering::Relaxed);
    patience_ends().await;
    let found = CredentialStore::find(&logins.store, &alice().username).await;
    assert_eq!(found.unwrap(), None, "the new server knows nobody");
}

#[tokio::test]
async fn who_takes_over_and_is_silent_ends_no_look_up() {
    let (old, mut new) = (Server::start().unwrap(), Server::start().unwrap());
    let target = Arc::new(AtomicU16::new(old.port()));
    let url = forward(Arc::clone(&target), |_| true).await;
    let logins = Logins::with_alice(open(&with_timeout(&url)).await).await;
    command(&old, ["REPLICAOF", "127.0.0.1", "1"]);
    new.pause().unwrap();
    target.store(new.port(), Ordering::Relaxed);

    is_unavailable(&logins.change().await.unwrap_err());
    logins.are_answered().await;
    patience_ends().await;
    logins.are_answered().await;
}

#[tokio::test]
async fn a_server_that_goes_on_refusing_is_not_connected_to_for_each_call() {
    let server = Server::start().unwrap();
    let target = Arc::new(AtomicU16::new(server.port()));
    let logins = Logins::with_alice(open(&forward(target, |_| true).await).await).await;
    command(&server, ["REPLICAOF", "127.0.0.1", "1"]);
    let begin = Instant::now();
    let connections = || {
        let info = command(&server, ["INFO", "stats"]);
        let mut lines = info.lines();
        let total = lines.find_map(|line| line.strip_prefix("total_connections_received:"));
        total.unwrap().trim().parse::<u64>().unwrap()
    };
    let before = connections();
    for _ in 0..50 {
        is_unavailable(&logins.change().await.unwrap_err());
    }
    // One is `connections` itself; the first is at once.
    let most = begin.elapsed().as_secs() + 2;
    assert!(connections() - before <= most);
}

#[tokio::test]
async fn a_server_without_memory_lets_log_in_but_not_change() {
    let server = Server::start().unwrap();
    let logins = Logins::with_alice(open(&impatient(&server)).await).await;
    command(&server, ["CONFIG", "SET", "maxmemory", "1"]);
    logins.are_all_that_works().await;

    command(&server, ["CONFIG", "SET", "maxmemory", "0"]);
    assert!(logins.change().await.unwrap());
}

#[tokio::test]
async fn a_server_without_its_replicas_lets_log_in_but_not_change() {
    let server = Server::start().unwrap();
    let logins = Logins::with_alice(open(&impatient(&server)).await).await;
    command(&server, ["CONFIG", "SET", "min-replicas-to-write", "1"]);
    logins.are_all_that_works().await;

    command(&server, ["CONFIG", "SET", "min-replicas-to-write", "0"]);
    assert!(logins.change().await.unwrap());
}

#[tokio::test]
async fn a_server_that_loads_its_data_is_unavailable_until_it_has() {
    let server = Server::start_with(["--enable-debug-command", "yes"]).unwrap();
    let logins = Logins::with_alice(open(&impatient(&server)).await).await;
    // A millisecond for each key, and a look at the network after each kilobyte.
    command(&server, ["DEBUG", "POPULATE", "30000"]);
    let every = "loading-process-events-interval-bytes";
    command(
        &server,
        ["CONFIG", "SET", "key-load-delay", "1000", every, "1024"],
    );
    let server = Arc::new(server);
    let loading = Arc::clone(&server);
    let loading = thread::spawn(move || command(&loading, ["DEBUG", "RELOAD"]));
    until(|| command(&server, ["INFO"]).contains("\nloading:1"));
    logins.are_unavailable().await;

    command(&server, ["CONFIG", "SET", "key-load-delay", "0"]);
    assert_eq!(loading.join().unwrap().trim(), "OK");
    logins.are_answered().await;
}

#[tokio::test]
async fn a_server_with_too_many_clients_is_unavailable_until_one_leaves() {
    let server = Server::start().unwrap();
    let logins = Logins::with_alice(open(&impatient(&server)).await).await;
    kill_connections(&server);
    let address = ("127.0.0.1", server.port());
    let others = [(); 2].map(|()| std::net::TcpStream::connect(address).unwrap());
    command(&server, ["CONFIG", "SET", "maxclients", "2"]);
    logins.are_unavailable().await;

    drop(others);
    // Nobody is there but the one who asks.
    until(|| {
        command(&server, ["CLIENT", "LIST"])
            .lines()
            .filter(|l| l.contains("id="))
            .count()
            == 1
    });
    logins.are_answered().await;
}

#[tokio::test]
async fn a_password_that_is_changed_and_changed_back_is_an_outage_between() {
    let server = Server::start().unwrap();
    command(&server, ["CONFIG", "SET", "requirepass", "s3cret"]);
    let url = format!("redis://:s3cret@127.0.0.1:{}", server.port());
    let logins = Logins::with_alice(open(&url).await).await;
    command(
        &server,
        ["-a", "s3cret", "CONFIG", "SET", "requirepass", "another"],
    );
    command(
        &server,
        ["-a", "another", "CLIENT", "KILL", "TYPE", "normal"],
    );
    logins.are_unavailable().await;

    command(
        &server,
        ["-a", "another", "CONFIG", "SET", "requirepass", "s3cret"],
    );
    logins.are_answered().await;
}

#[test]
fn a_store_outlives_the_runtime_that_first_used_it() {
    let server = Server::start().unwrap();
    let runtime = || Runtime::new().unwrap();
    let logins =
        runtime().block_on(async { Logins::with_alice(open(&impatient(&server)).await).await });
    runtime().block_on(logins.are_answered());
}

/// Every method says so, of users and of tokens.
async fn is_unavailable_to_all(store: &RedisStore) {
    let users = Subject::from(store.clone());
    credential_store::an_unreachable_store_is_unavailable(&users)
        .await
        .unwrap();
    let tokens = Subject::of(Arc::new(store.clone()) as Arc<dyn TokenStore>);
    token_store::an_unreachable_store_is_unavailable(&tokens)
        .await
        .unwrap();
}

fn persistent() -> Server {
    Server::start_with(["--appendonly", "yes"]).unwrap()
}

fn impatient(server: &Server) -> String {
    with_timeout(&server.url())
}

fn with_timeout(url: &str) -> String {
    let milliseconds = TIMEOUT.as_millis();
    format!("{}?timeout_ms={milliseconds}", with_password(url))
}

fn kill_connections(server: &Server) {
    command(
        server,
        ["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"],
    );
}

#[track_caller]
fn command<'a>(server: &Server, command: impl IntoIterator<Item = &'a str>) -> String {
    server.command(command).unwrap()
}

const TIMEOUT: Duration = Duration::from_millis(300);
