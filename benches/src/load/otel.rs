//! What telemetry costs: the same calls between two actors of a host, in three processes.
//!
//! | process | subscriber | spans |
//! | --- | --- | --- |
//! | `otel-none` | none, as in a program that sets none up | none |
//! | `otel-off` | that of `lattice up` without a collector: its log, at `info` | none |
//! | `otel-sampled` | that of `lattice up` with a collector | those of 1 % of the traces |
//!
//! `otel.off` compares the second process with the first, and `otel.sampled` the third with the
//! first. All of them contain the crate `lattice-mesh-otel`; the core has no feature for
//! telemetry, only spans that ask whether a subscriber wants them. The CPU time is that of the
//! process with the host, its thread that sends to the collector included. The collector is in the
//! program that measures, and isn't counted. A loop of calls is one trace, so that a hundredth of
//! the loops have spans, two for each call, and the decision is made once for a loop.

use crate::load::{options::Responder, requests::Driven};
use crate::{
    Failure,
    program::Program,
    responder::{RESPOND, end_of_input, ready_at},
    scene::{Callee, Scene},
};
use lattice_benches_common::{
    cell::cells,
    compare::{Side, by_loops},
    cpu::Processes,
    measure::Loops,
    report::Report,
};
use lattice_host::Instances;
use lattice_otel::{Telemetry, sink::Sink};
use std::{process::Stdio, sync::Arc};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::Mutex,
};
use tracing_subscriber::{
    EnvFilter, Layer as _, layer::SubscriberExt as _, registry, util::SubscriberInitExt as _,
};

const OFF: &str = "otel.off";
const SAMPLED: &str = "otel.sampled";
/// Variable with the address of the collector.
const COLLECTOR: &str = "LATTICE_BENCH_OTLP";
/// The share of traces that are sampled.
const SHARE: f64 = 0.01;
const SMALL: usize = 16;

pub(crate) async fn compare(report: &mut Report) -> Result<(), Failure> {
    let sink = Sink::start().await?;
    let rows = [(OFF, Responder::OtelOff), (SAMPLED, Responder::OtelSampled)];
    for (path, responder) in rows {
        for cell in report.wanted(cells(path, &[1], &[SMALL])) {
            let ours = Process::start(responder, &sink).await?;
            let baseline = Process::start(Responder::OtelNone, &sink).await?;
            by_loops(report, cell, &ours, &baseline).await?;
        }
    }
    Ok(())
}

/// A process with a host, in which an actor calls another one in a loop.
struct Process {
    loops: Mutex<TcpStream>,
    _program: Program,
}

impl Process {
    async fn start(responder: Responder, sink: &Sink) -> Result<Side<Self>, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args([RESPOND, responder.name()])
            .env(COLLECTOR, sink.url());
        let mut program = Program::start(command.stdout(Stdio::piped()))?;
        let line = program.first_line().await?;
        let address = line.split_whitespace().nth(1);
        let address = address.ok_or("the process did not start; its output above says why")?;
        let loops = TcpStream::connect(address).await?;
        loops.set_nodelay(true)?;
        let processes = Processes::of(program.id()?);
        Ok(Side {
            calls: Arc::new(Self {
                loops: Mutex::new(loops),
                _program: program,
            }),
            processes,
        })
    }
}

impl Loops for Process {
    async fn run(&self, calls: u32, size: u32) -> Result<u64, Failure> {
        let mut stream = self.loops.lock().await;
        stream
            .write_u64(u64::from(calls) << 32 | u64::from(size))
            .await?;
        Ok(stream.read_u64().await?)
    }
}

/// Runs a host, and the loops that are requested.
pub(crate) async fn respond(responder: Responder) -> Result<(), Failure> {
    let telemetry = match responder {
        Responder::OtelSampled => {
            let collector = std::env::var(COLLECTOR)?;
            let builder = Telemetry::builder().endpoint(collector).sample(SHARE);
            let (layer, guard) = builder.layer()?;
            let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
            let lines = lines.with_filter(EnvFilter::new("info"));
            registry().with(layer).with(lines).try_init()?;
            Some(guard)
        }
        Responder::OtelOff => {
            let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
            registry()
                .with(EnvFilter::new("info"))
                .with(lines)
                .try_init()?;
            None
        }
        _ => None,
    };
    let driven = Driven(Scene::start(Callee::Actor(Instances::warm())).await?);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    ready_at(listener.local_addr()?);
    let ended = tokio::select! {
        ended = serve(&driven, &listener) => ended,
        ended = end_of_input() => ended,
    };
    drop(telemetry);
    ended
}

/// Makes the loops that the one who connects asks for.
async fn serve(driven: &Driven, listener: &TcpListener) -> Result<(), Failure> {
    let (mut stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    loop {
        let asked = stream.read_u64().await?;
        let total = driven.run((asked >> 32) as u32, asked as u32).await?;
        stream.write_u64(total).await?;
    }
}
