//! Hosts are cut off from each other. A component that may run only once never runs twice.

use super::{SETTLED, until};
use crate::faults::{
    host::{HELD, POLL},
    local::LEDGER,
    mesh::Mesh,
    options::Options,
    report::{Bar, Report, note},
};
use crate::{Failure, native::ECHO, program::Program, proxy::Proxy, summary::Row};
use bytes::Bytes;
use lattice_core::{app::App, name::ComponentId};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tokio::time::sleep;

const HOSTS: [&str; 5] = ["a", "b", "c", "d", "e"];
const PATIENCE: Duration = Duration::from_secs(10);
/// Longer than a lease.
const APART: Duration = Duration::from_secs(9);

struct Host {
    program: Program,
    way: Proxy,
}

pub(super) async fn measure(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let mesh = Mesh::start().await?;
    let mut hosts = BTreeMap::new();
    for id in HOSTS {
        let way = Proxy::before(&mesh.server.url).await?;
        let program = mesh.host_by(id, &way.url).await?;
        hosts.insert(id.to_owned(), Host { program, way });
    }
    sleep(SETTLED).await;
    let app =
        format!("name = \"once\"\n[providers.{LEDGER}]\nbuiltin = \"{LEDGER}\"\nrun = \"once\"\n");
    mesh.lattice
        .apply(&App::from_toml("once.toml", &app)?)
        .await?;
    until(|| holder(&mesh).is_some()).await?;
    for host in hosts.values_mut() {
        host.program.ask(POLL, PATIENCE).await?;
    }
    for _ in 0..options.length.pick(3, 1) {
        // Each holder replies once at least, so that its time is recorded.
        replies(&mesh).await?;
        let before = holder(&mesh).ok_or("no host holds the lease")?;
        // The holder and one other host are on the side without the server.
        let other = HOSTS.iter().find(|id| **id != before).copied();
        let cut = [Some(before.as_str()), other];
        for id in cut.into_iter().flatten() {
            hosts.get(id).ok_or("it isn't one of our hosts")?.way.cut();
        }
        until(|| holder(&mesh).is_some_and(|now| now != before)).await?;
        replies(&mesh).await?;
        sleep(APART).await;
        for id in cut.into_iter().flatten() {
            hosts.get(id).ok_or("it isn't one of our hosts")?.way.heal();
        }
        // The component returns to the host where it was, which is the one that placement prefers.
        until(|| holder(&mesh).as_ref() == Some(&before)).await?;
        sleep(SETTLED).await;
    }
    replies(&mesh).await?;
    let mut held = Vec::new();
    for (id, host) in &mut hosts {
        let times = host.program.ask(HELD, PATIENCE).await?;
        for stretch in times.split_whitespace() {
            let (first, last) = stretch.split_once('-').ok_or("a stretch has two ends")?;
            held.push((id.clone(), first.parse::<u64>()?, last.parse::<u64>()?));
        }
    }
    held.sort_by_key(|(_, first, _)| *first);
    let twice = held.iter().enumerate().filter(|(at, (_, first, _))| {
        let mut before = held[..*at].iter();
        before.any(|(_, _, last)| last >= first)
    });
    let twice = twice.count();
    note(&format!(
        "apart: the lease was held {} times, by {:?}",
        held.len(),
        held.iter().map(|(id, ..)| id.as_str()).collect::<Vec<_>>()
    ));
    if held.len() < 2 {
        return Err("the lease never moved, so nothing was tested".into());
    }
    report.add(
        Row::new(
            "heal.partition.double_holders",
            twice as f64,
            None,
            "moments",
        ),
        Bar::AtMost(0.0),
    );
    Ok(())
}

/// Calls the single-instance component until it replies, because it may be moving to another host.
async fn replies(mesh: &Mesh) -> Result<(), Failure> {
    let (body, begun) = (Bytes::from_static(b"one again"), Instant::now());
    loop {
        let call =
            mesh.lattice
                .operator()
                .component(LEDGER)
                .call::<Bytes>(ECHO, "echo", (body.clone(),));
        match call.await {
            Ok(answered) if answered == body => return Ok(()),
            Ok(_) => return Err("the single-instance component returned something else".into()),
            Err(error) if begun.elapsed() > PATIENCE => return Err(error.into()),
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

fn holder(mesh: &Mesh) -> Option<String> {
    let id = ComponentId::new(LEDGER).ok()?;
    let peers = mesh.lattice.peers();
    Some(peers.serving(&id).first()?.host.to_string())
}
