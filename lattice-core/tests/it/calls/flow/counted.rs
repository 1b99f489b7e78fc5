//! Streams, sessions and handles in the metrics of both hosts.

use super::*;
use std::sync::Mutex;

fn now(node: &Node, name: &str) -> f64 {
    node.metrics().total(name, &[]).expect("there is one")
}

async fn reach(hosts: &Hosts, name: &str, value: f64) {
    for node in [&hosts.a, &hosts.b] {
        let is_there = async || (now(node, name) - value).abs() < f64::EPSILON;
        eventually(&format!("{name} is {value}"), is_there).await;
    }
}

#[tokio::test]
async fn an_open_stream_is_in_the_metrics_of_both_hosts() {
    let kept = Arc::<Mutex<Handles>>::default();
    let keep = kept.clone();
    let hosts = hosts(move |request: Request| {
        keep.lock().expect("not poisoned").extend(request.handles);
        async { Ok(nothing()) }
    })
    .await;
    let metrics = ["lattice.session.count", "lattice.stream.count"];
    for name in metrics {
        reach(&hosts, name, 0.0).await;
    }
    let (writer, reader) = channel();
    hosts
        .pass(vec![Handle::Stream(reader)])
        .await
        .expect("it is taken");
    for name in metrics {
        reach(&hosts, name, 1.0).await;
    }
    drop(std::mem::take(&mut *kept.lock().expect("not poisoned")));
    drop(writer);
    for name in metrics {
        reach(&hosts, name, 0.0).await;
    }
}
