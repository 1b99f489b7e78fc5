//! Metrics at an address of their own: who can read them, what is in them, and what slow and many
//! clients do.

use super::{
    scene::{SITE, Scene},
    site::Site,
    wire::{Answer, Body, Wire},
};
use crate::exposition::{Exposed, parse};
use lattice_core::{Lattice, wormholes::NewWormhole};
use lattice_host::{
    Host, HostError,
    http::{Ingress, MetricsEndpoint, MetricsError},
};
use std::net::SocketAddr;

/// A scene whose host serves its metrics, and where.
async fn served(endpoint: MetricsEndpoint) -> (Scene, SocketAddr) {
    let lattice = Lattice::in_memory("test").await.expect("a lattice");
    let site = Site::default();
    let host = Host::builder(&lattice)
        .provider("site", site.clone())
        .ingress(Ingress::http("127.0.0.1:0"))
        .metrics(endpoint);
    let host = host.start().await.expect("the host starts");
    let metrics = host.metrics_address().expect("it serves them");
    let scene = Scene {
        address: host.ingress_addresses()[0],
        lattice,
        host,
        site,
    };
    scene.open(|new: NewWormhole| new.host(SITE)).await;
    (scene, metrics)
}

fn local() -> MetricsEndpoint {
    MetricsEndpoint::at("127.0.0.1:0")
}

async fn ask(at: SocketAddr, request: &str) -> Answer {
    let mut wire = Wire::connect(at).await;
    wire.send(request).await;
    wire.answer().await
}

async fn scrape(at: SocketAddr, is_open_metrics: bool) -> Exposed {
    let accept = if is_open_metrics {
        "application/openmetrics-text; version=1.0.0"
    } else {
        "*/*"
    };
    let request = format!("GET /metrics HTTP/1.1\nhost: {at}\naccept: {accept}\n\n");
    let answer = ask(at, &request).await;
    assert_eq!(answer.status, 200);
    let kind = answer.header("content-type").expect("a type");
    assert_eq!(kind.contains("openmetrics"), is_open_metrics, "{kind}");
    let Body::Whole(text) = answer.body else {
        panic!("{:?}", answer.body)
    };
    parse(&text, is_open_metrics).unwrap_or_else(|reason| panic!("{reason}\n{text}"))
}

#[tokio::test]
async fn metrics_are_served_in_both_formats_and_requests_are_in_them() {
    let (scene, at) = served(local()).await;
    scrape(at, false).await;
    let hello = scene.connect().await.get(SITE, "/hello").await;
    assert_eq!(hello.status, 200);
    let missing = scene.connect().await.get("other.example", "/").await;
    assert_eq!(missing.status, 404);
    for is_open_metrics in [false, true] {
        let exposed = scrape(at, is_open_metrics).await;
        let count = |status| {
            let of = [
                ("http_response_status_code", status),
                ("url_scheme", "http"),
            ];
            exposed.total("http_server_request_duration_seconds_count", &of)
        };
        assert_eq!((count("200"), count("404")), (Some(1.0), Some(1.0)));
        let active = exposed.total("http_server_active_requests", &[]);
        assert_eq!(active, Some(0.0));
        let of = [("lattice_component", "site")];
        let calls = exposed.total("lattice_component_calls_total", &of);
        assert!(calls >= Some(1.0), "{calls:?}");
        assert!(exposed.total("lattice_guest_memory_limit_bytes", &[]) > Some(1e6));
        let timed = exposed.total("rpc_server_call_duration_seconds_count", &[]);
        assert!(timed >= Some(1.0), "{timed:?}");
    }
    let source = scene.host.metrics_source();
    assert!(source().is_some());
    let Scene { host, .. } = scene;
    drop(host);
    assert!(source().is_none(), "it doesn't keep the host");
}

#[tokio::test]
async fn no_request_for_a_wormhole_reads_metrics_and_none_for_metrics_reaches_an_actor() {
    let (scene, at) = served(local()).await;
    let own = at.to_string();
    for host in [
        SITE,
        "metrics.localhost",
        "localhost",
        "127.0.0.1",
        own.as_str(),
    ] {
        let answer = scene.connect().await.get(host, "/metrics").await;
        let Body::Whole(text) = &answer.body else {
            panic!("{answer:?}")
        };
        assert!(!text.contains("# TYPE"), "{host}: {text}");
    }
    let begun = |host: &str| format!("GET /metrics HTTP/1.1\nhost: {host}\n\n");
    for host in [SITE, "evil.example", &format!("evil.example:{}", at.port())] {
        let answer = ask(at, &begun(host)).await;
        assert_eq!(answer.status, 421, "{host}: {answer:?}");
    }
    for (request, status) in [
        (format!("GET / HTTP/1.1\nhost: {at}\n\n"), 404),
        (format!("GET /hello HTTP/1.1\nhost: {at}\n\n"), 404),
        (
            format!("POST /metrics HTTP/1.1\nhost: {at}\ncontent-length: 0\n\n"),
            405,
        ),
    ] {
        assert_eq!(ask(at, &request).await.status, status, "{request}");
    }
}

#[tokio::test]
async fn an_address_that_others_reach_needs_a_token_or_to_be_open() {
    let start = async |endpoint: MetricsEndpoint| {
        let lattice = Lattice::in_memory("test").await.expect("a lattice");
        Host::builder(&lattice).metrics(endpoint).start().await
    };
    let unprotected = start(MetricsEndpoint::at("0.0.0.0:0")).await;
    let error = unprotected.expect_err("nothing protects it");
    let is_it = matches!(&error, HostError::Metrics(MetricsError::Unprotected { .. }));
    assert!(
        is_it && error.to_string().contains("--metrics-token-file"),
        "{error}"
    );
    let nowhere = start(MetricsEndpoint::at("nowhere")).await;
    let error = nowhere.expect_err("it isn't an address");
    assert!(
        matches!(error, HostError::Metrics(MetricsError::Address(_))),
        "{error}"
    );

    let host = start(MetricsEndpoint::at("0.0.0.0:0").open()).await;
    let host = host.expect("it is open");
    let port = host.metrics_address().expect("it serves them").port();
    let at = SocketAddr::from(([127, 0, 0, 1], port));
    let request = "GET /metrics HTTP/1.1\nhost: any.example\n\n";
    assert_eq!(ask(at, request).await.status, 200);

    let (_scene, at) = served(local().token("secret")).await;
    let with = |header: &str| format!("GET /metrics HTTP/1.1\nhost: any.example\n{header}\n");
    for wrong in [
        "",
        "authorization: Bearer other\n",
        "authorization: Basic secret\n",
    ] {
        let answer = ask(at, &with(wrong)).await;
        assert_eq!(answer.status, 401, "{wrong}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    let answer = ask(at, &with("authorization: Bearer secret\n")).await;
    assert_eq!(answer.status, 200);
}

/// More clients than are served at once send nothing, or take nothing. Those that do are cut off in
/// time, and meanwhile the site is served, because its connections are others.
#[tokio::test]
async fn clients_that_are_slow_hold_up_nothing_but_each_other() {
    let (scene, at) = served(local()).await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(Wire::connect(at).await);
    }
    for _ in 0..50 {
        let hello = scene.connect().await.get(SITE, "/hello").await;
        assert_eq!(hello.status, 200);
    }
    drop(silent);
    let exposed = scrape(at, false).await;
    let served = exposed.total("http_server_request_duration_seconds_count", &[]);
    assert_eq!(served, Some(50.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_are_whole_under_load() {
    let (scene, at) = served(local()).await;
    let load: Vec<_> = (0..4)
        .map(|_| {
            let address = scene.address;
            tokio::spawn(async move {
                let mut wire = Wire::connect(address).await;
                for _ in 0..200 {
                    assert_eq!(wire.get(SITE, "/hello").await.status, 200);
                }
            })
        })
        .collect();
    let mut before = 0.0;
    for _ in 0..20 {
        let exposed = scrape(at, true).await;
        let count = exposed.total("http_server_request_duration_seconds_count", &[]);
        let count = count.unwrap_or_default();
        assert!(count >= before, "{count} after {before}");
        before = count;
    }
    for one in load {
        one.await.expect("every request is answered");
    }
    let exposed = scrape(at, false).await;
    let count = exposed.total("http_server_request_duration_seconds_count", &[]);
    assert_eq!(count, Some(800.0));
}
