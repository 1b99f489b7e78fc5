//! Calls between components of one host.

use crate::load::requests::Driven;
use crate::{
    Failure,
    bars::Bar,
    baseline::{Answers, Callers, Code},
    scene::{Callee, Scene},
};
use bytes::Bytes;
use lattice_benches_common::{
    cell::{Cell, cells},
    compare::{Side, by_calls, by_loops},
    measure::{Calls, Loops},
    report::Report,
    summary::Row,
};
use lattice_host::Instances;

const PROVIDER: &str = "local.provider";
const WARM: &str = "local.actor.warm";
const FRESH: &str = "local.actor.fresh";

const SMALL: usize = 16;
const LARGE: usize = 64 << 10;

pub(crate) async fn compare(report: &mut Report) -> Result<(), Failure> {
    let paths = [
        (PROVIDER, Callee::Provider, Answers::HostFunction),
        (WARM, Callee::Actor(Instances::warm()), Answers::Warm),
        (FRESH, Callee::Actor(Instances::Fresh), Answers::Fresh),
    ];
    for (path, callee, answers) in paths {
        let cells = report.wanted(cells(path, &[1, 64, 256], &[SMALL, 1 << 10, LARGE]));
        if cells.is_empty() {
            continue;
        }
        let ours = Side::here(Driven(Scene::start(callee).await?));
        let code = tokio::task::spawn_blocking(Code::new).await??;
        let baseline = Side::here(Baseline(Callers::start(&code, answers).await?));
        for cell in cells {
            match cell.in_flight {
                1 => by_loops(report, cell, &ours, &baseline).await?,
                _ => by_calls(report, cell, &ours, &baseline).await?,
            }
        }
    }
    if let Some(row) = added_by_size(report) {
        report.add_row(row, Bar::None);
    }
    Ok(())
}

/// Returns the additional time of 64 KiB compared with 16 B, between warm actors.
fn added_by_size(report: &Report) -> Option<Row> {
    let pair = |size| {
        report.pair(Cell {
            path: WARM,
            in_flight: 1,
            size,
        })
    };
    let (small, large) = (pair(SMALL)?, pair(LARGE)?);
    let ours = large.ours.p50 - small.ours.p50;
    let baseline = large.baseline.p50 - small.baseline.p50;
    Some(Row::new("local.actor.64KiB", ours, Some(baseline), "µs"))
}

struct Baseline(Callers);

impl Loops for Baseline {
    async fn run(&self, calls: u32, size: u32) -> Result<u64, Failure> {
        self.0.run(calls, size).await
    }
}

impl Calls for Baseline {
    async fn call(&self, task: usize, body: &Bytes) -> Result<usize, Failure> {
        Ok(self.0.relay(task, body.to_vec()).await?.len())
    }
}
