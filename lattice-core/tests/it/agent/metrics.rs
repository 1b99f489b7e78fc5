//! Placement and leases in the metrics of a host.

use super::*;
use lattice_core::telemetry::Metrics;

fn metrics(host: &Host) -> Metrics {
    let mut metrics = host.node.metrics();
    host.agent.add_metrics(&mut metrics);
    metrics
}

fn replicas(host: &Host, state: &str) -> Option<f64> {
    let of = [
        ("lattice.component", "greeter"),
        ("lattice.replica.state", state),
    ];
    metrics(host).total("lattice.placement.replicas", &of)
}

#[tokio::test(start_paused = true)]
async fn replicas_are_wanted_served_and_failed() {
    let mesh = Mesh::new().await;
    let [host] = mesh.hosts().await;
    assert_eq!(replicas(&host, "wanted"), None);
    mesh.apply(&greeter("good:1", 2)).await;
    let counts = || ["wanted", "serving", "failed"].map(|state| replicas(&host, state));
    let serves = || counts() == [2.0, 2.0, 0.0].map(Some);
    mesh.until("both serve", serves).await;
    assert!(
        metrics(&host)
            .total("lattice.placement.plan.duration", &[])
            .is_some()
    );

    let mesh = Mesh::new().await;
    let [host] = mesh.hosts().await;
    mesh.record.trouble("bad", Trouble::Broken);
    mesh.apply(&greeter("bad:1", 1)).await;
    let fails = || replicas(&host, "failed") == Some(1.0);
    mesh.until("it fails again and again", fails).await;
    assert_eq!(replicas(&host, "serving"), Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_counted_while_it_is_held() {
    let mesh = Mesh::new().await;
    let [host] = mesh.hosts().await;
    let leases = || metrics(&host).total("lattice.placement.leases", &[]);
    assert_eq!(leases(), Some(0.0));
    let once = "name = \"clock\"\n[providers.tick]\nbuiltin = \"ledger\"\nrun = \"once\"\n";
    mesh.apply(once).await;
    mesh.until("it is held", || leases() == Some(1.0)).await;
}
