//! Streams and large arguments over NATS to another process.

use super::{Rates, all, rate};
use crate::load::{
    options::Responder,
    requests::{Direct, Requests},
    responder::BULK,
};
use crate::{
    Failure, bare,
    bars::Bar,
    bulk::Publisher,
    flow::{self, RunClient},
    native::{ECHO, EchoClient, INTAKE, IntakeClient},
    program::START,
    responder::{self, LATTICE, Other},
    server::Server,
    summary::Row,
};
use bytes::Bytes;
use lattice_benches_common::{
    compare::WARM_UP,
    cpu::Processes,
    figures::median,
    measure::{self, Calls},
    report::Report,
};
use lattice_core::{Lattice, auth::LatticeKey, client::Caller, link::Link};
use lattice_host::Host;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::task::AbortOnDropHandle;

const STREAM: &str = "stream.nats.rate";
const BESIDE: &str = "stream.nats.beside_p99";
const LARGE: &str = "call.large.rate";

/// Bytes of one stream, and of the messages that it is compared with.
const BYTES: u64 = 64 << 20;
/// Bytes of one write.
const WRITE: u32 = 64 << 10;
/// Bytes of one large argument.
const ARGUMENT: usize = 16 << 20;
/// Bytes of a small call.
const SMALL: usize = 16;
/// The deadline of a call that takes a stream or a large argument.
const LONG: Duration = Duration::from_mins(1);

pub(super) async fn compare(report: &mut Report) -> Result<(), Failure> {
    if ![STREAM, BESIDE, LARGE].iter().any(|row| report.wants(row)) {
        return Ok(());
    }
    let server = Server::start().await?;
    let key = LatticeKey::generate();
    let processes = [
        responder::start(Responder::Sink.name(), &server, &key).await?,
        responder::start(Responder::Drain.name(), &server, &key).await?,
    ];
    let ours = Ours::start(&server.url, key, processes).await?;
    let baseline = bare::connect(&server.url).await?;
    if report.wants(STREAM) {
        let row = streams(report, &ours, &baseline).await?;
        report.add_row(row, Bar::RatioAtLeast(0.8));
    }
    if report.wants(BESIDE) {
        let row = beside(report, &ours, &baseline).await?;
        report.add_row(row, Bar::Ratio(0.4));
    }
    if report.wants(LARGE) {
        let row = large(report, &ours, &baseline).await?;
        report.add_row(row, Bar::RatioAtLeast(0.7));
    }
    Ok(())
}

/// This process in the lattice, with the actor that writes.
struct Ours {
    run: RunClient<Caller>,
    small: Arc<Direct>,
    intake: IntakeClient<Caller>,
    _host: Host,
    _lattice: Lattice,
    _processes: [Other; 2],
}

impl Ours {
    async fn start(url: &str, key: LatticeKey, processes: [Other; 2]) -> Result<Self, Failure> {
        let lattice = Lattice::connect(url, LATTICE).key(key).await?;
        let host = Host::builder(&lattice)
            .actor("source", flow::source()?)
            .start()
            .await?;
        flow::link(&lattice).await?;
        for (interface, target) in [(ECHO, "callee"), (INTAKE, "intake")] {
            let link = Link::new("driver", interface, target)?;
            lattice.links().put(link).await?;
        }
        for component in ["sink", "callee", "intake"] {
            timeout(START, lattice.served(component)).await??;
        }
        let driver = host.node().caller("driver")?;
        Ok(Self {
            run: RunClient::new(driver.clone()),
            small: Arc::new(Direct(EchoClient::new(driver.clone()))),
            intake: IntakeClient::new(driver),
            _host: host,
            _lattice: lattice,
            _processes: processes,
        })
    }
}

async fn streams(
    report: &Report,
    ours: &Ours,
    baseline: &async_nats::Client,
) -> Result<Row, Failure> {
    let mut rates = Rates::default();
    let run = &ours.run;
    for _ in 0..report.rounds() {
        rates.ours.push(rate(report.time(), || stream(run)).await?);
        rates.baseline.push(publish(report, baseline).await?);
    }
    Ok(row(STREAM, rates))
}

async fn large(
    report: &Report,
    ours: &Ours,
    baseline: &async_nats::Client,
) -> Result<Row, Failure> {
    let mut rates = Rates::default();
    let (intake, body) = (&ours.intake, &Bytes::from(vec![7; ARGUMENT]));
    for _ in 0..report.rounds() {
        let call = || async move { all(intake.take(body).timeout(LONG).await?, ARGUMENT as u64) };
        rates.ours.push(rate(report.time(), call).await?);
        rates.baseline.push(publish(report, baseline).await?);
    }
    Ok(row(LARGE, rates))
}

fn row(name: &str, rates: Rates) -> Row {
    let mib = f64::from(1 << 20);
    let (ours, baseline) = rates.medians();
    Row::new(name, ours / mib, Some(baseline / mib), "MiB/s")
}

/// Passes one stream.
async fn stream(run: &RunClient<Caller>) -> Result<u64, Failure> {
    all(run.bytes(BYTES, WRITE).timeout(LONG).await?, BYTES)
}

/// Measures the messages of the baseline.
async fn publish(report: &Report, client: &async_nats::Client) -> Result<f64, Failure> {
    let mut publisher = Publisher::new(client, BULK).await?;
    let started = Instant::now();
    while started.elapsed() < report.time() / WARM_UP {
        publisher.publish(BYTES).await?;
    }
    let (started, mut moved) = (Instant::now(), 0);
    while started.elapsed() < report.time() {
        moved += publisher.publish(BYTES).await?;
    }
    Ok(moved as f64 / started.elapsed().as_secs_f64())
}

/// Measures small calls while a stream, or messages, take all that the connection has.
async fn beside(
    report: &Report,
    ours: &Ours,
    baseline: &async_nats::Client,
) -> Result<Row, Failure> {
    let requests = Arc::new(Requests(baseline.clone()));
    let (mut of_ours, mut of_baseline) = (Vec::new(), Vec::new());
    for _ in 0..report.rounds() {
        let bulk = tokio::spawn(stream_again(ours.run.clone()));
        of_ours.push(p99(report, &ours.small, bulk).await?);
        let publisher = Publisher::new(baseline, BULK).await?;
        let bulk = tokio::spawn(publish_again(publisher));
        of_baseline.push(p99(report, &requests, bulk).await?);
    }
    let (ours, baseline) = (median(of_ours.into_iter()), median(of_baseline.into_iter()));
    Ok(Row::new(BESIDE, ours, Some(baseline), "µs"))
}

async fn stream_again(run: RunClient<Caller>) -> Failure {
    loop {
        if let Err(failure) = stream(&run).await {
            return failure;
        }
    }
}

async fn publish_again(mut publisher: Publisher) -> Failure {
    loop {
        if let Err(failure) = publisher.publish(BYTES).await {
            return failure;
        }
    }
}

/// Returns the p99 of small calls while `bulk` runs, and ends it.
async fn p99<C: Calls>(
    report: &Report,
    small: &Arc<C>,
    bulk: JoinHandle<Failure>,
) -> Result<f64, Failure> {
    let bulk = AbortOnDropHandle::new(bulk);
    let round =
        |time| async move { measure::calls(small, 1, SMALL, time, &Processes::own()).await };
    round(report.time() / WARM_UP).await?;
    let measured = round(report.time()).await?;
    if bulk.is_finished() {
        return Err(bulk.await?);
    }
    Ok(measured.quantile(0.99).as_secs_f64() * 1e6)
}
