//! Apps over a real NATS server.

use super::*;
use futures_util::{StreamExt as _, future::join_all};
use lattice_core::{
    nats::{NatsOptions, NatsStore, NatsStoreOptions},
    store::{Expect, Op, StoreKey},
};
use std::time::Duration;
use tokio::time::timeout;

#[tokio::test]
async fn apps_are_applied_followed_and_deleted_over_nats() {
    let server = nats::NatsConfig::default().jetstream().start().await;
    let connect = async || {
        let connect = Lattice::connect(server.url(), "prod").key(key());
        connect.await.expect("it connects")
    };
    let (here, there) = (connect().await, connect().await);
    let ids: Vec<String> = (0..300).map(|n| format!("a{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let applied = here.apply(&actors("shop", &ids)).await.expect("applied");
    assert_eq!(applied.plan.create.len(), 301);
    let mut follow = there.watch_desired();
    while follow.next().await.expect("open").actors.len() < 300 {}
    assert!(
        there
            .apply(&actors("shop", &ids))
            .await
            .expect("applied")
            .plan
            .is_empty()
    );

    let (one, two) = (
        actors("shop", &["a0", "one"]),
        actors("shop", &["a0", "two"]),
    );
    let outcomes = join_all([here.apply(&one), there.apply(&two)]).await;
    let lost: Vec<_> = outcomes
        .iter()
        .filter_map(|outcome| outcome.as_ref().err())
        .collect();
    assert!(
        matches!(lost.as_slice(), [ApplyError::Conflict { .. }]),
        "{outcomes:?}"
    );
    let (loser, app) = if outcomes[0].is_err() {
        (&here, &one)
    } else {
        (&there, &two)
    };
    in_the_end(loser, app).await;
    assert_eq!(loser.desired().actors.len(), 2);

    loser.delete_app(&name("shop")).await.expect("deleted");
    while !follow.next().await.expect("open").apps.is_empty() {}
    assert!(there.desired().actors.is_empty());
    in_the_end(&here, &one).await;
    assert_eq!(here.desired().actors.len(), 2);
}

/// The renewals of a lease and its end leave nothing behind in the end.
#[tokio::test]
async fn an_app_is_accepted_after_many_writes_that_left_nothing_behind() {
    let server = nats::NatsConfig::default().jetstream().start().await;
    let connect = async || {
        let connect = Lattice::connect(server.url(), "prod").key(key());
        connect.await.expect("it connects")
    };
    let lattice = connect().await;
    lattice
        .apply(&actors("old", &["o"]))
        .await
        .expect("applied");
    drop(lattice);
    let options = NatsOptions::new(server.url());
    let connection = options.connect().await.expect("it connects");
    let prod = LatticeName::new("prod").expect("valid");
    let store = NatsStore::open(&connection, NatsStoreOptions::new(&prod)).await;
    let store = store.expect("it opens");
    for _ in 0..11 {
        let op = |n| Op::put(StoreKey::for_test(&format!("k{n}")), "x", Expect::Any);
        let written = store.commit((0..1_000).map(op).collect()).await;
        written.expect("in reach");
    }
    let client = async_nats::connect(server.url()).await.expect("a server");
    let context = async_nats::jetstream::new(client);
    let stream = context.get_stream("KV_LATTICE_prod").await.expect("there");
    let purge = stream.purge().filter("$KV.LATTICE_prod.test.*");
    purge.await.expect("purged");

    let (here, there) = (connect().await, connect().await);
    here.apply(&actors("shop", &["a"])).await.expect("applied");
    let mut follow = there.watch_desired();
    let accepted = async { while follow.next().await.expect("open").apps.len() < 2 {} };
    let accepted = timeout(Duration::from_secs(20), accepted).await;
    accepted.expect("every process accepts it");
    assert!(there.desired().unreadable.is_empty());
    assert_eq!(there.replica().health().rewound, 0);
}
