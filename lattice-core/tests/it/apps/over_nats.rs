//! Apps over a real NATS server.

use super::*;
use futures_util::{StreamExt as _, future::join_all};

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
