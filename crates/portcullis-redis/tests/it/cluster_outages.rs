//! What happens to a cluster, and what its users see of it. Each has a cluster of its own.

use std::time::Duration;

use portcullis_core::CredentialStore;
use portcullis_redis::RedisStore;
use portcullis_testkit::{Subject, credential_store};
use portcullis_testservers::redis::{Cluster, Server};
use tokio::runtime::Runtime;
use tokio::task::yield_now;

use crate::common::{Logins, alice, is_unavailable, open, patience_ends, until, with_password};

#[tokio::test]
async fn a_node_that_goes_down_is_unavailable_until_it_is_back() {
    let mut cluster = Cluster::start().unwrap();
    let logins = Logins::with_alice(open(&impatient(&cluster)).await).await;
    let owner = cluster.node_of(KEYS).unwrap();
    cluster.nodes_mut()[owner].stop().unwrap();
    let subject = Subject::from(logins.store.clone());
    credential_store::an_unreachable_store_is_unavailable(&subject)
        .await
        .unwrap();
    logins.are_unavailable().await;

    cluster.nodes_mut()[owner].restart().unwrap();
    cluster.wait_until_ok().unwrap();
    logins.are_answered().await;
    assert!(logins.change().await.unwrap());
}

#[tokio::test]
async fn a_node_that_is_silent_is_unavailable_until_it_speaks() {
    let mut cluster = Cluster::start().unwrap();
    let logins = Logins::with_alice(open(&impatient(&cluster)).await).await;
    let owner = cluster.node_of(KEYS).unwrap();
    cluster.nodes_mut()[owner].pause().unwrap();
    logins.are_unavailable_after(TIMEOUT).await;

    cluster.nodes_mut()[owner].resume().unwrap();
    cluster.wait_until_ok().unwrap();
    logins.are_answered().await;
    assert!(logins.change().await.unwrap());
}

#[tokio::test]
async fn a_cluster_that_is_down_is_unavailable_until_it_is_back() {
    let mut cluster = Cluster::start().unwrap();
    let logins = Logins::with_alice(open(&impatient(&cluster)).await).await;
    for node in cluster.nodes_mut() {
        node.stop().unwrap();
    }
    logins.are_unavailable().await;
    let opened = RedisStore::open(&impatient(&cluster)).await;
    is_unavailable(&opened.unwrap_err());

    for node in cluster.nodes_mut() {
        node.restart().unwrap();
    }
    cluster.wait_until_ok().unwrap();
    logins.are_answered().await;
    let late = Logins::over(open(&impatient(&cluster)).await);
    late.are_answered().await;
}

#[tokio::test]
async fn a_replica_that_takes_over_from_a_dead_node_ends_the_outage() {
    a_replica_ends(|owner| owner.stop().unwrap()).await;
}

#[tokio::test]
async fn a_replica_that_takes_over_from_a_silent_node_ends_the_outage() {
    a_replica_ends(|owner| owner.pause().unwrap()).await;
}

async fn a_replica_ends(outage: impl Fn(&mut Server)) {
    let mut cluster = Cluster::start().unwrap();
    let replica = cluster.add_replica(KEYS).unwrap();
    let logins = Logins::with_alice(open(&impatient(&cluster)).await).await;
    let owner = cluster.node_of(KEYS).unwrap();
    // What the replica has not heard of would be lost.
    let nodes = cluster.nodes();
    nodes[replica].wait_for_sync(&nodes[owner]).unwrap();
    outage(&mut cluster.nodes_mut()[owner]);
    logins.are_unavailable().await;

    until(|| ask(&cluster, replica, ["ROLE"]).starts_with("master"));
    cluster.wait_until_ok().unwrap();
    logins.are_answered().await;
    assert!(logins.change().await.unwrap());
}

#[tokio::test]
async fn a_replica_that_takes_over_from_a_node_that_is_cut_off_ends_the_outage() {
    let mut cluster = Cluster::start().unwrap();
    let replica = cluster.add_replica(KEYS).unwrap();
    let owner = cluster.node_of(KEYS).unwrap();
    let url = cluster.url();
    // That node is known by hearsay only.
    let port = cluster.nodes()[owner].port();
    let url = url.replace(&format!("127.0.0.1:{port},"), "");
    let logins = Logins::with_alice(open(&with_timeout(&url)).await).await;
    let nodes = cluster.nodes();
    nodes[replica].wait_for_sync(&nodes[owner]).unwrap();
    let others: Vec<_> = (0..nodes.len()).filter(|node| *node != owner).collect();
    for other in &others {
        let id = ask(&cluster, *other, ["CLUSTER", "MYID"]);
        ask(&cluster, owner, ["CLUSTER", "FORGET", &id]);
    }
    until(|| ask(&cluster, owner, ["EXISTS", KEYS]).starts_with("CLUSTERDOWN"));
    logins.are_unavailable().await;

    ask(&cluster, replica, ["CLUSTER", "FAILOVER", "TAKEOVER"]);
    let address = format!("127.0.0.1:{}", nodes[replica].port());
    until(|| {
        others.iter().all(|other| {
            let there = ask(&cluster, *other, ["EXISTS", KEYS]);
            *other == replica || there.ends_with(&address)
        })
    });
    patience_ends().await;
    logins.are_answered().await;
    assert!(logins.change().await.unwrap());
}

#[tokio::test]
async fn a_change_whose_connection_is_killed_is_not_made_again() {
    let cluster = Cluster::start().unwrap();
    let patient = format!("{}&timeout_ms=60000", with_password(&cluster.url()));
    let logins = Logins::with_alice(open(&patient).await).await;
    let owner = cluster.node_of(KEYS).unwrap();
    // Changes wait, until they are let go.
    ask(&cluster, owner, ["CLIENT", "PAUSE", "60000", "WRITE"]);
    let store = logins.store.clone();
    let change = tokio::spawn(async move { store.delete(&alice().user_id).await });
    while !ask(&cluster, owner, ["CLIENT", "LIST"]).contains("flags=b") {
        yield_now().await;
    }
    let all_others = ["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"];
    ask(&cluster, owner, all_others);
    ask(&cluster, owner, ["CLIENT", "UNPAUSE"]);
    is_unavailable(&change.await.unwrap().unwrap_err());
    logins.are_answered().await;
}

#[tokio::test]
async fn keys_are_followed_while_they_move_to_another_node() {
    let cluster = Cluster::start().unwrap();
    let logins = Logins::with_alice(open(&with_password(&cluster.url())).await).await;
    let from = cluster.node_of(KEYS).unwrap();
    let to = (from + 1) % 3;
    let id = |node: usize| ask(&cluster, node, ["CLUSTER", "MYID"]);
    let slot = ask(&cluster, from, ["CLUSTER", "KEYSLOT", KEYS]);

    ask(
        &cluster,
        to,
        ["CLUSTER", "SETSLOT", &slot, "IMPORTING", &id(from)],
    );
    ask(
        &cluster,
        from,
        ["CLUSTER", "SETSLOT", &slot, "MIGRATING", &id(to)],
    );
    logins.are_answered().await;
    let port = cluster.nodes()[to].port().to_string();
    let mut keys = ["user:alice", "user_ids", "usernames"].into_iter();
    while let Some(key) = keys.next() {
        let key = format!("{KEYS}:{key}");
        let moved = ask(
            &cluster,
            from,
            ["MIGRATE", "127.0.0.1", &port, &key, "0", "5000"],
        );
        assert_eq!(moved, "OK");
        logins.are_answered().await;
        assert!(logins.change().await.unwrap());
        if keys.len() > 0 {
            // No node has all that this is about.
            let deleted = logins.store.delete(&alice().user_id).await;
            is_unavailable(&deleted.unwrap_err());
        }
    }
    for node in [to, from] {
        ask(
            &cluster,
            node,
            ["CLUSTER", "SETSLOT", &slot, "NODE", &id(to)],
        );
    }
    logins.are_answered().await;
    assert!(logins.store.delete(&alice().user_id).await.unwrap());
}

#[test]
fn a_store_outlives_the_runtime_that_first_used_it() {
    let cluster = Cluster::start().unwrap();
    let runtime = || Runtime::new().unwrap();
    let logins =
        runtime().block_on(async { Logins::with_alice(open(&impatient(&cluster)).await).await });
    runtime().block_on(logins.are_answered());
}

fn impatient(cluster: &Cluster) -> String {
    with_timeout(&cluster.url())
}

fn with_timeout(url: &str) -> String {
    let milliseconds = TIMEOUT.as_millis();
    format!("{}&timeout_ms={milliseconds}", with_password(url))
}

fn ask<'a>(cluster: &Cluster, node: usize, command: impl IntoIterator<Item = &'a str>) -> String {
    let reply = cluster.nodes()[node].command(command).unwrap();
    reply.trim().to_owned()
}

/// Where all users are.
const KEYS: &str = "{portcullis}";

const TIMEOUT: Duration = Duration::from_millis(500);
