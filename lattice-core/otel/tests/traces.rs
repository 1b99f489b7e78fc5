//! The whole trace of one request that three hosts take part in.

mod support;

use lattice_otel::{
    Telemetry,
    sink::{Sink, tree},
};
use support::{Shop, TIME, fresh};

/// The attributes that aren't the same in each run, or that all spans have.
const HIDDEN: [&str; 5] = [
    "lattice.host",
    "level",
    "rpc.method",
    "rpc.system.name",
    "target",
];

const WHOLE: &str = "\
client example:shop/front/open
  lattice.source = web
  lattice.target = front
  rpc.status_code = ok
  server example:shop/front/open
    lattice.source = web
    lattice.target = front
    rpc.status_code = ok
    client example:shop/back/greet
      lattice.source = front
      lattice.target = back
      rpc.status_code = ok
      * retry, error.type = overloaded, lattice.attempt = 1
      server example:shop/back/greet
        error.type = overloaded
        lattice.source = front
        lattice.target = back
        rpc.status_code = overloaded
        error: component `back` is overloaded: its queue is full, or its host has no room for one more instance; try again after a moment, add replicas or raise its limits
      server example:shop/back/greet
        lattice.source = front
        lattice.target = back
        rpc.status_code = ok
        client get orders
          db.system.name = test
          * at work, component = back
";

#[tokio::test]
async fn one_trace_leads_through_every_host() {
    let sink = Sink::start().await.expect("a port is free");
    let telemetry = Telemetry::builder()
        .endpoint(sink.url())
        .service_name("shop")
        .attribute("service.version", "1")
        .without_metrics()
        .install()
        .expect("it is the only one");
    let shop = Shop::open(1).await;
    let trace = shop.call(fresh()).await.expect("it is served");
    telemetry.flush(TIME).await.expect("the sink takes it");

    let spans = sink.spans();
    assert_eq!(tree(&spans, |name| !HIDDEN.contains(&name)), WHOLE);
    for span in &spans {
        assert_eq!(span.trace_id, spans[0].trace_id);
        assert_eq!(span.service, "shop");
        if let Some(method) = span.attributes.get("rpc.method") {
            assert_eq!(*method, span.name);
            let system = span.attributes.get("rpc.system.name");
            assert_eq!(system.map(String::as_str), Some("lattice"));
        }
    }
    // What the callee passes on is its own span.
    let served = spans
        .iter()
        .find(|span| span.kind == "server" && span.name.ends_with("greet") && span.error.is_none());
    let served = served.expect("it was served");
    let told: lattice_core::id::TraceContext = trace.parse().expect("a traceparent");
    assert_eq!(told.span_id[..], served.span_id);
    assert!(told.is_sampled());

    // The line is also a log line, of the span during which it was written.
    let logs = sink.logs();
    let line = logs.iter().find(|line| line.body == "at work");
    let line = line.unwrap_or_else(|| panic!("the line isn't there: {logs:#?}"));
    assert_eq!(line.trace_id, served.trace_id);
    assert_eq!((&*line.severity, &*line.service), ("INFO", "shop"));

    // A span of the program around a call is the parent of the call's span.
    let around = tracing::info_span!("errand");
    let call = tracing::Instrument::instrument(shop.call(fresh()), around);
    call.await.expect("it is served");
    telemetry.shutdown(TIME).await.expect("the sink takes it");
    let spans = sink.spans();
    let errand = spans
        .iter()
        .find(|span| span.name == "errand")
        .expect("it was sent");
    let mut children = spans.iter().filter(|span| span.parent_id == errand.span_id);
    assert_eq!(children.next().map(|span| &*span.kind), Some("client"));
    assert!(children.next().is_none());
}
