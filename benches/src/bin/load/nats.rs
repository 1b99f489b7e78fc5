//! Calls over NATS to another process.

use crate::{
    cell::Path,
    compare::{Side, by_calls},
    cpu::Processes,
    measure::Calls,
    options::Responder,
    program::{Program, START},
    report::Report,
    responder::{KEY, LATTICE, READY, SUBJECT, URL},
    server::Server,
};
use bytes::Bytes;
use lattice_benches::{
    Failure, bare,
    native::{ECHO, EchoClient},
};
use lattice_core::{Lattice, auth::LatticeKey, link::Link, name::ComponentId, node::Caller};
use lattice_provider_sdk::Context;
use std::{process::Stdio, sync::Arc};
use tokio::{process::Command, time::timeout};

pub(crate) async fn compare(report: &mut Report) -> Result<(), Failure> {
    let cells = report.wanted(Path::Nats);
    if cells.is_empty() {
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
    Ok(())
}

/// Starts this program again as the other process.
async fn other(kind: Responder, server: &Server, key: &LatticeKey) -> Result<Program, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["respond", kind.name()])
        .env(URL, &server.url)
        .env(KEY, key.expose_hex().as_str());
    let mut program = Program::start(command.stdout(Stdio::piped()))?;
    match program.first_line().await?.as_str() {
        READY => Ok(program),
        _ => Err(format!(
            "the {} responder did not start; it says why above",
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
        timeout(START, lattice.served(&ComponentId::new("callee")?)).await?;
        let echo = EchoClient::new(lattice.caller(ComponentId::new("driver")?).await?);
        Ok(Self {
            echo,
            _lattice: lattice,
        })
    }
}

impl Calls for Ours {
    async fn call(&self, _: usize, body: &Bytes) -> Result<usize, Failure> {
        Ok(self.echo.echo(Context::default(), body).await?.len())
    }
}

struct Baseline(async_nats::Client);

impl Calls for Baseline {
    async fn call(&self, _: usize, body: &Bytes) -> Result<usize, Failure> {
        Ok(self.0.request(SUBJECT, body.clone()).await?.payload.len())
    }
}
