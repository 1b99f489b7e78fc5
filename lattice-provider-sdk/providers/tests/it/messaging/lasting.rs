//! What every backend does that stores messages.

use super::{
    actor::{Actor, Behaviour},
    scene::{Backend, Scene},
};
use lattice_core::node::NodeOptions;
use lattice_provider_sdk::{IntoService, ServeLimits, serve};
use serde_json::json;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::sync::Semaphore;

pub(crate) async fn messages_of_a_killed_actor_are_handled_by_another_replica(backend: Backend) {
    let scene = Scene::new(backend).await;
    let options = NodeOptions::default();
    let doomed = scene.lattice.node(options).await.expect("joins");
    let never = Arc::new(Semaphore::new(0));
    let (actor, mut received) = Actor::new(Behaviour::Wait(never));
    let replica = actor.replica(Behaviour::Keep);
    let serving = doomed.serve("actor", actor.into_service(), ServeLimits::default());
    let _serving = serving.await.expect("serves");
    let config = scene.backend.config(&["a"], &json!({ "backoff": "10ms" }));
    scene.subscribe("actor", &config).await;
    scene.reaches("a", &mut received).await;
    for number in 0..10 {
        let published = scene.publish("a", format!("{number}")).await;
        published.expect("published");
    }
    received.bodies(10).await;
    doomed.kill();
    let _replica = serve(&scene.lattice, "actor", replica)
        .await
        .expect("serves");
    let mut again = received.bodies(10).await;
    again.sort();
    let all: Vec<String> = (0..10).map(|number| format!("{number}")).collect();
    assert_eq!(again, all);
}

pub(crate) async fn what_a_replica_of_the_provider_leaves_another_takes(backend: Backend) {
    let scene = Scene::new(backend).await;
    // Another replica, in a node of its own.
    let node = scene
        .lattice
        .node(NodeOptions::default())
        .await
        .expect("joins");
    let other = scene.backend.provider();
    let other = node
        .serve("messaging", other, ServeLimits::default())
        .await
        .expect("serves");
    let (_actor, mut received) = scene.actor("actor", Behaviour::Keep).await;
    let config = scene
        .backend
        .config(&["a"], &json!({ "ack-wait": "500ms" }));
    scene.subscribe("actor", &config).await;
    scene.reaches("a", &mut received).await;
    let mut bodies = BTreeSet::new();
    for number in 0..50 {
        let published = scene.publish("a", format!("{number:02}")).await;
        published.expect("published");
        if number == 25 {
            bodies.extend(received.bodies(10).await);
            // What it was handling may be cut off.
            let _ = node.shutdown(Duration::from_secs(5)).await;
        }
    }
    drop(other);
    // What the replica was handling may come twice, and nothing is lost.
    while bodies.len() < 50 {
        bodies.insert(received.next().await.body);
    }
}
