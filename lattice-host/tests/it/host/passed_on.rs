//! A component that only passes a stream or a future on is out of its way: its instance ends, while
//! what it has passed on goes on.

use super::{
    flow::{PIPES, PLACE, next, read_all, reader, write_all},
    flow_remote::programs,
    support::*,
};
use bytes::Bytes;
use lattice_core::{
    Lattice,
    call::{Context, FunctionRef},
    name::{FunctionName, InterfaceName},
    stream::{Body, Chunk, Handle, Handles, Reader, channel},
    types::ComponentTypes,
    value::from_bytes,
};
use lattice_host::{ByteSize, Engine, Host};
use std::{future::poll_fn, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout};

const THINGS: &str = "lattice-test:values/things@0.1.0";
const FLOWS: &str = "lattice-test:values/flows@0.1.0";
const PASSING: &str = "lattice-test:values/passing@0.1.0";
const COUNT: usize = 300_000;

/// A component in the middle, alone on an engine.
struct Middle {
    /// Where operator calls come from.
    lattice: Lattice,
    id: &'static str,
    types: Arc<ComponentTypes>,
    engine: Engine,
    _host: Host,
}

impl Middle {
    /// Starts it on a host of `on`, for calls from `lattice`.
    async fn start(id: &'static str, guest: &str, on: &Lattice, lattice: Lattice) -> Self {
        let engine = Engine::builder().build().expect("an engine");
        let host = Host::builder(on).id("middle-host").engine(engine.clone());
        let host = started(host.actor(id, actor(guest))).await;
        served(&lattice, id).await;
        let types = lattice.operator().component(id).types().await;
        Self {
            lattice,
            id,
            types: types.expect("it is served"),
            engine,
            _host: host,
        }
    }

    async fn call(
        &self,
        (interface, function): (&str, &str),
        bytes: impl Into<Bytes>,
        handles: Handles,
    ) -> Handle {
        let interface = InterfaceName::new(interface).expect("a name");
        let function = FunctionName::new(function).expect("a name");
        let (_, functions) = self.types.export(&interface).expect("it is exported");
        let signature = &functions.functions[&function];
        let function = FunctionRef::new(interface, function, signature);
        let middle = self.lattice.operator().component(self.id);
        let bytes = bytes.into();
        let body = Body { bytes, handles };
        let passed = middle.pass(&function, body, Context::new(PATIENCE)).await;
        let mut passed = passed.unwrap_or_else(|error| panic!("{}: {error}", self.id));
        passed.handles.pop().expect("it returns what it has got")
    }

    /// Waits until it has no instance any more.
    async fn is_out_of_the_way(&self) {
        let until = Instant::now() + PATIENCE / 2;
        while self.engine.guest_memory().used > ByteSize::bytes(0) {
            assert!(Instant::now() < until, "the instance of {} stays", self.id);
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Returns where the component in the middle runs, and where its callers are: in one program, and
/// in two.
async fn together_and_apart() -> [(Lattice, Lattice); 2] {
    let together = lattice().await;
    let [one, other] = programs().await;
    [(together.clone(), together), (one, other)]
}

fn stream(handle: Handle) -> Reader {
    let handles = vec![handle];
    reader(Body {
        bytes: Bytes::new(),
        handles,
    })
}

fn future(handle: Handle) -> Reader {
    match handle {
        Handle::Future(reader) => reader,
        other => panic!("not a future: {other:?}"),
    }
}

#[tokio::test]
async fn a_stream_goes_on_without_the_instance_that_has_passed_it_on() {
    for (on, from) in together_and_apart().await {
        let middle = Middle::start("giver", "giver", &on, from).await;
        let (mut writer, sent) = channel();
        let sent = vec![Handle::Stream(sent)];
        let passed = middle.call((PIPES, "pass-stream"), PLACE, sent).await;
        let mut passed = stream(passed);
        middle.is_out_of_the_way().await;

        let write = async move {
            write_all(&mut writer, Bytes::from(vec![5; COUNT])).await;
            writer.end();
        };
        let ((), read) = tokio::join!(write, read_all(&mut passed));
        assert_eq!(read, (COUNT, Ok(())));
    }
}

#[tokio::test]
async fn a_future_comes_without_the_instance_that_has_passed_it_on() {
    for (on, from) in together_and_apart().await {
        let middle = Middle::start("giver", "giver", &on, from).await;
        let (mut writer, sent) = channel();
        let sent = vec![Handle::Future(sent)];
        let passed = middle.call((PIPES, "pass-future"), PLACE, sent).await;
        let mut passed = future(passed);
        middle.is_out_of_the_way().await;

        let write = async move {
            writer.room().await.expect("it is read");
            let value = Chunk {
                count: 1,
                bytes: encoded(&"it comes"),
                handles: Handles::new(),
            };
            writer.send(value).expect("there is room");
            writer.end();
        };
        passed.ask(1);
        let ((), value) = tokio::join!(write, next(&mut passed));
        let value = value.expect("it comes").expect("a value");
        let text: String = from_bytes(&value.bytes).expect("a text");
        assert_eq!(text, "it comes");
    }
}

#[tokio::test]
async fn who_writes_sees_that_the_reader_of_what_was_passed_on_is_gone() {
    for (on, from) in together_and_apart().await {
        let middle = Middle::start("giver", "giver", &on, from).await;
        for function in ["pass-stream", "pass-future"] {
            let (mut writer, sent) = channel();
            let sent = match function {
                "pass-stream" => Handle::Stream(sent),
                _ => Handle::Future(sent),
            };
            let passed = middle.call((PIPES, function), PLACE, vec![sent]).await;
            middle.is_out_of_the_way().await;
            drop(passed);
            let gone = timeout(PATIENCE, poll_fn(|cx| writer.poll_unread(cx)));
            gone.await
                .unwrap_or_else(|_| panic!("{function}: not seen"));
        }
    }
}

/// What another component makes, and the rest of a stream whose beginning was read.
#[tokio::test]
async fn what_was_made_elsewhere_goes_on_without_the_instance_that_has_passed_it_on() {
    let [one, on, from] = programs().await;
    let origin = Host::builder(&one).id("origin-host");
    let _origin = started(origin.actor("origin", actor("values_origin"))).await;
    served(&on, "origin").await;
    for interface in [THINGS, FLOWS] {
        link(&from, "relay", interface, "origin").await;
    }
    let middle = Middle::start("relay", "values_relay", &on, from).await;

    let size = encoded(&(COUNT as u64, 9_999_u32));
    let made = middle.call((PASSING, "bytes"), size, Handles::new()).await;
    middle.is_out_of_the_way().await;
    assert_eq!(read_all(&mut stream(made)).await, (COUNT, Ok(())));

    for function in ["readings", "made"] {
        let count = encoded(&(1_000_u32,));
        let made = middle.call((PASSING, function), count, Handles::new());
        let made = made.await;
        middle.is_out_of_the_way().await;
        let read = read_all(&mut stream(made)).await;
        assert_eq!(read, (1_000, Ok(())), "{function}");
    }

    let later = middle.call((PASSING, "later"), encoded(&("a",)), Handles::new());
    let mut later = future(later.await);
    middle.is_out_of_the_way().await;
    later.ask(1);
    let thing = next(&mut later).await.expect("it comes");
    assert_eq!(thing.map(|thing| thing.handles.len()), Some(1));

    let (mut writer, sent) = channel();
    let arguments = encoded(&(0_u8, 70_000_u32));
    let sent = vec![Handle::Stream(sent)];
    let write = async {
        write_all(&mut writer, Bytes::from(vec![1; 70_000])).await;
        writer
    };
    let rest = middle.call((PASSING, "rest"), arguments, sent);
    let (mut writer, rest) = tokio::join!(write, rest);
    middle.is_out_of_the_way().await;
    let write = async move {
        write_all(&mut writer, Bytes::from(vec![1; COUNT])).await;
        writer.end();
    };
    let mut rest = stream(rest);
    let ((), read) = tokio::join!(write, read_all(&mut rest));
    assert_eq!(read, (COUNT, Ok(())));
}
