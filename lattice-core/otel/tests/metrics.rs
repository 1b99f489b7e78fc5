//! The metrics of a node arrive at a collector, with those of the program's own instruments.

use lattice_core::{Lattice, node::NodeOptions};
use lattice_otel::{Telemetry, observe, sink::Sink};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use std::time::Duration;

const TIME: Duration = Duration::from_secs(20);

/// Returns the metrics that have arrived, of all requests.
fn arrived(sink: &Sink) -> Vec<Metric> {
    let requests = sink.metrics().into_iter();
    let resources = requests.flat_map(|request| request.resource_metrics);
    let scopes = resources.flat_map(|resource| resource.scope_metrics);
    scopes.flat_map(|scope| scope.metrics).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_of_a_node_arrive_with_those_of_the_program() {
    let sink = Sink::start().await.expect("it listens");
    let telemetry = Telemetry::builder().endpoint(sink.url()).install();
    let guard = telemetry.expect("it is installed");
    let lattice = Lattice::in_memory("dev").await.expect("it opens");
    let options = NodeOptions::default().host("one").expect("valid");
    let node = lattice.node(options).await.expect("it joins");
    let observed = observe({
        let node = node.clone();
        move || Some(node.metrics())
    });
    guard.flush(TIME).await.expect("it is sent");
    let has_come = sink.wait(TIME, |sink| !sink.metrics().is_empty());
    assert!(has_come.await, "{} requests", sink.requests());
    let names: Vec<String> = arrived(&sink).into_iter().map(|one| one.name).collect();
    for name in [
        "lattice.observed",
        "lattice.host.uptime",
        "lattice.store.operation.duration",
    ] {
        assert!(names.iter().any(|one| one == name), "{name} in {names:?}");
    }
    drop(observed);
}
