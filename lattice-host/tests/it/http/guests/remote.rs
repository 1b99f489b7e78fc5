//! Guests on other hosts.

use super::support::*;
use crate::host::over_nats::two_connections;
use lattice_core::Lattice;
use lattice_host::Host;
use lattice_provider_sdk::Bytes;
use std::time::Duration;
use tokio::time::timeout;

const GUESTS: [&str; 2] = ["http-incoming", "http-handler"];

/// Starts both guests on one host, and waits until another program knows of them.
async fn hosted(one: &Lattice, other: &Lattice) -> Host {
    let host = GUESTS.iter().fold(Host::builder(one), |host, name| {
        host.actor(*name, guest(name))
    });
    let host = started(host).await;
    for guest in GUESTS {
        served(other, guest).await;
    }
    host
}

async fn serves_all(lattice: &Lattice) {
    for guest in GUESTS {
        assert_eq!(fetch(lattice, guest, "/hello").await.1, "hello", "{guest}");
        ping_pong(lattice, guest).await;
        echo_large(lattice, guest, "/echo").await;
        for path in ["/length/9/short", "/length/4/too-long"] {
            read(answered(lattice, guest, get(path)).await)
                .await
                .broken();
        }
        let (request, writer) = post("/trap-after-head");
        let mut reading = Reading::of(answered(lattice, guest, request).await);
        assert_eq!(reading.next(4).await, "part");
        writer.end();
        let rest = timeout(PATIENCE, reading.rest()).await.expect("in time");
        let reason = rest.broken();
        assert!(reason.contains("on purpose"), "{guest}: {reason}");
        let failed = send(lattice, guest, get("/trap-before")).await;
        let reason = reason_of(failed);
        assert!(reason.contains("on purpose"), "{guest}: {reason}");
    }
}

fn reason_of(answered: Answered) -> String {
    reason(answered.map(|answered| answered.map(|response| response.status)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_and_bodies_pass_between_hosts() {
    let (one, other) = two_programs().await;
    let _host = hosted(&one, &other).await;
    serves_all(&other).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_and_bodies_pass_over_nats() {
    let (_server, one, other) = two_connections().await;
    let _host = hosted(&one, &other).await;
    serves_all(&other).await;
}

#[tokio::test]
async fn a_client_on_another_host_that_goes_away_ends_its_guest() {
    let (one, other) = two_programs().await;
    let _host = hosted(&one, &other).await;
    let (request, writer) = post("/never");
    let sent = send(&other, GUESTS[0], request);
    assert!(timeout(Duration::from_millis(50), sent).await.is_err());
    timeout(PATIENCE, writer.unread()).await.expect("it ended");
    let (request, writer) = post("/hold");
    let mut reading = Reading::of(answered(&other, GUESTS[0], request).await);
    assert_eq!(reading.next(4).await, "part");
    drop(reading);
    timeout(PATIENCE, writer.unread()).await.expect("it ended");
}

#[tokio::test]
async fn a_host_that_is_killed_breaks_its_bodies() {
    let (one, other) = two_programs().await;
    let host = hosted(&one, &other).await;
    let (request, _writer) = post("/hold");
    let mut reading = Reading::of(answered(&other, GUESTS[0], request).await);
    assert_eq!(reading.next(4).await, "part");
    host.node().kill();
    let rest = timeout(PATIENCE, reading.rest()).await.expect("in time");
    rest.broken();
}

#[tokio::test]
async fn a_host_that_leaves_waits_for_its_bodies() {
    let (one, other) = two_programs().await;
    let host = hosted(&one, &other).await;
    let (request, mut writer) = post("/hold");
    let mut reading = Reading::of(answered(&other, GUESTS[0], request).await);
    assert_eq!(reading.next(4).await, "part");
    let leaving = tokio::spawn(async move { host.shutdown(PATIENCE).await });
    writer
        .send(Bytes::from_static(b"go on"))
        .await
        .expect("it is read");
    let rest = timeout(PATIENCE, reading.rest()).await.expect("in time");
    assert_eq!(rest.whole(), ", rest");
    writer.end();
    assert!(leaving.await.expect("it ended").is_clean());
}
