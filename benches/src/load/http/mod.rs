//! Requests through a wormhole.
//!
//! | row | ours | baseline |
//! | --- | --- | --- |
//! | `http.local.rate` | requests/s of an actor on the ingress' own host, 64 connections, WASI 0.2, a fresh instance each | the same guest in `wasmtime_wasi_http`'s `ProxyHandler` |
//! | `http.local.p3.rate` | the same, WASI 0.3, shared instances | the same guest, 128 requests for each instance and 16 of them at a time |
//! | `http.remote.rate` | the same as `http.local.rate`, on another host | requests/s of one after the other: the `ProxyHandler`, and a request of bare async-nats |
//! | `http.remote.added_p50` | how much larger the p50 of one connection is for the remote actor | the p50 of a request of bare async-nats |
//! | `http.body.rate` | a body of 1 GiB to a remote actor, which sends it back | messages of 64 KiB to another process and back, by bare async-nats |
//! | `http.body.growth_MiB` | meanwhile: the memory that the process which grows most takes in addition | none |
//!
//! Ingress and actors, and each baseline, are processes of their own. The client is this process.
//! All sides are measured in turns.

mod body;
mod processes;

pub(crate) use processes::{far, near, proxy};

use crate::load::requests::Requests;
use crate::{
    Failure,
    bars::Bar,
    guests::Guest,
    http::{Gets, HELLO},
    summary::Row,
};
use lattice_benches_common::{
    cell::{Cell, cells},
    compare::{Side, by_calls, in_turns},
    cpu::Processes,
    report::Report,
};
use processes::{FAR, Lone, NEAR, NEAR_P3, Scene};
use std::{net::SocketAddr, sync::Arc};

const LOCAL: &str = "http.local";
const LOCAL_P3: &str = "http.local.p3";
const REMOTE: &str = "http.remote.rate";
const ADDED: &str = "http.remote.added_p50";

/// Connections, each with one request at a time.
const CONNECTIONS: usize = 64;

pub(crate) async fn compare(report: &mut Report) -> Result<(), Failure> {
    let local = wanted(report, LOCAL);
    let local_p3 = wanted(report, LOCAL_P3);
    let others = [REMOTE, ADDED, body::RATE, body::GROWTH];
    if local.is_none() && local_p3.is_none() && !others.iter().any(|row| report.wants(row)) {
        return Ok(());
    }
    let scene = Scene::start().await?;
    if let Some(cell) = local {
        let baseline = Lone::start(&scene, Guest::HttpHello).await?;
        let ours = ours(&scene, NEAR, CONNECTIONS).await?;
        by_calls(report, cell, &ours, &baseline.side().await?).await?;
    }
    if let Some(cell) = local_p3 {
        match Guest::HttpHelloP3.path() {
            Ok(_) => {
                let baseline = Lone::start(&scene, Guest::HttpHelloP3).await?;
                let ours = ours(&scene, NEAR_P3, CONNECTIONS).await?;
                by_calls(report, cell, &ours, &baseline.side().await?).await?;
            }
            Err(missing) => println!("{LOCAL_P3} is skipped: {missing}"),
        }
    }
    if report.wants(REMOTE) {
        remote(report, &scene).await?;
    }
    if report.wants(ADDED) {
        added(report, &scene).await?;
    }
    if report.wants(body::RATE) || report.wants(body::GROWTH) {
        body::compare(report, &scene).await?;
    }
    Ok(())
}

/// Returns the one cell of this path, if it was requested.
fn wanted(report: &Report, path: &'static str) -> Option<Cell> {
    let cells = cells(path, &[CONNECTIONS], &[HELLO.len()]);
    report.wanted(cells).pop()
}

/// Returns connections to the ingress, for requests of this host name.
async fn ours(scene: &Scene, host: &str, connections: usize) -> Result<Side<Gets>, Failure> {
    let processes = Processes::own().and(scene.near.program.id()?);
    side(scene.ingress()?, host, connections, processes).await
}

async fn side(
    address: SocketAddr,
    host: &str,
    connections: usize,
    processes: Processes,
) -> Result<Side<Gets>, Failure> {
    Ok(Side {
        calls: Arc::new(Gets::open(address, host, connections).await?),
        processes,
    })
}

async fn remote(report: &mut Report, scene: &Scene) -> Result<(), Failure> {
    let cell = Cell {
        path: REMOTE,
        in_flight: CONNECTIONS,
        size: HELLO.len(),
    };
    let lone = Lone::start(scene, Guest::HttpHello).await?;
    let (far, alone) = (ours(scene, FAR, CONNECTIONS).await?, lone.side().await?);
    let bare = Side::here(Requests(scene.bare.clone()));
    let [far, alone, bare] = in_turns(report, cell, &far, &alone, &bare).await?;
    let one_after_the_other = 1.0 / (1.0 / alone.rate + 1.0 / bare.rate);
    report.add_row(
        Row::new(REMOTE, far.rate, Some(one_after_the_other), "calls/s"),
        Bar::RatioAtLeast(0.9),
    );
    Ok(())
}

async fn added(report: &mut Report, scene: &Scene) -> Result<(), Failure> {
    let cell = Cell {
        path: ADDED,
        in_flight: 1,
        size: HELLO.len(),
    };
    let (far, near) = (ours(scene, FAR, 1).await?, ours(scene, NEAR, 1).await?);
    let bare = Side::here(Requests(scene.bare.clone()));
    let [far, near, bare] = in_turns(report, cell, &far, &near, &bare).await?;
    report.add_row(
        Row::new(ADDED, far.p50 - near.p50, Some(bare.p50), "µs"),
        Bar::Ratio(2.0),
    );
    Ok(())
}
