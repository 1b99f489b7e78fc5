//! Calls from one node to another in one process, compared with a channel to another task.

use crate::rows::{self, MEMORY};
use bytes::Bytes;
use lattice_benches_common::{
    Failure,
    compare::{Side, by_calls},
    measure::Calls,
    native::{ECHO, EchoClient, EchoProvider},
    report::Report,
};
use lattice_core::{
    Lattice,
    client::Caller,
    link::Link,
    name::ComponentId,
    node::{Node, NodeOptions},
    server::{ServeHandle, ServeLimits},
};
use lattice_provider_sdk::IntoService;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

pub(crate) async fn compare(report: &mut Report) -> Result<(), Failure> {
    let cells = report.wanted(rows::of(MEMORY));
    if cells.is_empty() {
        return Ok(());
    }
    let ours = Side::here(Ours::start().await?);
    let baseline = Side::here(Baseline::start());
    for cell in cells {
        by_calls(report, cell, &ours, &baseline).await?;
    }
    Ok(())
}

struct Ours {
    echo: EchoClient<Caller>,
    _serving: ServeHandle,
    _nodes: [Node; 2],
}

impl Ours {
    async fn start() -> Result<Self, Failure> {
        let lattice = Lattice::in_memory("bench").await?;
        let here = lattice.node(NodeOptions::default()).await?;
        let there = lattice.node(NodeOptions::default()).await?;
        let callee = ComponentId::new("callee")?;
        let serving = there
            .serve(
                callee.clone(),
                EchoProvider.into_service(),
                ServeLimits::default(),
            )
            .await?;
        lattice
            .links()
            .put(Link::new("driver", ECHO, "callee")?)
            .await?;
        lattice.served(&callee).await?;
        let echo = EchoClient::new(here.caller("driver")?);
        Ok(Self {
            echo,
            _serving: serving,
            _nodes: [here, there],
        })
    }
}

impl Calls for Ours {
    async fn call(&self, _: usize, body: &Bytes) -> Result<usize, Failure> {
        Ok(self.echo.echo(body).await?.len())
    }
}

struct Baseline {
    calls: mpsc::Sender<(Bytes, oneshot::Sender<Bytes>)>,
    _task: AbortOnDropHandle<()>,
}

impl Baseline {
    fn start() -> Self {
        let (calls, mut waiting) = mpsc::channel::<(Bytes, oneshot::Sender<Bytes>)>(1_024);
        let task = tokio::spawn(async move {
            while let Some((body, answer)) = waiting.recv().await {
                // The receiver is gone when the caller no longer waits.
                let _ = answer.send(body);
            }
        });
        Self {
            calls,
            _task: AbortOnDropHandle::new(task),
        }
    }
}

impl Calls for Baseline {
    async fn call(&self, _: usize, body: &Bytes) -> Result<usize, Failure> {
        let (answer, answered) = oneshot::channel();
        self.calls.send((body.clone(), answer)).await?;
        Ok(answered.await?.len())
    }
}
