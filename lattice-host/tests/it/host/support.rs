//! A lattice, the guests, and a native component made of a test's closures.

use bytes::Bytes;
use lattice_core::{
    Lattice,
    bus::memory::MemoryNetwork,
    call::{CallError, Limit, Ran},
    link::Link,
    name::{FunctionName, InterfaceName},
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

/// `lattice:rpc/types.error`: kind, whether the call ran, whether it can be retried, and a message.
pub(crate) type RpcError = (u32, u32, bool, String);

/// The canonical text of [`RpcError`].
pub(crate) const RPC_ERROR: &str = "record { kind: enum { not-linked, link-rejected, link-table-behind, not-served, \
    not-exported, schema-mismatch, bad-arguments, overloaded, stopping, too-many-hops, too-large, deadline, \
    disconnected, host-lost, instance-lost, callee-failed, limit-exceeded, bad-result, other }, ran: enum { no, maybe, yes }, \
    retryable: bool, message: string }";

/// A deadline for calls that aren't expected to reach it, even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn lattice() -> Lattice {
    Lattice::in_memory("test").await.expect("a lattice")
}

/// Returns two connections to one lattice, like those of two programs: calls between their hosts
/// travel as frames.
pub(crate) async fn two_programs() -> (Lattice, Lattice) {
    let (network, store) = (MemoryNetwork::new(), MemoryStore::new());
    let connect = async || {
        let bus = Arc::new(network.connect());
        let lattice = Lattice::on(bus, Arc::new(store.clone()), "test").trust_bus();
        lattice.await.expect("a lattice")
    };
    (connect().await, connect().await)
}

/// Waits until a host is known to serve the component.
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
        .unwrap_or_else(|error| panic!("the host doesn't start: {error:?}"))
}

/// Starts a host with one actor. The actor's id is the name of its guest.
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

/// Returns an actor whose component is written as text.
pub(crate) fn wat(text: &str) -> Actor {
    Actor::from_bytes(wat::parse_str(text).expect("valid text"))
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

/// Makes an operator call with the deadline [`PATIENCE`].
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

/// Makes an operator call of a function of `mischief`'s interface `acts`.
pub(crate) async fn act<R: Decode + 'static>(
    lattice: &Lattice,
    function: &str,
    args: impl Encode,
) -> Result<R, CallError> {
    call(lattice, "mischief", ACTS, function, args).await
}

/// Returns the reason of a call that failed with [`CallError::CalleeFailed`].
pub(crate) fn reason<R: std::fmt::Debug>(result: Result<R, CallError>) -> String {
    let error = result.expect_err("a failure");
    assert_eq!(error.ran(), Ran::Yes, "{error}");
    match error {
        CallError::CalleeFailed { reason } => reason,
        other => panic!("failed in another way: {other:?}"),
    }
}

/// Returns the limit that a call exceeded.
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

    /// Exports all of `peer`. The handler serves `call` and `call-async`; the other functions
    /// panic.
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
                panic!("`{name}` isn't expected to be called")
            })
        })
    }

    /// Publishes these bytes as the component's WIT.
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

/// Returns the body that a call of `peer.call` carries.
pub(crate) fn body(request: &Request) -> Bytes {
    from_bytes::<(Bytes,)>(&request.args).expect("a body").0
}

/// Returns a successful result of `peer.call`.
#[expect(
    clippy::unnecessary_wraps,
    reason = "handlers return it where others return errors"
)]
pub(crate) fn answer(body: &[u8]) -> Result<Bytes, CallError> {
    Ok(encoded(&Ok::<_, RpcError>(Bytes::copy_from_slice(body))))
}

pub(crate) fn encoded(value: &impl Encode) -> Bytes {
    to_bytes(value).expect("the value encodes")
}

/// Returns the body that it received.
pub(crate) fn echoing(request: Request) -> Answer {
    Answer::Ready(answer(&body(&request)))
}

/// A provider. Each of its calls adds a permit to `entered`, then waits for one of `permits`.
pub(crate) fn gated(permits: &Arc<Semaphore>, entered: &Arc<Semaphore>) -> Native {
    let (permits, entered) = (permits.clone(), entered.clone());
    Native::peer(move |request| {
        let (permits, entered) = (permits.clone(), entered.clone());
        Answer::Later(Box::pin(async move {
            entered.add_permits(1);
            permits
                .acquire()
                .await
                .expect("the semaphore stays open")
                .forget();
            answer(&body(&request))
        }))
    })
}
