//! The callees of `echo`.

use super::{INSTANCES, engine::Code};
use crate::Failure;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;
use wasmtime::{Error, Result};

wasmtime::component::bindgen!({
    path: "guests/wit",
    world: "callee-actor",
    exports: { default: async },
});

/// The kind of callee that serves the calling actors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// The host function itself.
    HostFunction,
    /// An actor, in an existing instance.
    Warm,
    /// An actor, in an instance made for the call.
    Fresh,
}

/// The callee of one calling actor.
pub(super) enum Callee {
    HostFunction,
    Warm(Warm),
    Fresh(Code),
}

/// An instance in its own task.
pub(super) struct Warm {
    calls: mpsc::Sender<Call>,
    _task: AbortOnDropHandle<()>,
}

struct Call {
    body: Vec<u8>,
    answer: oneshot::Sender<Result<Vec<u8>>>,
}

impl Callee {
    pub(super) async fn start(answers: Answers, code: &Code) -> Result<Self, Failure> {
        Ok(match answers {
            Answers::HostFunction => Self::HostFunction,
            Answers::Warm => Self::Warm(Warm::start(code).await?),
            Answers::Fresh => Self::Fresh(code.clone()),
        })
    }

    pub(super) async fn echo(&self, body: Vec<u8>) -> Result<Vec<u8>> {
        match self {
            Self::HostFunction => Ok(body),
            Self::Warm(warm) => warm.echo(body).await,
            Self::Fresh(code) => {
                let mut store = code.store(());
                let actor = code.callee.instantiate_async(&mut store).await?;
                actor
                    .lattice_bench_calls_echo()
                    .call_echo(&mut store, &body)
                    .await
            }
        }
    }
}

impl Warm {
    async fn start(code: &Code) -> Result<Self> {
        let mut store = code.store(());
        let actor = code.callee.instantiate_async(&mut store).await?;
        let (calls, mut waiting) = mpsc::channel::<Call>(INSTANCES);
        let task = tokio::spawn(async move {
            let echo = actor.lattice_bench_calls_echo();
            while let Some(call) = waiting.recv().await {
                let answer = echo.call_echo(&mut store, &call.body).await;
                // The receiver is gone when the caller no longer waits.
                let _ = call.answer.send(answer);
            }
        });
        Ok(Self {
            calls,
            _task: AbortOnDropHandle::new(task),
        })
    }

    async fn echo(&self, body: Vec<u8>) -> Result<Vec<u8>> {
        let (answer, answered) = oneshot::channel();
        self.calls
            .send(Call { body, answer })
            .await
            .map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

fn gone() -> Error {
    Error::msg("the callee's task ended")
}
