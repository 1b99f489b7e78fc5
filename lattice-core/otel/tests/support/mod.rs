//! Three hosts in one process: `front` on the first calls `back`, which the others serve.

use bytes::Bytes;
use lattice_core::{
    Lattice,
    bus::memory::MemoryNetwork,
    call::{CallError, Context, FunctionRef},
    client::Caller,
    link::Link,
    name::{ComponentId, FunctionName, InterfaceName},
    node::{Node, NodeOptions},
    serve::{Answer, Request, Service},
    server::{ServeHandle, ServeLimits},
    store::MemoryStore,
    types::{ComponentTypes, InterfaceTypes},
    value::to_bytes,
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::timeout;
use tracing::Instrument as _;

pub const TIME: Duration = Duration::from_secs(20);

const FRONT: &str = "example:shop/front@0.1.0";
const BACK: &str = "example:shop/back@0.1.0";
const SIGNATURE: &str = "func() -> string";

/// The hosts and their components.
pub struct Shop {
    caller: Caller,
    _hosts: Vec<Node>,
    _serving: Vec<ServeHandle>,
}

impl Shop {
    /// Starts the hosts. So many of the first calls of `back` are refused, on whichever host they
    /// come to.
    pub async fn open(refused: usize) -> Self {
        // Calls between connections of their own travel as frames.
        let (network, store) = (MemoryNetwork::new(), MemoryStore::new());
        let connect = async || {
            let bus = Arc::new(network.connect());
            let lattice = Lattice::on(bus, Arc::new(store.clone()), "test").trust_bus();
            lattice.await.expect("it opens")
        };
        let (lattice, other) = (connect().await, connect().await);
        let mut hosts = Vec::new();
        for (lattice, name) in [(&lattice, "a"), (&other, "b"), (&other, "c")] {
            let options = NodeOptions::default().host(name).expect("a host id");
            hosts.push(lattice.node(options).await.expect("a node joins"));
        }
        for (source, interface, target) in [("web", FRONT, "front"), ("front", BACK, "back")] {
            let link = Link::new(source, interface, target).expect("a link");
            lattice.links().put(link).await.expect("it is put");
        }
        let refused = Arc::new(AtomicUsize::new(refused));
        let front = Front(hosts[0].caller("front").expect("valid"));
        let mut serving = vec![serve(&hosts[0], "front", front).await];
        for host in &hosts[1..] {
            serving.push(serve(host, "back", Back(refused.clone())).await);
        }
        let back = component("back");
        let known = async {
            while lattice.peers().serving(&back).len() < 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(TIME, known).await.expect("both hosts are known");
        Self {
            caller: hosts[0].caller("web").expect("valid"),
            _hosts: hosts,
            _serving: serving,
        }
    }

    /// Makes a call that leads to `back`, and returns the trace that `back` was told of.
    pub async fn call(&self, context: Context) -> Result<String, CallError> {
        let open = function(FRONT, "open");
        let text = self.caller.invoke(&open, none(), context).await?;
        Ok(lattice_core::value::from_bytes(&text).expect("a string"))
    }
}

/// The context of a call that isn't part of anything.
pub fn fresh() -> Context {
    Context::new(TIME)
}

async fn serve(host: &Node, name: &str, service: impl Service) -> ServeHandle {
    let serving = host.serve(component(name), Arc::new(service), ServeLimits::default());
    serving.await.expect("it serves")
}

/// Calls `back`.
struct Front(Caller);

impl Service for Front {
    fn types(&self) -> Arc<ComponentTypes> {
        types(FRONT, "open")
    }

    fn call(&self, request: Request) -> Answer {
        let (caller, context) = (self.0.clone(), request.context.nested());
        Answer::Later(Box::pin(async move {
            let greet = function(BACK, "greet");
            caller.invoke(&greet, none(), context).await
        }))
    }
}

/// Says which trace it is part of, while it works on its backend.
struct Back(Arc<AtomicUsize>);

impl Service for Back {
    fn types(&self) -> Arc<ComponentTypes> {
        types(BACK, "greet")
    }

    /// It refuses calls as a host does whose queue is full.
    fn errors_are_its_own(&self) -> bool {
        true
    }

    fn call(&self, request: Request) -> Answer {
        let left = |refused: usize| refused.checked_sub(1);
        let refused = self
            .0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, left);
        if refused.is_ok() {
            let component = request.component;
            return Answer::Ready(Err(CallError::Overloaded { component }));
        }
        let trace = request.context.trace;
        let work = async move {
            tracing::info!(target: "lattice::actor", component = "back", "at work");
            let trace = trace.map(|trace| trace.to_string());
            Ok::<_, CallError>(to_bytes(&trace.unwrap_or_default()).expect("a string"))
        };
        let backend =
            tracing::info_span!("get orders", otel.kind = "client", db.system.name = "test");
        Answer::Later(Box::pin(work.instrument(backend)))
    }
}

fn types(interface: &str, function: &str) -> Arc<ComponentTypes> {
    let function = FunctionName::new(function).expect("a function");
    let functions = BTreeMap::from([(function, SIGNATURE.to_owned())]);
    let interface = InterfaceName::new(interface).expect("an interface");
    Arc::new(ComponentTypes {
        exports: BTreeMap::from([(interface, InterfaceTypes { functions })]),
        ..ComponentTypes::default()
    })
}

fn function(interface: &str, name: &str) -> FunctionRef {
    let interface = InterfaceName::new(interface).expect("an interface");
    let name = FunctionName::new(name).expect("a function");
    FunctionRef::new(interface, name, SIGNATURE)
}

fn component(name: &str) -> ComponentId {
    ComponentId::new(name).expect("a component id")
}

fn none() -> Bytes {
    to_bytes(&()).expect("nothing encodes")
}
