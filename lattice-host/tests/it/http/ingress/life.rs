//! Ingresses that start, stop and fail to start.

use super::{
    requests::{get, http2},
    scene::{SITE, Scene},
    wire::{Body, PATIENCE, Wire, within},
};
use crate::wait::until;
use http_body_util::BodyExt as _;
use lattice_core::{Drained, Lattice};
use lattice_host::{
    Host, HostError,
    http::{Ingress, IngressError, TlsFiles},
};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn a_shutdown_finishes_what_runs_and_takes_nothing_new() {
    let scene = Scene::new().await;
    let mut wire = scene.connect().await;
    wire.send(&format!("GET /gate HTTP/1.1\nhost: {SITE}\n\n"))
        .await;
    let mut idle = scene.connect().await;
    assert_eq!(idle.get(SITE, "/hello").await.status, 200);
    let mut client = http2(scene.address).await;
    let streamed = tokio::spawn(client.send_request(get("/gate")));
    scene.begun(3).await;

    let mut new = scene.connect().await;

    let host = scene.host.clone();
    let stops = tokio::spawn(async move { host.shutdown(PATIENCE).await });
    assert_eq!(idle.rest().await.0, "", "an idle connection ends at once");
    let first = new.get(SITE, "/hello").await;
    assert!(
        matches!(first.status, 200 | 503) && matches!(first.body, Body::Whole(_)),
        "the first request of a new connection gets a complete response, which may be the 503 of a \
         leaving host: {first:?}"
    );
    assert!(!stops.is_finished());
    scene.site.state().gate.add_permits(2);
    let answer = wire.answer().await;
    assert_eq!((answer.status, answer.text()), (200, "through"));
    let response = within(streamed).await.expect("it doesn't panic");
    let body = within(response.expect("an answer").into_body().collect()).await;
    assert_eq!(body.expect("it is whole").to_bytes(), "through");
    assert!(within(stops).await.expect("it doesn't panic").is_clean());
    assert!(TcpStream::connect(scene.address).await.is_err());
}

#[tokio::test]
async fn a_shutdown_cuts_off_what_takes_too_long() {
    let scene = Scene::new().await;
    let mut wire = scene.connect().await;
    wire.send(&format!("GET /ever HTTP/1.1\nhost: {SITE}\n\n"))
        .await;
    assert_eq!(wire.head().await.status, 200);
    let drained = within(scene.host.shutdown(Duration::from_millis(100))).await;
    let Drained::CutOff(cut_off) = drained else {
        panic!("a request was still running");
    };
    assert_eq!(cut_off.requests, 1, "{cut_off:?}");
    let (rest, _) = wire.rest().await;
    assert!(!rest.ends_with("0\r\n\r\n"), "it looks whole");
}

#[tokio::test]
async fn a_host_that_is_dropped_takes_no_requests() {
    let scene = Scene::new().await;
    let mut wire = scene.connect().await;
    assert_eq!(wire.get(SITE, "/hello").await.status, 200);
    let address = scene.address;
    drop(scene);
    assert_eq!(wire.rest().await.0, "");
    let refused = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    within(refused).await;
}

#[tokio::test]
async fn the_addresses_are_known_to_other_hosts() {
    let lattice = Lattice::in_memory("test").await.expect("a lattice");
    let host = Host::builder(&lattice)
        .ingress(Ingress::http("127.0.0.1:0"))
        .ingress(Ingress::http("127.0.0.1:0"));
    let host = host.start().await.expect("it starts");
    let addresses = host.ingress_addresses();
    assert_eq!(addresses.len(), 2);
    assert!(addresses.iter().all(|address| address.port() > 0));
    let label = format!("http://{},http://{}", addresses[0], addresses[1]);
    let has_label = || {
        let peers = lattice.peers();
        peers
            .iter()
            .any(|peer| peer.labels.get("lattice-ingress") == Some(&label))
    };
    until("the label is seen", has_label).await;
    let none = Host::builder(&lattice).start().await.expect("it starts");
    assert!(none.ingress_addresses().is_empty());
}

#[tokio::test]
async fn an_address_that_cannot_be_used_says_what_to_do() {
    let lattice = Lattice::in_memory("test").await.expect("a lattice");
    let start = async |ingress: Ingress| {
        let started = Host::builder(&lattice).ingress(ingress).start().await;
        match started {
            Err(HostError::Ingress(error)) => error,
            Err(other) => panic!("it fails in another way: {other}"),
            Ok(_) => panic!("it starts"),
        }
    };
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("an address");
    let taken = taken
        .local_addr()
        .map(|address| (taken, address))
        .expect("an address");
    let error = start(Ingress::http(taken.1.to_string())).await;
    assert!(matches!(error, IngressError::InUse { .. }), "{error:?}");
    assert!(error.to_string().contains("port 0"), "{error}");

    let error = start(Ingress::http("8080")).await;
    assert!(matches!(error, IngressError::Address { .. }), "{error:?}");
    // Reserved for documentation, so that no machine has it.
    let error = start(Ingress::http("192.0.2.1:8080")).await;
    assert!(matches!(error, IngressError::NotLocal { .. }), "{error:?}");
    let error = start(Ingress::http("127.0.0.1:0").domain("a b")).await;
    assert!(matches!(error, IngressError::Domain { .. }), "{error:?}");
    let missing = TlsFiles::new("/does/not/exist.pem", "/does/not/exist.key");
    let error = start(Ingress::https("127.0.0.1:0", missing)).await;
    assert!(matches!(error, IngressError::Certificate(_)), "{error:?}");
    assert!(error.to_string().contains("/does/not/exist.pem"), "{error}");
}

#[tokio::test]
async fn a_component_that_is_stopped_finishes_its_responses() {
    let scene = Scene::new().await;
    let mut wire = scene.connect().await;
    wire.send(&format!("GET /parts HTTP/1.1\nhost: {SITE}\n\n"))
        .await;
    assert_eq!(wire.head().await.status, 200);
    // Its call has ended, and its body has not.
    let stops = scene.host.stop("site", PATIENCE);
    let goes_on = async {
        let mut other = scene.connect().await;
        assert_eq!(other.get(SITE, "/hello").await.status, 503, "it stops");
        scene.site.state().gate.add_permits(1);
        within(wire.rest_of_chunks()).await
    };
    let (stopped, body) = within(async { tokio::join!(stops, goes_on) }).await;
    assert_eq!(body, Body::Whole("one part, and the other".to_owned()));
    assert!(stopped.expect("it was there").is_clean());
}

#[tokio::test]
async fn a_component_whose_response_takes_too_long_is_cut_and_not_said_to_be_clean() {
    let scene = Scene::new().await;
    let mut wire = scene.connect().await;
    wire.send(&format!("GET /parts HTTP/1.1\nhost: {SITE}\n\n"))
        .await;
    assert_eq!(wire.head().await.status, 200);
    let stopped = within(scene.host.stop("site", Duration::from_millis(50))).await;
    assert!(!stopped.expect("it was there").is_clean());
    assert!(matches!(wire.rest_of_chunks().await, Body::Cut(_)));
}

#[tokio::test]
async fn a_component_that_dies_cuts_its_response() {
    let scene = Scene::new().await;
    let started = scene
        .host
        .start_provider("mortal", super::site::Site::default())
        .await;
    started.expect("it starts");
    let new = lattice_core::wormholes::NewWormhole::new("mortal").expect("an id");
    let created = scene.wormholes().create(new.host("mortal.example")).await;
    created.expect("it is created");
    let mut wire = scene.connect().await;
    wire.send("GET /ever HTTP/1.1\nhost: mortal.example\n\n")
        .await;
    let head = wire.head().await;
    assert_eq!(head.status, 200);
    let stopped = scene.host.stop("mortal", Duration::ZERO).await;
    // Its call has ended with the head, so that only the body is cut off.
    assert!(stopped.is_ok());
    let (rest, _) = wire.rest().await;
    assert!(!rest.ends_with("0\r\n\r\n"), "it looks whole");
    let mut wire: Wire = scene.connect().await;
    let answer = wire.get("mortal.example", "/hello").await;
    assert_eq!(answer.status, 503);
    assert!(matches!(answer.body, Body::Whole(_)));
}
