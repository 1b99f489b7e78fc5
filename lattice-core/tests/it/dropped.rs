//! A host that is dropped while it is live is reported in the log, and no other end of a host is.

use crate::{log::Log, support::*};
use lattice_core::node::Node;
use std::{sync::Arc, time::Duration};

/// Returns what is logged when a host ends in this way.
async fn logged(end: impl AsyncFnOnce(Node)) -> String {
    let lattice = lattice().await;
    let node = host(&lattice, "edge-1").await;
    let log = Log::default();
    let captured = log.capture();
    end(node).await;
    drop(captured);
    log.text()
}

/// Returns whether a line warns that `edge-1` was dropped, and says what to do instead.
fn warns(log: &str) -> bool {
    log.lines().any(|line| {
        line.contains("WARN")
            && line.contains("dropped while it was live")
            && line.contains("call `shutdown` first")
            && line.contains("host=edge-1")
    })
}

#[tokio::test]
async fn dropping_a_live_host_is_reported() {
    let log = logged(async |node| drop(node)).await;
    assert!(warns(&log), "{log}");
}

#[tokio::test]
async fn a_host_is_live_until_its_last_handle_is_dropped() {
    let lattice = lattice().await;
    let node = host(&lattice, "edge-1").await;
    let other = node.clone();
    let log = Log::default();
    let _captured = log.capture();
    drop(node);
    assert!(!warns(&log.text()), "{}", log.text());
    drop(other);
    assert!(warns(&log.text()), "{}", log.text());
}

#[tokio::test]
async fn a_host_that_has_shut_down_is_dropped_in_silence() {
    let log = logged(async |node| {
        let drained = node.shutdown(Duration::from_secs(1)).await;
        assert!(drained.is_clean());
        drop(node);
    })
    .await;
    assert!(!warns(&log), "{log}");
}

#[tokio::test]
async fn a_host_that_was_killed_is_dropped_in_silence() {
    let log = logged(async |node| {
        node.kill();
        drop(node);
    })
    .await;
    assert!(!warns(&log), "{log}");
}

#[tokio::test]
async fn a_process_that_only_calls_and_serves_is_no_host_and_ends_in_silence() {
    let lattice = lattice().await;
    let serving = lattice
        .serve("callee", Serve(Arc::default()))
        .await
        .expect("it serves");
    let log = Log::default();
    let captured = log.capture();
    drop((serving, lattice));
    drop(captured);
    let log = log.text();
    assert!(!log.contains("dropped while it was live"), "{log}");
}
