//! All hosts, each of which has an ingress and takes replicas of the actor, are restarted in turn,
//! and the actor is updated, while clients load.

use super::{CONNECTIONS, DEADLINE, HELLO, INGRESS, address, answered, open};
use crate::faults::{
    heal::{serving, until},
    mesh::Mesh,
    options::Options,
    report::{Bar, Report, note},
    traffic::{Kinds, Traffic},
};
use crate::{Failure, guests::Guest, http::Pool, summary::Row};
use bytes::Bytes;
use lattice_core::app::App;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::sleep;

const HOSTS: [&str; 3] = ["a", "b", "c"];
const REPLICAS: usize = 2;
/// Far longer than a host takes to leave.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time until every host takes part in placement and nothing moves any more.
const SETTLED: Duration = Duration::from_secs(6);

pub(super) async fn measure(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let mesh = Mesh::start().await?;
    let (mut hosts, mut addresses) = (Vec::new(), Vec::new());
    for id in HOSTS {
        let mut host = mesh.host(id, &[INGRESS]).await?;
        addresses.push(address(&mut host).await?);
        hosts.push(host);
    }
    sleep(SETTLED).await;
    mesh.lattice.apply(&app(1)?).await?;
    until(|| serving(&mesh, HELLO).len() == REPLICAS).await?;
    open(&mesh).await?;
    for address in &addresses {
        answered(*address).await?;
    }
    sleep(SETTLED).await;

    let pool = Arc::new(Pool::new(addresses.clone(), HELLO));
    let ways = [pool.clone()];
    let traffic = Traffic::start(&ways, CONNECTIONS, &Bytes::new(), DEADLINE);
    let begun = Instant::now();
    let restarted = options.length.pick(HOSTS.len(), 1);
    for number in 0..restarted {
        hosts[number].finish(PATIENCE).await?;
        hosts[number] = mesh.host(HOSTS[number], &[INGRESS]).await?;
        let new = address(&mut hosts[number]).await?;
        pool.replace(addresses[number], new);
        addresses[number] = new;
        until(|| serving(&mesh, HELLO).len() >= REPLICAS).await?;
        sleep(SETTLED).await;
    }
    mesh.lattice.apply(&app(2)?).await?;
    // Each new replica has to serve for 5 s before the old one is stopped.
    sleep(Duration::from_secs(options.length.pick(20, 2))).await;
    let records = traffic.stop(Duration::from_secs(2)).await?;
    let failed = records
        .iter()
        .filter(|record| record.failed_after(begun))
        .count();
    note(&format!(
        "http.rolling, {} requests in {:.0} s: {}",
        records.len(),
        begun.elapsed().as_secs_f64(),
        Kinds::of(&records)
    ));
    report.add(
        Row::new(
            "http.rolling.requests",
            records.len() as f64,
            None,
            "requests",
        ),
        options.length.pick(Bar::AtLeast(1e5), Bar::None),
    );
    report.add(
        Row::new("http.rolling.failed", failed as f64, None, "requests"),
        Bar::AtMost(0.0),
    );
    Ok(())
}

/// An app of the actor. Each version is a new generation.
fn app(version: u32) -> Result<App, Failure> {
    let text = format!(
        "name = \"world\"\n[actors.{HELLO}]\nimage = \"file:{}\"\nreplicas = {REPLICAS}\nconfig = {{ version = \"{version}\" }}",
        Guest::HttpHello.path()?.display()
    );
    Ok(App::from_toml("world.toml", &text)?)
}
