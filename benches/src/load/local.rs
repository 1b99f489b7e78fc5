//! Calls between components of one host.

use crate::load::{
    cell::Path,
    compare::{Side, by_calls, by_loops},
    measure::{Calls, Loops},
    report::Report,
};
use crate::{
    Failure,
    baseline::{Answers, Callers, Code},
    scene::{Callee, Scene},
};
use bytes::Bytes;
use lattice_host::Instances;

pub(crate) async fn compare(report: &mut Report) -> Result<(), Failure> {
    let paths = [
        (Path::Provider, Callee::Provider, Answers::HostFunction),
        (
            Path::ActorWarm,
            Callee::Actor(Instances::warm()),
            Answers::Warm,
        ),
        (
            Path::ActorFresh,
            Callee::Actor(Instances::Fresh),
            Answers::Fresh,
        ),
    ];
    for (path, callee, answers) in paths {
        let cells = report.wanted(path);
        if cells.is_empty() {
            continue;
        }
        let ours = Side::here(Ours(Scene::start(callee).await?));
        let code = tokio::task::spawn_blocking(Code::new).await??;
        let baseline = Side::here(Baseline(Callers::start(&code, answers).await?));
        for cell in cells {
            match cell.in_flight {
                1 => by_loops(report, cell, &ours, &baseline).await?,
                _ => by_calls(report, cell, &ours, &baseline).await?,
            }
        }
    }
    Ok(())
}

struct Ours(Scene);

impl Loops for Ours {
    async fn run(&self, calls: u32, size: u32) -> Result<u64, Failure> {
        Ok(self.0.drive().run(calls, size).await?)
    }
}

impl Calls for Ours {
    async fn call(&self, _: usize, body: &Bytes) -> Result<usize, Failure> {
        Ok(self.0.drive().relay(body).await?.len())
    }
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
