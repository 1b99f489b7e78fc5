//! Calls over NATS to another process.

use crate::load::{
    cell::{Cell, Path},
    compare::{Figures, Pair, Side, by_calls, round_of_calls},
    cpu::Processes,
    measure::Calls,
    options::Responder,
    program::{Program, START},
    report::Report,
    responder::{KEY, LATTICE, READY, SUBJECT, URL},
    server::Server,
};
use crate::{
    Failure, bare,
    native::{ECHO, EchoClient},
};
use bytes::Bytes;
use lattice_core::{Lattice, auth::LatticeKey, client::Caller, link::Link};
use std::{process::Stdio, sync::Arc};
use tokio::{process::Command, task::JoinSet, time::timeout};

/// Callers that send large calls in addition to the small one.
const BULK_CALLERS: usize = 32;
const BULK: usize = 64 << 10;

pub(crate) async fn compare(report: &mut Report) -> Result<(), Failure> {
    let (cells, beside) = (report.wanted(Path::Nats), report.wanted(Path::BesideBulk));
    if cells.is_empty() && beside.is_empty() {
        return Ok(());
    }
    let server = Server::start().await?;
    let key = LatticeKey::generate();
    let (in_lattice, bare) = (
        other(Responder::Lattice, &server, &key).await?,
        other(Responder::Bare, &server, &key).await?,
    );
    let processes = |other: &Program| {
        Ok::<_, Failure>(Processes::own().and(server.program.id()?).and(other.id()?))
    };
    let ours = Side {
        calls: Arc::new(Ours::start(&server.url, key).await?),
        processes: processes(&in_lattice)?,
    };
    let baseline = bare::connect(&server.url).await?;
    let baseline = Side {
        calls: Arc::new(Baseline(baseline)),
        processes: processes(&bare)?,
    };
    for cell in cells {
        by_calls(report, cell, &ours, &baseline).await?;
    }
    for cell in beside {
        beside_bulk(report, cell, &ours, &baseline).await?;
    }
    Ok(())
}

/// Measures small calls while other callers of the same process send large ones.
async fn beside_bulk<A: Calls, B: Calls>(
    report: &mut Report,
    cell: Cell,
    ours: &Side<A>,
    baseline: &Side<B>,
) -> Result<(), Failure> {
    let (mut of_ours, mut of_baseline) = (Vec::new(), Vec::new());
    for _ in 0..report.rounds() {
        let bulk = send_bulk(&ours.calls);
        of_ours.push(round_of_calls(ours, cell, report.time()).await?);
        end(bulk).await?;
        let bulk = send_bulk(&baseline.calls);
        of_baseline.push(round_of_calls(baseline, cell, report.time()).await?);
        end(bulk).await?;
    }
    report.add(Pair {
        cell,
        ours: Figures::of(&of_ours),
        baseline: Figures::of(&of_baseline),
    });
    Ok(())
}

/// Starts callers that send large calls until the returned set is dropped.
fn send_bulk<C: Calls>(calls: &Arc<C>) -> JoinSet<Failure> {
    let mut callers = JoinSet::new();
    for task in 0..BULK_CALLERS {
        let calls = calls.clone();
        callers.spawn(async move {
            let body = Bytes::from(vec![7; BULK]);
            loop {
                if let Err(failure) = calls.call(task, &body).await {
                    return failure;
                }
            }
        });
    }
    callers
}

/// Stops the callers. Fails when one of them has failed.
async fn end(mut callers: JoinSet<Failure>) -> Result<(), Failure> {
    if let Some(failed) = callers.try_join_next() {
        return Err(failed?);
    }
    callers.shutdown().await;
    Ok(())
}

/// Starts this program as the other process.
pub(crate) async fn other(
    kind: Responder,
    server: &Server,
    key: &LatticeKey,
) -> Result<Program, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["respond", kind.name()])
        .env(URL, &server.url)
        .env(KEY, key.expose_hex().as_str());
    let mut program = Program::start(command.stdout(Stdio::piped()))?;
    match program.first_line().await?.as_str() {
        READY => Ok(program),
        _ => Err(format!(
            "the {} responder did not start; its output above says why",
            kind.name()
        )
        .into()),
    }
}

struct Ours {
    echo: EchoClient<Caller>,
    _lattice: Lattice,
}

impl Ours {
    async fn start(url: &str, key: LatticeKey) -> Result<Self, Failure> {
        let lattice = Lattice::connect(url, LATTICE).key(key).await?;
        lattice
            .links()
            .put(Link::new("driver", ECHO, "callee")?)
            .await?;
        timeout(START, lattice.served("callee")).await??;
        let echo = EchoClient::new(lattice.caller("driver")?);
        Ok(Self {
            echo,
            _lattice: lattice,
        })
    }
}

impl Calls for Ours {
    async fn call(&self, _: usize, body: &Bytes) -> Result<usize, Failure> {
        Ok(self.echo.echo(body).await?.len())
    }
}

struct Baseline(async_nats::Client);

impl Calls for Baseline {
    async fn call(&self, _: usize, body: &Bytes) -> Result<usize, Failure> {
        Ok(self.0.request(SUBJECT, body.clone()).await?.payload.len())
    }
}
