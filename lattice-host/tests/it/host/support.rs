//! A lattice, the guests, and a native component that does what a test tells it to.

use bytes::Bytes;
use lattice_core::{
    Lattice,
    bus::memory::MemoryNetwork,
    call::{CallError, Limit, Ran},
    link::Link,
    name::{ComponentId, FunctionName, InterfaceName},
    serve::{Answer, Request, Service},
    store::MemoryStore,
    types::ComponentTypes,
    value::{Decode, Encode, from_bytes, to_bytes},
    wire::FunctionKey,
};
use lattice_host::{Actor, Host, HostBuilder};
use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::Semaphore;

pub(crate) const ACTS: &str = "lattice-test:mischief/acts@0.1.0";
pub(crate) const PEER: &str = "lattice-test:mischief/peer@0.1.0";
pub(crate) const CONTROL: &str = "lattice-test:shapes/control@0.1.0";
pub(crate) const ECHO: &str = "lattice-test:shapes/echo@0.1.0";
pub(crate) const GATE: &str = "lattice-test:shapes/gate@0.1.0";

/// `lattice:rpc/types.error`: kind, whether it ran, whether to try again, and what happened.
pub(crate) type RpcError = (u32, u32, bool, String);

/// Its type.
pub(crate) const RPC_ERROR: &str = "record { kind: enum { not-linked, link-rejected, link-table-behind, not-served, \
    not-exported, schema-mismatch, bad-arguments, overloaded, stopping, too-many-hops, too-large, deadline, \
    disconnected, host-lost, instance-lost, callee-failed, limit-exceeded, bad-result, other }, ran: enum { no, maybe, yes }, \
    retryable: bool, message: string }";

/// Long enough for a call on a busy machine that is not supposed to end by its deadline.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn lattice() -> Lattice {
    Lattice::in_memory("test").await.expect("a lattice")
}

/// Two connections to one lattice, as two programs have them: between their hosts, calls travel as frames.
pub(crate) async fn two_programs() -> (Lattice, Lattice) {
    let (network, store) = (MemoryNetwork::new(), MemoryStore::new());
    let connect = async || {
        let bus = Arc::new(network.connect());
        let lattice = Lattice::on(bus, Arc::new(store.clone()), "test").trust_bus();
        lattice.await.expect("a lattice")
    };
    (connect().await, connect().await)
}

/// Waits until somebody is known to serve it.
pub(crate) async fn served(lattice: &Lattice, component: &str) {
    tokio::time::timeout(PATIENCE, lattice.served(component))
        .await
        .unwrap_or_else(|_| panic!("no host serves `{component}`"))
        .expect("an id");
}

pub(crate) async fn started(builder: HostBuilder) -> Host {
    builder
        .start()
        .await
        .unwrap_or_else(|error| panic!("the host does not start: {error:?}"))
}

/// A host with one actor that has the id of its guest.
pub(crate) async fn host_of(
    lattice: &Lattice,
    guest: &str,
    adjust: impl FnOnce(Actor) -> Actor,
) -> Host {
    started(Host::builder(lattice).actor(guest, adjust(actor(guest)))).await
}

pub(crate) fn actor(guest: &str) -> Actor {
    Actor::from_file(path(guest))
}

pub(crate) fn path(guest: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let path = root
        .join("target/guests/wasm32-wasip2/release")
        .join(format!("{guest}.wasm"));
    assert!(
        path.exists(),
        "{} is missing: run `make guests`",
        path.display()
    );
    path
}

pub(crate) async fn link(lattice: &Lattice, source: &str, interface: &str, target: &str) {
    let link = Link::new(source, interface, target).expect("a link");
    lattice.links().put(link).await.expect("the link is put");
}

/// Calls as an operator, with patience.
pub(crate) async fn call<R: Decode + 'static>(
    lattice: &Lattice,
    component: &str,
    interface: &str,
    function: &str,
    args: impl Encode,
) -> Result<R, CallError> {
    lattice
        .operator()
        .component(component)
        .call(interface, function, args)
        .timeout(PATIENCE)
        .await
}

/// The same for an act of `mischief`.
pub(crate) async fn act<R: Decode + 'static>(
    lattice: &Lattice,
    function: &str,
    args: impl Encode,
) -> Result<R, CallError> {
    call(lattice, "mischief", ACTS, function, args).await
}

/// What a component that ran and failed said.
pub(crate) fn reason<R: std::fmt::Debug>(result: Result<R, CallError>) -> String {
    let error = result.expect_err("a failure");
    assert_eq!(error.ran(), Ran::Yes, "{error}");
    match error {
        CallError::CalleeFailed { reason } => reason,
        other => panic!("failed in another way: {other:?}"),
    }
}

/// The limit that a component went over.
pub(crate) fn exceeded<R: std::fmt::Debug>(result: Result<R, CallError>) -> Limit {
    match result.expect_err("a failure") {
        CallError::LimitExceeded { limit, .. } => limit,
        other => panic!("failed in another way: {other:?}"),
    }
}

type Handler = Box<dyn Fn(Request) -> Answer + Send + Sync>;

/// A native component made of closures.
#[derive(Default)]
pub(crate) struct Native {
    types: ComponentTypes,
    handlers: HashMap<FunctionKey, Handler>,
}

impl Native {
    pub(crate) fn function(
        mut self,
        interface: &str,
        name: &str,
        signature: &str,
        handler: impl Fn(Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let interface = InterfaceName::new(interface).expect("an interface");
        let name = FunctionName::new(name).expect("a function");
        self.handlers.insert(
            FunctionKey::new(&interface, &name, signature),
            Box::new(handler),
        );
        let functions = &mut self.types.exports.entry(interface).or_default().functions;
        functions.insert(name, signature.to_owned());
        self
    }

    /// All of `peer`. The handler serves `call` and `call-async`; nobody calls the others.
    pub(crate) fn peer(
        handler: impl Fn(Request) -> Answer + Send + Sync + Clone + 'static,
    ) -> Self {
        let call = format!("func(body: list<u8>) -> result<list<u8>, {RPC_ERROR}>");
        let others = [
            ("call-string", "func(body: list<u8>) -> result<list<u8>, string>".to_owned()),
            ("call-other", "func(body: list<u8>) -> result<list<u8>, variant { busy, other(string) }>".to_owned()),
            (
                "call-unavailable",
                "func(body: list<u8>) -> result<list<u8>, variant { none-left, unavailable(option<string>) }>".to_owned(),
            ),
            ("call-bare", "func(body: list<u8>) -> list<u8>".to_owned()),
            ("wait-ms", format!("async func(ms: u32) -> result<_, {RPC_ERROR}>")),
            ("bounce", format!("func(hops: u32) -> result<u32, {RPC_ERROR}>")),
        ];
        let peer = Self::default().function(PEER, "call", &call, handler.clone());
        let peer = peer.function(PEER, "call-async", &format!("async {call}"), handler);
        others.into_iter().fold(peer, |peer, (name, signature)| {
            peer.function(PEER, name, &signature, move |_| {
                panic!("`{name}` is called by nobody")
            })
        })
    }

    /// Publishes these bytes as its WIT.
    pub(crate) fn publish(&mut self, wit: Vec<u8>) {
        self.types.wit = Some(wit.into());
    }

    pub(crate) fn serve(self) -> Arc<dyn Service> {
        Arc::new(self)
    }
}

impl Service for Native {
    fn types(&self) -> Arc<ComponentTypes> {
        Arc::new(self.types.clone())
    }

    fn call(&self, request: Request) -> Answer {
        self.handlers[&request.function](request)
    }
}

/// The body of a call of `peer.call`.
pub(crate) fn body(request: &Request) -> Bytes {
    from_bytes::<(Bytes,)>(&request.args).expect("a body").0
}

/// An answer of `peer.call`.
#[expect(
    clippy::unnecessary_wraps,
    reason = "it stands beside answers that fail"
)]
pub(crate) fn answer(body: &[u8]) -> Result<Bytes, CallError> {
    Ok(encoded(&Ok::<_, RpcError>(Bytes::copy_from_slice(body))))
}

pub(crate) fn encoded(value: &impl Encode) -> Bytes {
    to_bytes(value).expect("it encodes")
}

/// Answers with the body it was sent.
pub(crate) fn echoing(request: Request) -> Answer {
    Answer::Ready(answer(&body(&request)))
}

/// A provider whose calls say that they have entered, and wait for a permit each.
pub(crate) fn gated(permits: &Arc<Semaphore>, entered: &Arc<Semaphore>) -> Native {
    let (permits, entered) = (permits.clone(), entered.clone());
    Native::peer(move |request| {
        let (permits, entered) = (permits.clone(), entered.clone());
        Answer::Later(Box::pin(async move {
            entered.add_permits(1);
            permits.acquire().await.expect("it stays open").forget();
            answer(&body(&request))
        }))
    })
}
