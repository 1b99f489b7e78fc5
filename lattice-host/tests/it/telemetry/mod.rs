//! Telemetry of hosts: the whole trace of one request.

mod backends;
mod pages;
mod web;

use crate::{
    host::support::{actor, link, started},
    wait::until,
};
use data_encoding::HEXLOWER;
use lattice_core::{
    Lattice, bus::memory::MemoryNetwork, name::ComponentId, store::MemoryStore,
    wormholes::NewWormhole,
};
use lattice_host::{Host, http::Ingress};
use lattice_otel::{
    Telemetry,
    sink::{Sink, SpanRecord, tree},
};
use pages::{OUTGOING, Pages};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

const TIME: Duration = Duration::from_secs(30);
const OUTSIDE: &str = "0af7651916cd43dd8448eb211c80319c";

/// The attributes that aren't the same in each run, or that other tests hold.
const HIDDEN: [&str; 7] = [
    "component",
    "context",
    "host",
    "lattice.host",
    "level",
    "rpc.method",
    "target",
];

const WHOLE: &str = "\
server GET /
  http.request.method = GET
  http.response.status_code = 200
  http.route = /
  lattice.wormhole = door
  network.protocol.version = 1.1
  server.address = site.example
  url.path = /fetch
  url.scheme = http
  client lattice:http/handler/handle
    lattice.source = door
    lattice.target = site
    rpc.status_code = ok
    rpc.system.name = lattice
    server lattice:http/handler/handle
      lattice.source = door
      lattice.target = site
      rpc.status_code = ok
      rpc.system.name = lattice
      * on my way, stream = log
      client wasi:http/outgoing-handler/handle
        lattice.source = site
        lattice.target = other
        rpc.status_code = ok
        rpc.system.name = lattice
        * retry, error.type = overloaded, lattice.attempt = 1
        server wasi:http/outgoing-handler/handle
          error.type = overloaded
          lattice.source = site
          lattice.target = other
          rpc.status_code = overloaded
          rpc.system.name = lattice
          error: component `other` is overloaded: its queue is full, or its host has no room for one more instance; try again after a moment, add replicas or raise its limits
        server wasi:http/outgoing-handler/handle
          lattice.source = site
          lattice.target = other
          rpc.status_code = ok
          rpc.system.name = lattice
          client get pages
            db.namespace = pages
            db.operation.name = get
            db.system.name = test
";

/// Connections to one lattice, like those of three programs.
async fn programs() -> [Lattice; 3] {
    let (network, store) = (MemoryNetwork::new(), MemoryStore::new());
    let connect = async || {
        let bus = Arc::new(network.connect());
        let lattice = Lattice::on(bus, Arc::new(store.clone()), "test").trust_bus();
        lattice.await.expect("a lattice")
    };
    [connect().await, connect().await, connect().await]
}

/// Sends a request to the wormhole, and returns the response.
async fn get(address: SocketAddr, headers: &str) -> String {
    let asked = async {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let request = format!(
            "GET /fetch?secret HTTP/1.1\r\nhost: site.example\r\nconnection: close\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut response = String::new();
        stream.read_to_string(&mut response).await.expect("read");
        response
    };
    let response = timeout(TIME, asked).await.expect("it answers in time");
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    response
}

/// Returns the spans of the trace with this id, or of all others, once all have come.
async fn spans(sink: &Sink, is_outside: bool) -> Vec<SpanRecord> {
    let all = |sink: &Sink| {
        let of_trace =
            |span: &SpanRecord| (HEXLOWER.encode(&span.trace_id) == OUTSIDE) == is_outside;
        let spans = sink.spans().into_iter().filter(of_trace);
        spans.collect::<Vec<_>>()
    };
    let has_all = |sink: &Sink| all(sink).iter().any(|span| span.name.starts_with("GET"));
    assert!(sink.wait(TIME, has_all).await, "{:#?}", sink.spans());
    all(sink)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_trace_leads_from_a_wormhole_to_the_backend_of_a_provider() {
    let sink = Sink::start().await.expect("a port is free");
    let telemetry = Telemetry::builder().endpoint(sink.url()).without_metrics();
    let telemetry = telemetry.install().expect("it is the only one");
    let [here, there, elsewhere] = programs().await;
    let builder = Host::builder(&here).actor("site", actor("http_sdk"));
    let host = started(builder.ingress(Ingress::http("127.0.0.1:0"))).await;
    let pages = Pages::default();
    let mut others = Vec::new();
    for lattice in [&there, &elsewhere] {
        others.push(started(Host::builder(lattice).provider("other", pages.clone())).await);
    }
    link(&here, "site", OUTGOING, "other").await;
    let other = ComponentId::new("other").expect("an id");
    until("both replicas are known", || {
        here.peers().serving(&other).len() == 2
    })
    .await;
    let door = NewWormhole::new("site").and_then(|new| new.id("door"));
    let door = door.expect("valid").host("site.example");
    here.wormholes().create(door).await.expect("it is created");

    // A trace that starts here, in which a call is tried again.
    pages.refuse_once();
    get(host.ingress_addresses()[0], "").await;
    telemetry.flush(TIME).await.expect("the sink takes it");
    let own = spans(&sink, false).await;
    assert_eq!(tree(&own, |name| !HIDDEN.contains(&name)), WHOLE);

    // One that starts outside goes on from there. What isn't one doesn't count.
    let given = format!("traceparent: 00-{OUTSIDE}-b7ad6b7169203331-01\r\n");
    get(host.ingress_addresses()[0], &given).await;
    get(host.ingress_addresses()[0], "traceparent: 00-broken-01\r\n").await;
    // One that isn't sampled there isn't here.
    let unsampled = given.replace(OUTSIDE, &OUTSIDE.replace('0', "1"));
    get(
        host.ingress_addresses()[0],
        &unsampled.replace("-01\r", "-00\r"),
    )
    .await;
    telemetry.flush(TIME).await.expect("the sink takes it");
    let outside = spans(&sink, true).await;
    let root = outside.iter().find(|span| span.name == "GET /");
    let root = root.unwrap_or_else(|| panic!("no root in {outside:#?}"));
    assert_eq!(HEXLOWER.encode(&root.parent_id), "b7ad6b7169203331");
    // The server, two calls with a span on each side, and the backend.
    assert_eq!(outside.len(), 6, "{outside:#?}");
    let all = sink.spans();
    let roots = all.iter().filter(|span| span.name == "GET /");
    assert_eq!(roots.count(), 3, "{all:#?}");

    web::a_request_carries_its_span(&here, &sink, &telemetry).await;
    backends::databases_have_spans(&here, &sink, &telemetry).await;
    telemetry.shutdown(TIME).await.expect("the sink takes it");
}
