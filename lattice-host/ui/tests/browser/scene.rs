//! A lattice of native components, and its page.

use bytes::Bytes;
use futures_util::future::{self, BoxFuture, FutureExt as _};
use lattice_core::{
    Lattice,
    call::CallError,
    link::Link,
    name::{FunctionName, InterfaceName},
    node::{Node, NodeOptions},
    serve::{Answer, Request, Service},
    server::{ServeHandle, ServeLimits},
    types::{ComponentTypes, InterfaceTypes},
    value::to_bytes,
};
use lattice_ui::{Ui, UiServer};
use std::{collections::BTreeMap, net::Ipv4Addr, sync::Arc};

/// The interface through which `front` calls, without its version.
pub(crate) const API: &str = "test:shop/api";
/// An interface of `clock` through which nothing calls.
pub(crate) const TIME: &str = "test:shop/time";
/// What `strict` says to links.
pub(crate) const REFUSAL: &str = "no such bucket";
const VERSION: &str = "0.1.0";
const GREET: &str = "greet";

/// A lattice on which `front` calls an interface that `back` and `strict` serve. `strict` refuses
/// links, and `clock` serves another interface.
pub(crate) struct Scene {
    pub(crate) lattice: Lattice,
    node: Node,
    _serving: Vec<ServeHandle>,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let lattice = empty().await;
        let options = NodeOptions::default().host("one").expect("a host id");
        let node = lattice.node(options).await.expect("it joins");
        let mut serving = Vec::new();
        for (id, program) in [
            ("front", Program::default().imports(API)),
            ("back", Program::default().exports(API)),
            ("clock", Program::default().exports(TIME)),
            ("strict", Program::default().exports(API).refuses(REFUSAL)),
        ] {
            let served = node.serve(id, Arc::new(program), ServeLimits::default());
            serving.push(served.await.expect("it serves"));
        }
        Self {
            lattice,
            node,
            _serving: serving,
        }
    }

    /// Makes a call in the name of `front`, through its link.
    pub(crate) async fn call(&self) -> Result<String, CallError> {
        let front = self.node.caller("front").expect("an id");
        front.call(version_of(API), GREET, ()).await
    }
}

/// Returns a lattice in memory without anything.
pub(crate) async fn empty() -> Lattice {
    Lattice::in_memory("test").await.expect("a lattice")
}

/// Serves the page of a lattice at a free port until the value is dropped.
pub(crate) async fn served(lattice: &Lattice) -> UiServer {
    serve(Ui::new(lattice)).await
}

/// Serves a page that can't change anything.
pub(crate) async fn served_read_only(lattice: &Lattice) -> UiServer {
    serve(Ui::new(lattice).read_only()).await
}

async fn serve(ui: Ui) -> UiServer {
    let any = (Ipv4Addr::LOCALHOST, 0).into();
    ui.serve(any).await.expect("it listens")
}

/// A component whose only function of each interface says hello.
#[derive(Debug, Default)]
pub(crate) struct Program {
    types: ComponentTypes,
    refusal: Option<&'static str>,
}

impl Program {
    pub(crate) fn exports(mut self, interface: &str) -> Self {
        let (interface, types) = with_types(interface);
        self.types.exports.insert(interface, types);
        self
    }

    pub(crate) fn imports(mut self, interface: &str) -> Self {
        let (interface, types) = with_types(interface);
        self.types.imports.insert(interface, types);
        self
    }

    pub(crate) fn refuses(mut self, refusal: &'static str) -> Self {
        self.refusal = Some(refusal);
        self
    }
}

impl Service for Program {
    fn types(&self) -> Arc<ComponentTypes> {
        Arc::new(self.types.clone())
    }

    fn call(&self, _: Request) -> Answer {
        let hello: Bytes = to_bytes(&"hello").expect("a text encodes");
        Answer::Ready(Ok(hello))
    }

    fn linked(&self, _: Arc<Link>) -> BoxFuture<'static, Result<(), String>> {
        let refusal = self.refusal.map(str::to_owned);
        future::ready(refusal.map_or(Ok(()), Err)).boxed()
    }
}

pub(crate) fn version_of(interface: &str) -> InterfaceName {
    InterfaceName::new(&format!("{interface}@{VERSION}")).expect("an interface")
}

fn with_types(interface: &str) -> (InterfaceName, InterfaceTypes) {
    let function = FunctionName::new(GREET).expect("a function");
    let functions = BTreeMap::from([(function, "func() -> string".to_owned())]);
    (version_of(interface), InterfaceTypes { functions })
}
