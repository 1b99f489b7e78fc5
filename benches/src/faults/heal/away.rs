//! The server is down for a while. Every host continues with the state that it has.

use super::{SETTLED, app, until};
use crate::faults::{
    host::{COMPONENTS, LOCAL, RESULTS},
    local::LINK,
    mesh::Mesh,
    options::Options,
    report::{Bar, Report, note},
    way::DRIVER,
};
use crate::{Failure, native::ECHO, program::Program, summary::Row};
use lattice_core::{
    link::{Link, Locality},
    name::ComponentId,
};
use std::time::{Duration, Instant};
use tokio::time::sleep;

const HOSTS: [&str; 3] = ["a", "b", "c"];
/// How long to wait for a host's reply to a question.
const PATIENCE: Duration = Duration::from_secs(10);
/// Growth above this can't be explained by the allocator.
const FLAT_KIB: u64 = 4 << 10;

pub(super) async fn measure(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let mut mesh = Mesh::start().await?;
    let mut hosts = Vec::new();
    for id in HOSTS {
        hosts.push(mesh.host(id, &[]).await?);
    }
    let link = Link::new(DRIVER, ECHO, "callee")?
        .named(LINK)?
        .locality(Locality::LocalOnly);
    mesh.lattice.links().put(link).await?;
    sleep(SETTLED).await;
    let everywhere = "replicas = \"per-host\"";
    mesh.lattice
        .apply(&app(1, &["callee"], everywhere)?)
        .await?;
    until(|| serving(&mesh, "callee") == HOSTS.len()).await?;
    sleep(SETTLED).await;

    let mut components = 0;
    for host in &mut hosts {
        host.ask(LOCAL, PATIENCE).await?;
        components += count(host).await?;
    }
    mesh.server.kill().await?;
    sleep(Duration::from_secs(options.length.pick(60, 4))).await;
    let (mut failed, mut grown) = (0, 0);
    for host in &mut hosts {
        let results = host.ask(RESULTS, PATIENCE).await?;
        note(&format!(
            "no server: calls that succeeded, that failed, growth in KiB: {results}"
        ));
        let numbers: Vec<u64> = results
            .split(' ')
            .map_while(|word| word.parse().ok())
            .collect();
        let [answered, without, more] = numbers[..] else {
            return Err(format!("a host replied `{results}`").into());
        };
        if answered == 0 {
            return Err("a host made no local calls, so that none could fail".into());
        }
        failed += without;
        grown = grown.max(more);
        components -= count(host).await?;
    }
    mesh.server.restart().await?;
    let begun = Instant::now();
    until(|| mesh.lattice.peers().iter().count() >= HOSTS.len()).await?;
    // When every host acts on the new declaration, the lattice has recovered.
    let app = app(1, &["callee", "after"], everywhere)?;
    while let Err(error) = mesh.lattice.apply(&app).await {
        tracing(&error, begun)?;
        sleep(Duration::from_millis(50)).await;
    }
    until(|| serving(&mesh, "after") == HOSTS.len()).await?;
    let converged = begun.elapsed();
    let lost = failed as f64 + components as f64;
    report.add(
        Row::new("heal.bus_down.local_failed", lost, None, "calls"),
        Bar::AtMost(0.0),
    );
    report.add(
        Row::new("heal.bus_down.grown_KiB", grown as f64, None, "KiB"),
        Bar::AtMost(FLAT_KIB as f64),
    );
    report.add(
        Row::new(
            "heal.bus_down.converged_s",
            converged.as_secs_f64(),
            None,
            "s",
        ),
        Bar::AtMost(5.0),
    );
    Ok(())
}

/// The store may take a moment to return. Fails when it takes much longer.
fn tracing(error: &dyn std::error::Error, begun: Instant) -> Result<(), Failure> {
    if begun.elapsed() < PATIENCE {
        return Ok(());
    }
    Err(format!("nothing can be applied after the server is back: {error}").into())
}

async fn count(host: &mut Program) -> Result<i64, Failure> {
    Ok(host.ask(COMPONENTS, PATIENCE).await?.parse()?)
}

fn serving(mesh: &Mesh, component: &str) -> usize {
    let Ok(id) = ComponentId::new(component) else {
        return 0;
    };
    mesh.lattice.peers().serving(&id).len()
}
