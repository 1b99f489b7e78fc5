//! A native component that tests control.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use lattice_core::{
    call::{CallError, FunctionRef},
    link::{Link, LinkKey},
    name::{ComponentId, FunctionName, InterfaceName},
    serve::{Answer, Request, Service},
    types::{ComponentTypes, InterfaceTypes},
    value::{from_bytes, to_bytes},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::Notify;

pub const API: &str = "test:calls/api@0.1.0";
pub const ECHO: &str = "func(text: string) -> string";
const PLAIN: &str = "func()";

/// `echo` returns its text, `wait` returns once it is released, `panic` panics, `later-panic`
/// panics after a yield, `fail` fails, and `left` returns the milliseconds left until the deadline.
#[derive(Default)]
pub struct Api {
    pub calls: AtomicUsize,
    pub started: Notify,
    pub release: Notify,
    pub running: AtomicUsize,
    pub links: Mutex<Vec<String>>,
    pub refuse: Mutex<Option<String>>,
}

/// Counts one running call until it is dropped.
pub struct Running<'a>(&'a AtomicUsize);

impl<'a> Running<'a> {
    pub fn enter(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

pub fn id(text: &str) -> ComponentId {
    ComponentId::new(text).expect("a component id")
}

pub fn function(name: &str, signature: &str) -> FunctionRef {
    let interface = InterfaceName::new(API).expect("an interface");
    FunctionRef::new(
        interface,
        FunctionName::new(name).expect("a function"),
        signature,
    )
}

pub fn echo() -> FunctionRef {
    function("echo", ECHO)
}

pub fn wait() -> FunctionRef {
    function("wait", PLAIN)
}

pub fn text(value: &str) -> Bytes {
    to_bytes(&(value,)).expect("a string encodes")
}

/// Returns types with one interface of these functions.
pub fn types(functions: &[(&str, &str)]) -> ComponentTypes {
    let functions = functions
        .iter()
        .map(|(name, signature)| {
            (
                FunctionName::new(name).expect("a function"),
                (*signature).to_owned(),
            )
        })
        .collect();
    let interface = InterfaceName::new(API).expect("an interface");
    let exports = BTreeMap::from([(interface, InterfaceTypes { functions })]);
    ComponentTypes {
        exports,
        ..ComponentTypes::default()
    }
}

pub struct Serve(pub Arc<Api>);

impl Service for Serve {
    fn types(&self) -> Arc<ComponentTypes> {
        let plain = ["wait", "panic", "later-panic", "fail"].map(|name| (name, PLAIN));
        let mut all = vec![
            ("echo", ECHO),
            ("left", "func() -> u64"),
            ("big", "func(n: u32) -> list<u8>"),
        ];
        all.extend(plain);
        Arc::new(types(&all))
    }

    fn errors_are_its_own(&self) -> bool {
        true
    }

    fn call(&self, request: Request) -> Answer {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        let is = |name: &str, signature: &str| function(name, signature).key() == request.function;
        if is("echo", ECHO) {
            let answer = from_bytes::<(String,)>(&request.args).and_then(|(text,)| to_bytes(&text));
            return Answer::Ready(answer.map_err(|error| CallError::BadArguments {
                reason: error.to_string(),
            }));
        }
        if is("left", "func() -> u64") {
            return Answer::Ready(Ok(
                to_bytes(&(request.context.left().as_millis() as u64)).expect("a number encodes")
            ));
        }
        if is("big", "func(n: u32) -> list<u8>") {
            let (n,) = from_bytes::<(u32,)>(&request.args).expect("a number");
            return Answer::Ready(Ok(Bytes::from(vec![1; n as usize])));
        }
        assert!(!is("panic", PLAIN), "told to");
        if is("fail", PLAIN) {
            return Answer::Ready(Err(CallError::CalleeFailed {
                reason: "told to".to_owned(),
            }));
        }
        let api = self.0.clone();
        let panics = is("later-panic", PLAIN);
        Answer::Later(Box::pin(async move {
            tokio::task::yield_now().await;
            assert!(!panics, "told to, later");
            let _running = Running::enter(&api.running);
            api.started.notify_one();
            api.release.notified().await;
            Ok(Bytes::new())
        }))
    }

    fn linked(&self, link: Arc<Link>) -> BoxFuture<'static, Result<(), String>> {
        self.0
            .links
            .lock()
            .expect("not poisoned")
            .push(format!("+{} {}", link.source, link.config));
        let refusal = self.0.refuse.lock().expect("not poisoned").clone();
        Box::pin(async move { refusal.map_or(Ok(()), Err) })
    }

    fn unlinked(&self, link: &LinkKey) {
        self.0
            .links
            .lock()
            .expect("not poisoned")
            .push(format!("-{}", link.source));
    }
}
