//! The callers of `echo`.

use super::{Answers, callee::Callee, engine::Code};
use crate::Failure;
use lattice_bench::calls::echo::{self, Reading};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;
use wasmtime::{
    Result, Store,
    component::{HasSelf, Linker},
};

wasmtime::component::bindgen!({
    path: "guests/wit",
    world: "caller-actor",
    imports: { default: async | trappable },
    exports: { default: async },
});

/// Number of instances: as many as `Instances::warm()` allows.
pub const INSTANCES: usize = 16;

/// The calling actors, each in its own task with its own callee. Dropping this ends all of them.
pub struct Callers(Vec<Caller>);

struct Caller {
    orders: mpsc::Sender<Order>,
    _task: AbortOnDropHandle<()>,
}

/// A command for an actor.
enum Order {
    Run {
        calls: u32,
        size: u32,
        done: oneshot::Sender<Result<u64>>,
    },
    Relay {
        body: Vec<u8>,
        done: oneshot::Sender<Result<Vec<u8>>>,
    },
}

pub(super) struct Imports {
    callee: Callee,
}

impl echo::Host for Imports {
    async fn echo(&mut self, body: Vec<u8>) -> Result<Vec<u8>> {
        self.callee.echo(body).await
    }

    async fn readings(&mut self, all: Vec<Reading>) -> Result<Vec<Reading>> {
        Ok(all)
    }
}

pub(super) fn add_to_linker(linker: &mut Linker<Imports>) -> Result<()> {
    CallerActor::add_to_linker::<_, HasSelf<_>>(linker, |state| state)
}

impl Callers {
    /// Starts all callers.
    ///
    /// # Errors
    /// Fails with Wasmtime's error when an actor can't be instantiated.
    pub async fn start(code: &Code, answers: Answers) -> Result<Self, Failure> {
        let mut callers = Vec::with_capacity(INSTANCES);
        for _ in 0..INSTANCES {
            let callee = Callee::start(answers, code).await?;
            callers.push(Caller::start(code, callee).await?);
        }
        Ok(Self(callers))
    }

    /// Lets the first actor call `echo` `calls` times with `size` bytes. Returns the total number
    /// of bytes that came back.
    ///
    /// # Errors
    /// Fails with Wasmtime's error.
    pub async fn run(&self, calls: u32, size: u32) -> Result<u64, Failure> {
        self.order(0, |done| Order::Run { calls, size, done }).await
    }

    /// Lets one actor call `echo` once. The same number always selects the same actor.
    ///
    /// # Errors
    /// Fails with Wasmtime's error.
    pub async fn relay(&self, number: usize, body: Vec<u8>) -> Result<Vec<u8>, Failure> {
        self.order(number, |done| Order::Relay { body, done }).await
    }

    async fn order<T>(
        &self,
        number: usize,
        order: impl FnOnce(oneshot::Sender<Result<T>>) -> Order,
    ) -> Result<T, Failure> {
        let (done, answer) = oneshot::channel();
        let caller = &self.0[number % self.0.len()];
        caller
            .orders
            .send(order(done))
            .await
            .map_err(|_| "the caller's task ended")?;
        Ok(answer.await??)
    }
}

impl Caller {
    async fn start(code: &Code, callee: Callee) -> Result<Self> {
        let mut store = code.store(Imports { callee });
        let actor = code.caller.instantiate_async(&mut store).await?;
        let (orders, waiting) = mpsc::channel(INSTANCES);
        let task = tokio::spawn(follow(store, actor, waiting));
        Ok(Self {
            orders,
            _task: AbortOnDropHandle::new(task),
        })
    }
}

async fn follow(mut store: Store<Imports>, actor: CallerActor, mut orders: mpsc::Receiver<Order>) {
    let drive = actor.lattice_bench_calls_drive();
    while let Some(order) = orders.recv().await {
        // Sending fails when the caller no longer waits, which is harmless.
        match order {
            Order::Run { calls, size, done } => {
                let _ = done.send(drive.call_run(&mut store, calls, size).await);
            }
            Order::Relay { body, done } => {
                let _ = done.send(drive.call_relay(&mut store, &body).await);
            }
        }
    }
}
