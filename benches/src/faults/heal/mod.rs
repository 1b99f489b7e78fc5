//! Hosts keep an app running. With 64 calls in flight, one of three hosts is killed, all hosts are
//! restarted and the app is updated. Then the server goes down, and hosts are cut off from each
//! other.

mod apart;
mod away;

use crate::faults::{
    kill::Fates,
    mesh::Mesh,
    options::Options,
    report::{Bar, Report, note},
    traffic::{Kinds, Traffic},
    way::Echo,
};
use crate::{Failure, guests::Guest, native::ECHO, program::Program, summary::Row};
use bytes::Bytes;
use lattice_core::app::App;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};

const IN_FLIGHT: usize = 64;
const DEADLINE: Duration = Duration::from_secs(10);
const BODY: Bytes = Bytes::from_static(&[7; 16]);
const REPLICAS: usize = 2;
const TWO: &str = "replicas = 2";
const HOSTS: [&str; 3] = ["a", "b", "c"];
/// The links that calls use. Calls over `again`, half of them, may run twice.
const LINKS: [&str; 2] = ["once", "again"];
const AGAIN: usize = 1;
/// Far longer than any step here takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time until every host takes part in placement and nothing moves any more.
const SETTLED: Duration = Duration::from_secs(6);
const LOOK: Duration = Duration::from_millis(1);

pub(crate) async fn measure(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let mesh = Mesh::start().await?;
    let mut hosts = BTreeMap::new();
    for id in HOSTS {
        hosts.insert(id.to_owned(), mesh.host(id, &[]).await?);
    }
    mesh.link(LINKS[0], ECHO, "callee", &[]).await?;
    mesh.link(LINKS[AGAIN], ECHO, "callee", &["echo"]).await?;
    sleep(SETTLED).await;
    mesh.lattice.apply(&app(1, &["callee"], TWO)?).await?;
    until(|| serving(&mesh, "callee").len() == REPLICAS).await?;
    sleep(SETTLED).await;
    let echo = async |link| Ok::<_, Failure>(Arc::new(Echo::new(&mesh.lattice, link)?));
    let ways = [echo(LINKS[0]).await?, echo(LINKS[AGAIN]).await?];
    kill(&mesh, &mut hosts, &ways, options, report).await?;
    roll(&mesh, &mut hosts, &ways, options, report).await?;
    cold(&mesh, options, report).await?;
    drop((hosts, mesh));
    away::measure(options, report).await?;
    apart::measure(options, report).await
}

/// Kills one of the serving hosts and restarts it.
async fn kill(
    mesh: &Mesh,
    hosts: &mut BTreeMap<String, Program>,
    ways: &[Arc<Echo>],
    options: &Options,
    report: &mut Report,
) -> Result<(), Failure> {
    let (mut fates, mut longest) = (Fates::default(), Duration::ZERO);
    for round in 1..=options.length.pick(3, 1) {
        let victim = serving(mesh, "callee")
            .pop_first()
            .ok_or("no host serves it")?;
        let traffic = Traffic::start(ways, IN_FLIGHT, &BODY, DEADLINE);
        sleep(Duration::from_millis(500)).await;
        let killed = Instant::now();
        hosts
            .get_mut(&victim)
            .ok_or("it isn't one of our hosts")?
            .kill()
            .await?;
        until(|| {
            let now = serving(mesh, "callee");
            now.len() == REPLICAS && !now.contains(&victim)
        })
        .await?;
        let back = killed.elapsed();
        sleep(Duration::from_secs(2)).await;
        let stopped = Instant::now();
        let records = traffic.stop(Duration::from_secs(2)).await?;
        let round_fates = Fates::of(&records, AGAIN, killed, stopped);
        note(&format!(
            "heal, round {round}: all replicas back after {:.2} s; {round_fates}",
            back.as_secs_f64()
        ));
        fates.worst_of(round_fates);
        longest = longest.max(back);
        hosts.insert(victim.clone(), mesh.host(&victim, &[]).await?);
        sleep(SETTLED).await;
    }
    let failed = fates.idempotent_failed as f64;
    report.add(
        Row::new("heal.kill.idempotent_failed", failed, None, "calls"),
        Bar::AtMost(0.0),
    );
    let typed = fates.last.as_secs_f64() * 1e3;
    report.add(
        Row::new("heal.kill.typed_ms", typed, None, "ms"),
        Bar::AtMost(1_000.0),
    );
    report.add(
        Row::new("heal.kill.replicas_s", longest.as_secs_f64(), None, "s"),
        Bar::AtMost(5.0),
    );
    Ok(())
}

/// Restarts every host in turn, then updates the actor.
async fn roll(
    mesh: &Mesh,
    hosts: &mut BTreeMap<String, Program>,
    ways: &[Arc<Echo>],
    options: &Options,
    report: &mut Report,
) -> Result<(), Failure> {
    let traffic = Traffic::start(ways, IN_FLIGHT, &BODY, DEADLINE);
    let begun = Instant::now();
    let restarted = options.length.pick(HOSTS.len(), 1);
    for id in &HOSTS[..restarted] {
        let host = hosts.get_mut(*id).ok_or("it isn't one of our hosts")?;
        host.finish(PATIENCE).await?;
        hosts.insert((*id).to_owned(), mesh.host(id, &[]).await?);
        until(|| serving(mesh, "callee").len() >= REPLICAS).await?;
        sleep(SETTLED).await;
    }
    mesh.lattice.apply(&app(2, &["callee"], TWO)?).await?;
    // There are two replicas, and each new one has to serve for 5 s before the old one is stopped.
    sleep(Duration::from_secs(options.length.pick(20, 2))).await;
    let records = traffic.stop(Duration::from_secs(2)).await?;
    let failed = records
        .iter()
        .filter(|record| record.failed_after(begun))
        .count();
    note(&format!(
        "rolling, {} calls in {:.0} s: {}",
        records.len(),
        begun.elapsed().as_secs_f64(),
        Kinds::of(&records)
    ));
    report.add(
        Row::new("heal.rolling.calls", records.len() as f64, None, "calls"),
        Bar::None,
    );
    report.add(
        Row::new("heal.rolling.failed", failed as f64, None, "calls"),
        Bar::AtMost(0.0),
    );
    Ok(())
}

/// Applies an app with one more actor, whose component the hosts already have, and calls that
/// actor.
async fn cold(mesh: &Mesh, options: &Options, report: &mut Report) -> Result<(), Failure> {
    let mut took = Vec::new();
    let mut actors = vec!["callee".to_owned()];
    for round in 0..options.length.pick(20, 3) {
        let id = format!("cold-{round}");
        actors.push(id.clone());
        let ids: Vec<&str> = actors.iter().map(String::as_str).collect();
        let app = app(2, &ids, TWO)?;
        let begun = Instant::now();
        mesh.lattice.apply(&app).await?;
        timeout(PATIENCE, mesh.lattice.served(&id)).await??;
        let _: Bytes = mesh
            .lattice
            .operator()
            .component(id.as_str())
            .call(ECHO, "echo", (BODY,))
            .await?;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    let median = took.get(took.len() / 2).copied().unwrap_or_default();
    note(&format!(
        "cold: from {:.0} to {:.0} ms from the apply to the first reply",
        took.first().copied().unwrap_or_default().as_secs_f64() * 1e3,
        took.last().copied().unwrap_or_default().as_secs_f64() * 1e3
    ));
    report.add(
        Row::new("cold.apply_ms", median.as_secs_f64() * 1e3, None, "ms"),
        Bar::AtMost(150.0),
    );
    Ok(())
}

/// An app of echo actors. Each version is a new generation.
fn app(version: u32, actors: &[&str], replicas: &str) -> Result<App, Failure> {
    let image = Guest::Callee.path()?;
    let mut text = "name = \"heal\"\n".to_owned();
    for id in actors {
        writeln!(
            text,
            "[actors.{id}]\nimage = \"file:{}\"\n{replicas}\ninstance = \"warm\"\nconfig = {{ version = \"{version}\" }}",
            image.display()
        )?;
    }
    Ok(App::from_toml("heal.toml", &text)?)
}

/// The hosts that serve a component.
pub(in crate::faults) fn serving(mesh: &Mesh, component: &str) -> BTreeSet<String> {
    let peers = mesh.lattice.peers();
    let serves = peers.iter().filter(|peer| {
        let mut ids = peer.components.keys();
        ids.any(|id| id.as_str() == component)
    });
    serves.map(|peer| peer.origin.host.to_string()).collect()
}

/// Waits until `holds` returns true.
pub(in crate::faults) async fn until(mut holds: impl FnMut() -> bool) -> Result<(), Failure> {
    let waited = async {
        while !holds() {
            sleep(LOOK).await;
        }
    };
    Ok(timeout(PATIENCE, waited)
        .await
        .map_err(|_| "the hosts did not reach the expected state in time")?)
}
