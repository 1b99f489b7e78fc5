//! Lattices, hosts, links, and calls over them.

use super::service::{API, Api, Serve, echo, id, text, wait};
use bytes::Bytes;
use lattice_core::{
    Lattice,
    call::{CallError, Context, FunctionRef},
    client::Caller,
    link::Link,
    name::HostId,
    node::{Node, NodeOptions},
    serve::Service,
    server::{ServeHandle, ServeLimits},
};
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinHandle, time::Instant};

pub type Outcome = Result<Bytes, CallError>;

pub async fn lattice() -> Lattice {
    Lattice::in_memory("test")
        .await
        .expect("an in-memory lattice opens")
}

pub async fn host(lattice: &Lattice, name: &str) -> Node {
    let options = NodeOptions::default().host(name).expect("valid");
    lattice.node(options).await.expect("a node joins")
}

pub fn host_id(name: &str) -> HostId {
    HostId::new(name).expect("a host id")
}

pub async fn serve(node: &Node, name: &str) -> (Arc<Api>, ServeHandle) {
    serve_within(node, name, ServeLimits::default()).await
}

pub async fn serve_within(node: &Node, name: &str, limits: ServeLimits) -> (Arc<Api>, ServeHandle) {
    let api = Arc::new(Api::default());
    let serving = node
        .serve(id(name), Arc::new(Serve(api.clone())), limits)
        .await
        .expect("it serves");
    (api, serving)
}

/// Puts a test's own component into service.
pub async fn serve_as(node: &Node, name: &str, service: impl Service) -> ServeHandle {
    node.serve(id(name), Arc::new(service), ServeLimits::default())
        .await
        .expect("it serves")
}

/// Puts a link by which `source` may call `target`.
pub fn grant(source: &str, target: &str) -> Link {
    Link::new(source, API, target).expect("a link")
}

pub async fn link(lattice: &Lattice, source: &str, target: &str) {
    let link = grant(source, target);
    lattice.links().put(link).await.expect("the link is put");
}

/// Makes a call through the default link.
pub async fn call(
    caller: &Caller,
    function: &FunctionRef,
    args: Bytes,
    context: Context,
) -> Outcome {
    caller.invoke(function, args, context).await
}

/// Calls `echo` with `x`.
pub async fn say(caller: &Caller) -> Outcome {
    call(caller, &echo(), text("x"), Context::default()).await
}

/// Starts a call that ends when the callee releases it.
pub fn begin_wait(caller: &Caller, context: Context) -> JoinHandle<Outcome> {
    let caller = caller.clone();
    tokio::spawn(async move { call(&caller, &wait(), Bytes::new(), context).await })
}

/// Host `a`, whose `caller` is linked to `callee` on host `b`.
pub struct Two {
    pub lattice: Lattice,
    pub a: Node,
    pub b: Node,
    pub api: Arc<Api>,
    pub serving: ServeHandle,
    pub caller: Caller,
}

pub async fn two() -> Two {
    Two::on(lattice().await).await
}

impl Two {
    pub async fn on(lattice: Lattice) -> Self {
        Self::across(&lattice, &lattice).await
    }

    /// The same, with each host on its own connection to the lattice.
    pub async fn across(here: &Lattice, there: &Lattice) -> Self {
        let (a, b) = (host(here, "a").await, host(there, "b").await);
        let (api, serving) = serve(&b, "callee").await;
        link(here, "caller", "callee").await;
        Self {
            lattice: here.clone(),
            caller: a.caller("caller").expect("valid"),
            a,
            b,
            api,
            serving,
        }
    }

    pub async fn call(&self, function: &FunctionRef, args: Bytes, context: Context) -> Outcome {
        call(&self.caller, function, args, context).await
    }

    pub async fn say(&self) -> Outcome {
        say(&self.caller).await
    }
}

/// Waits until a condition holds, and fails if that takes too long.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
