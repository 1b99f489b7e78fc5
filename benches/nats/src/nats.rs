//! Calls over NATS to another process, next to each baseline.

#[cfg(feature = "grpc")]
use crate::grpc;
use crate::{
    options::Role,
    raw,
    rows::{self, BESIDE_BULK, GRPC, NATS, RAW},
};
use bytes::Bytes;
use lattice_benches_common::{
    Failure, bare,
    cell::Cell,
    compare::{Side, by_calls, round_of_calls},
    cpu::Processes,
    figures::{Figures, Pair},
    measure::Calls,
    native::{ECHO, EchoClient},
    program::{Program, START},
    report::Report,
    responder::{self, LATTICE, SUBJECT},
    server::Server,
};
use lattice_core::{Lattice, auth::LatticeKey, client::Caller, link::Link};
use std::sync::Arc;
use tokio::{task::JoinSet, time::timeout};

/// Callers that send large calls in addition to the small one.
const BULK_CALLERS: usize = 32;
const BULK: usize = 64 << 10;

pub(crate) async fn compare(report: &mut Report) -> Result<(), Failure> {
    let [cells, beside, raw, grpc] =
        [NATS, BESIDE_BULK, RAW, GRPC].map(|path| report.wanted(rows::of(path)));
    let wants_grpc = cfg!(feature = "grpc") && !grpc.is_empty();
    if cells.is_empty() && beside.is_empty() && raw.is_empty() && !wants_grpc {
        return Ok(());
    }
    let server = Server::start().await?;
    let key = LatticeKey::generate();
    let callee = responder::start(Role::Lattice.name(), &server, &key).await?;
    let ours = Side {
        calls: Arc::new(Ours::start(&server.url, key.clone()).await?),
        processes: processes(&server, &callee.program)?,
    };
    if !cells.is_empty() || !beside.is_empty() {
        let callee = responder::start(Role::Bare.name(), &server, &key).await?;
        let baseline = Side {
            calls: Arc::new(Baseline(bare::connect(&server.url).await?)),
            processes: processes(&server, &callee.program)?,
        };
        all(report, cells, &ours, &baseline).await?;
        for cell in beside {
            beside_bulk(report, cell, &ours, &baseline).await?;
        }
    }
    if !raw.is_empty() {
        let callee = responder::start(Role::Raw.name(), &server, &key).await?;
        let baseline = Side {
            calls: Arc::new(raw::Client::connect(&server.url).await?),
            processes: processes(&server, &callee.program)?,
        };
        all(report, raw, &ours, &baseline).await?;
    }
    #[cfg(feature = "grpc")]
    if wants_grpc {
        let callee = responder::start(Role::Grpc.name(), &server, &key).await?;
        let baseline = Side {
            calls: Arc::new(grpc::Client::connect(&callee.address).await?),
            processes: Processes::own().and(callee.program.id()?),
        };
        all(report, grpc, &ours, &baseline).await?;
    }
    Ok(())
}

async fn all<A: Calls, B: Calls>(
    report: &mut Report,
    cells: Vec<Cell>,
    ours: &Side<A>,
    baseline: &Side<B>,
) -> Result<(), Failure> {
    for cell in cells {
        by_calls(report, cell, ours, baseline).await?;
    }
    Ok(())
}

/// Returns the processes that calls over NATS keep busy.
fn processes(server: &Server, callee: &Program) -> Result<Processes, Failure> {
    Ok(Processes::own().and(server.program.id()?).and(callee.id()?))
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
