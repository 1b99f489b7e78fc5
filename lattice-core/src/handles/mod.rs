//! Handles between hosts: what a node asks others, and answers them, about handles of resources.
//!
//! Every node does that, whether it serves components or only calls. The requests are host RPC. The
//! [`Ledger`] decides what is due; the task here sends it, one request at a time to each boot.
//!
//! | request | when |
//! | --- | --- |
//! | `Drop` | handles were dropped here. Repeated until it is acknowledged, or that boot is gone |
//! | `Claim` | a handle has arrived that lives on neither host |
//! | `Holds` | it isn't known whether a handle has arrived, or a holder sends no heartbeats |
//! | `Gone` | this node leaves, and has finished its calls |

mod service;

use crate::{
    call::{CallError, Context, FunctionRef},
    client::Client,
    membership::Peers,
    name::{FunctionName, InterfaceName, NameError},
    server::Server,
    stream::{Batch, Claim, Ledger, Life, Requests, Stale},
    value::{from_bytes, to_bytes},
    wire::{HandleAnswer, HandleAsk, HandleRequest, Origin},
};
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, join_all},
    poll,
};
use std::{
    pin::pin,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{
    sync::{Mutex, Notify, broadcast::error::RecvError, oneshot},
    time::{Instant, sleep},
};

/// How long another host has to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long owners have to take notice that this node leaves. Otherwise its leases end by
/// themselves.
const FAREWELL: Duration = Duration::from_secs(1);
/// How often holders are looked at.
const TICK: Duration = Duration::from_secs(1);

/// The requests of one node.
pub(crate) struct HandleRpc {
    client: Arc<Client>,
    server: Arc<Server>,
    function: FunctionRef,
    changed: Arc<Notify>,
    /// Held while drops are taken and put into a send queue, so that they leave in the order in
    /// which they were taken, and before every call that is made after them.
    queueing: Mutex<()>,
}

/// Which drops are sent.
#[derive(Debug, Clone, Copy)]
enum Which {
    /// A request, if one is due.
    Due,
    /// All, before a call to that host.
    All,
}

impl HandleRpc {
    /// Has the node answer the requests of others from now on.
    pub(crate) fn start(client: Arc<Client>, server: Arc<Server>) -> Result<Arc<Self>, NameError> {
        let function = function()?;
        let ledger = server.connection.handles.clone();
        let service = service::HandleService::new(ledger.clone(), &server, &function);
        server.serve_handles(Arc::new(service))?;
        Ok(Arc::new_cyclic(|rpc: &Weak<Self>| Self {
            changed: ledger.join(server.origin(), rpc.clone()),
            client,
            server,
            function,
            queueing: Mutex::default(),
        }))
    }

    /// Tells the owners of what this node holds that it holds nothing any more.
    pub(crate) async fn leave(&self) {
        let owners = self.ledger().owners(self.node());
        let told = owners.iter().map(|owner| async move {
            let told = self.ask(owner, HandleAsk::Gone, Instant::now() + FAREWELL);
            if let Err(error) = told.await {
                tracing::debug!(%error, host = %owner.host, "an owner of handles was not told that this host leaves");
            }
        });
        join_all(told).await;
    }

    fn node(&self) -> &Origin {
        self.server.origin()
    }

    fn ledger(&self) -> &Arc<Ledger> {
        &self.server.connection.handles
    }

    async fn ask(
        &self,
        host: &Origin,
        ask: HandleAsk,
        by: Instant,
    ) -> Result<HandleAnswer, CallError> {
        let request = HandleRequest {
            epoch: self.node().epoch,
            ask,
        };
        let bad = |reason: String| CallError::BadArguments { reason };
        let args = to_bytes(&(request,)).map_err(|error| bad(error.to_string()))?;
        let context = Context::new(by.saturating_duration_since(Instant::now()));
        let answer = self.client.call_host(host, &self.function, args, context);
        from_bytes(&answer.await?).map_err(|error| CallError::BadResult {
            reason: error.to_string(),
        })
    }

    async fn drop_there(&self, owner: &Origin, Batch { request, ids }: Batch) {
        let ask = HandleAsk::Drop(ids);
        let answer = self.ask(owner, ask, Instant::now() + PATIENCE).await;
        let is_done = matches!(answer, Ok(HandleAnswer::Done));
        let ledger = self.ledger();
        ledger.acknowledged(self.node(), owner, request, is_done);
    }

    /// Sends requests with drops to their owner, and calls `queued` once they are in the send
    /// queue.
    async fn send_batches(&self, owner: &Origin, which: Which, queued: impl FnOnce()) {
        let turn = self.queueing.lock().await;
        let batches = match which {
            Which::Due => self.ledger().unsent(self.node(), owner, 1),
            Which::All => self.ledger().all_unsent(self.node(), owner),
        };
        let count = batches.len();
        let drops = batches
            .into_iter()
            .map(|batch| self.drop_there(owner, batch));
        // The first time that a request is polled puts it into the send queue.
        let mut drops = pin!(join_all(drops));
        let is_pending = poll!(&mut drops).is_pending();
        self.ledger().drops_are_queued(self.node(), owner, count);
        drop(turn);
        queued();
        if is_pending {
            drops.await;
        }
    }

    /// Sends what is due.
    fn send(self: &Arc<Self>, peers: &Peers) -> bool {
        let work = self.ledger().work(self.node(), |boot| life(peers, boot));
        for owner in work.drops {
            let rpc = self.clone();
            let sent = async move { rpc.send_batches(&owner, Which::Due, || ()).await };
            self.server.tasks.spawn(sent);
        }
        for (holder, ids) in work.questions {
            let rpc = self.clone();
            self.server.tasks.spawn(async move {
                let ask = HandleAsk::Holds(ids.clone());
                let answer = rpc.ask(&holder, ask, Instant::now() + PATIENCE).await;
                let held = match &answer {
                    Ok(HandleAnswer::Held(held)) => Some(&held[..]),
                    _ => None,
                };
                rpc.ledger().answered(rpc.node(), &holder, &ids, held);
            });
        }
        work.is_busy
    }
}

impl Requests for HandleRpc {
    fn claim(
        self: Arc<Self>,
        owner: Origin,
        claim: Claim,
        by: Instant,
    ) -> BoxFuture<'static, Result<u64, Stale>> {
        let asked = async move {
            let Claim { id, is_owned, from } = claim;
            let ask = HandleAsk::Claim { id, is_owned, from };
            let answer = self.ask(&owner, ask, by).await;
            match answer {
                Ok(HandleAnswer::Claimed(number)) => Ok(number),
                Ok(HandleAnswer::Stale { reason, is_lost }) => Err(if is_lost {
                    Stale::Lost(reason.into())
                } else {
                    Stale::Refused(reason.into())
                }),
                Ok(_) => Err(Stale::Refused(
                    "its host doesn't understand the claim".into(),
                )),
                Err(error) => Err(Stale::OwnerUnreachable(error.to_string().into())),
            }
        };
        asked.boxed()
    }

    fn send_drops(self: Arc<Self>, owner: Origin) -> BoxFuture<'static, ()> {
        let (queued, is_queued) = oneshot::channel();
        let rpc = self.clone();
        // A task of its own, because the call may be dropped meanwhile.
        self.server.tasks.spawn(async move {
            let queued = || {
                let _ = queued.send(());
            };
            rpc.send_batches(&owner, Which::All, queued).await;
        });
        async {
            // An error says that the node is gone.
            let _ = is_queued.await;
        }
        .boxed()
    }
}

/// Sends what is due, for as long as the node lives.
pub(crate) async fn run(rpc: Arc<HandleRpc>) {
    let presence = rpc.server.connection.presence.clone();
    let mut changes = presence.changes();
    loop {
        let is_busy = rpc.send(&presence.peers());
        tokio::select! {
            () = rpc.changed.notified() => {}
            () = sleep(TICK), if is_busy => {}
            change = changes.recv() => {
                if matches!(change, Err(RecvError::Closed)) {
                    return;
                }
            }
        }
    }
}

/// What heartbeats say of a boot.
fn life(peers: &Peers, boot: &Origin) -> Life {
    match peers.boot_of(&boot.host) {
        Some(live) if live == boot => Life::Live,
        Some(live) if live.epoch > boot.epoch => Life::Replaced,
        _ => Life::Unknown,
    }
}

/// The function that hosts serve to each other. Calls carry the hash of these texts, so they must
/// stay the same in all releases.
fn function() -> Result<FunctionRef, NameError> {
    let interface = InterfaceName::new("lattice:core/handles@0.1.0")?;
    let name = FunctionName::new("ask")?;
    let signature = "func(request: request) -> answer";
    Ok(FunctionRef::new(interface, name, signature))
}
