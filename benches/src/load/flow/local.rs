//! Streams and resources between actors of one host.

use super::{Rates, all, rate};
use crate::load::requests::Driven;
use crate::{
    Failure,
    bars::Bar,
    flow::{FlowScene, RunClient},
    scene::{Callee, Scene},
    summary::Row,
};
use lattice_benches_common::{
    compare::WARM_UP,
    cpu::Processes,
    figures::{Figures, median},
    measure::{self, Loops, Round},
    report::Report,
};
use lattice_core::client::Caller;
use lattice_host::Instances;
use std::time::Duration;

const BYTES: &str = "stream.local.GiBps";
const RECORDS: &str = "stream.local.record.ns";
const METHOD: &str = "resource.method.local";

/// Bytes of one stream, and of one write.
const STREAM: u64 = 256 << 20;
const WRITE: u32 = 64 << 10;
/// Readings of one stream and of one list, and of one write.
const READINGS: u32 = 10_000;
const BATCH: u32 = 1_000;
/// Bytes that a method gets and returns.
const BODY: usize = 16;
/// The deadline of a call that passes a stream.
const LONG: Duration = Duration::from_mins(1);

pub(super) async fn compare(report: &mut Report) -> Result<(), Failure> {
    if ![BYTES, RECORDS, METHOD].iter().any(|row| report.wants(row)) {
        return Ok(());
    }
    let scene = FlowScene::start().await?;
    if report.wants(BYTES) {
        bytes(report, scene.run()).await?;
    }
    if report.wants(RECORDS) {
        records(report, scene.run()).await?;
    }
    if report.wants(METHOD) {
        method(report, &scene).await?;
    }
    Ok(())
}

async fn bytes(report: &mut Report, run: &RunClient<Caller>) -> Result<(), Failure> {
    let mut rates = Vec::new();
    for _ in 0..report.rounds() {
        let once = || async move { all(run.bytes(STREAM, WRITE).timeout(LONG).await?, STREAM) };
        rates.push(rate(report.time(), once).await?);
    }
    let gib = median(rates.into_iter()) / f64::from(1 << 30);
    report.add_row(Row::new(BYTES, gib, None, "GiB/s"), Bar::AtLeast(5.0));
    Ok(())
}

async fn records(report: &mut Report, run: &RunClient<Caller>) -> Result<(), Failure> {
    let mut rates = Rates::default();
    let count = u64::from(READINGS);
    for _ in 0..report.rounds() {
        let stream =
            || async move { all(run.readings(READINGS, BATCH).timeout(LONG).await?, count) };
        let list = || async move { all(run.listed(READINGS).timeout(LONG).await?, count) };
        rates.ours.push(rate(report.time(), stream).await?);
        rates.baseline.push(rate(report.time(), list).await?);
    }
    let (ours, baseline) = rates.medians();
    report.add_row(
        Row::new(RECORDS, 1e9 / ours, Some(1e9 / baseline), "ns"),
        Bar::Ratio(2.0),
    );
    Ok(())
}

async fn method(report: &mut Report, scene: &FlowScene) -> Result<(), Failure> {
    let ours = Methods(scene.run());
    let baseline = Driven(Scene::start(Callee::Actor(Instances::warm())).await?);
    let (mut of_ours, mut of_baseline) = (Vec::new(), Vec::new());
    for _ in 0..report.rounds() {
        of_ours.push(round(&ours, report.time()).await?);
        of_baseline.push(round(&baseline, report.time()).await?);
    }
    let (ours, baseline) = (Figures::of(&of_ours).p50, Figures::of(&of_baseline).p50);
    report.add_row(
        Row::new(METHOD, ours, Some(baseline), "µs"),
        Bar::Ratio(1.5),
    );
    Ok(())
}

async fn round(side: &impl Loops, time: Duration) -> Result<Round, Failure> {
    let processes = Processes::own();
    measure::loops(side, BODY, time / WARM_UP, &processes).await?;
    measure::loops(side, BODY, time, &processes).await
}

/// Methods of a resource.
struct Methods<'a>(&'a RunClient<Caller>);

impl Loops for Methods<'_> {
    async fn run(&self, calls: u32, size: u32) -> Result<u64, Failure> {
        Ok(self.0.methods(calls, size).await?)
    }
}
