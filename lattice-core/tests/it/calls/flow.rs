//! Streams, futures and handles in calls between two hosts.

mod away;
mod counted;
mod handles;
mod hosts;
mod sessions;
mod streams;

use super::memory::nothing_is_held;
use crate::support::*;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use lattice_core::{
    Lattice,
    bus::{Bus, memory::MemoryNetwork},
    call::{CallError, Context, FunctionRef},
    client::Caller,
    name::LinkName,
    node::Node,
    quantity::ByteSize,
    serve::{Answer, CallerInstance, Request, Service},
    server::ServeHandle,
    store::MemoryStore,
    stream::{Body, Broken, Chunk, Handle, Handles, Reader, Writer, channel},
    types::ComponentTypes,
};
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinHandle, time::timeout};

const SOON: Duration = Duration::from_secs(20);
const PASS: &str = "func(any: list<stream<u8>>) -> list<stream<u8>>";

type Work = BoxFuture<'static, Result<Body, CallError>>;
type Handler = Arc<dyn Fn(Request) -> Work + Send + Sync>;

/// A component with one function, `pass`.
struct Passing(Handler);

impl Service for Passing {
    fn types(&self) -> Arc<ComponentTypes> {
        Arc::new(types(&[("pass", PASS)]))
    }

    fn call(&self, request: Request) -> Answer {
        Answer::Passing((self.0)(request))
    }
}

fn pass() -> FunctionRef {
    function("pass", PASS)
}

/// Host `a`, whose `caller` is linked to `callee` on host `b`.
struct Hosts {
    here: Lattice,
    there: Lattice,
    a: Node,
    b: Node,
    caller: Caller,
    _serving: ServeHandle,
}

/// Two hosts on their own connections.
async fn hosts<W>(handler: impl Fn(Request) -> W + Send + Sync + 'static) -> Hosts
where
    W: Future<Output = Result<Body, CallError>> + Send + 'static,
{
    let network = MemoryNetwork::new();
    let buses: [Arc<dyn Bus>; 2] = [Arc::new(network.connect()), Arc::new(network.connect())];
    hosts_on(buses, handler).await
}

async fn hosts_on<W>(
    buses: [Arc<dyn Bus>; 2],
    handler: impl Fn(Request) -> W + Send + Sync + 'static,
) -> Hosts
where
    W: Future<Output = Result<Body, CallError>> + Send + 'static,
{
    let store = Arc::new(MemoryStore::new());
    let join = async |bus| {
        let lattice = Lattice::on(bus, store.clone(), "test").trust_bus();
        lattice.await.expect("it opens")
    };
    let [one, other] = buses;
    let (here, there) = (join(one).await, join(other).await);
    let (a, b) = (host(&here, "a").await, host(&there, "b").await);
    let handler: Handler = Arc::new(move |request| Box::pin(handler(request)));
    let serving = serve_as(&b, "callee", Passing(handler)).await;
    link(&here, "caller", "callee").await;
    Hosts {
        caller: a.caller("caller").expect("valid"),
        here,
        there,
        a,
        b,
        _serving: serving,
    }
}

impl Hosts {
    async fn pass(&self, handles: Handles) -> Result<Body, CallError> {
        self.pass_for(handles, SOON).await
    }

    async fn pass_for(&self, handles: Handles, limit: Duration) -> Result<Body, CallError> {
        let body = Body {
            bytes: Bytes::from(vec![0; handles.len()]),
            handles,
        };
        let options = (CallerInstance::Here, Context::new(limit));
        let link = LinkName::default();
        self.caller.pass_via(&pass(), &link, body, options).await
    }

    /// Nothing of what was passed is left.
    async fn nothing_is_left(&self) {
        nothing_is_held(&self.here).await;
        nothing_is_held(&self.there).await;
        assert_eq!((self.a.refused(), self.b.refused()), (0, 0));
    }
}

/// A body that is one handle.
fn body(handle: Handle) -> Body {
    Body {
        bytes: Bytes::from_static(&[0]),
        handles: vec![handle],
    }
}

fn nothing() -> Body {
    Bytes::new().into()
}

fn stream(handle: Handle) -> Reader {
    match handle {
        Handle::Stream(reader) => reader,
        other => panic!("{other:?} is not a stream"),
    }
}

/// The only handle of a request or a result.
fn only(handles: Handles) -> Handle {
    let [handle] = <[Handle; 1]>::try_from(handles).expect("one handle");
    handle
}

/// The byte of a stream at this place.
fn byte(at: usize) -> u8 {
    (at.wrapping_mul(2_654_435_761) >> 13) as u8
}

fn chunk(bytes: impl Into<Bytes>) -> Chunk {
    let bytes = bytes.into();
    Chunk {
        count: bytes.len(),
        bytes,
        handles: Handles::new(),
    }
}

/// One element of several bytes.
fn element(bytes: impl Into<Bytes>) -> Chunk {
    Chunk {
        count: 1,
        ..chunk(bytes)
    }
}

/// Writes bytes from `range`. Returns the writer, or `None` when the reader was gone.
async fn write(mut writer: Writer, range: std::ops::Range<usize>) -> Option<Writer> {
    let mut at = range.start;
    while at < range.end {
        let room = writer.room().await?;
        let next = range.end.min(at + room.min(60_000));
        let bytes: Vec<u8> = (at..next).map(byte).collect();
        if writer.send(chunk(bytes)).is_err() {
            return None;
        }
        at = next;
    }
    Some(writer)
}

/// Writes a stream of this size, and ends it.
fn written(size: usize) -> Reader {
    let (writer, reader) = channel();
    tokio::spawn(async move {
        if let Some(writer) = write(writer, 0..size).await {
            writer.end();
        }
    });
    reader
}

/// Reads bytes to the end, and checks each. Returns how many there were, and how it ended.
async fn read(mut reader: Reader) -> (usize, Result<(), Broken>) {
    let mut at = 0;
    loop {
        reader.ask(50_000);
        match next(&mut reader).await {
            Ok(Some(chunk)) => {
                assert_eq!(chunk.count, chunk.bytes.len());
                for found in chunk.bytes {
                    assert_eq!(found, byte(at), "at {at}");
                    at += 1;
                }
            }
            Ok(None) => return (at, Ok(())),
            Err(broken) => return (at, Err(broken)),
        }
    }
}

async fn next(reader: &mut Reader) -> Result<Option<Chunk>, Broken> {
    let chunk = timeout(SOON, reader.chunk()).await;
    chunk.expect("in time")
}

fn reads(reader: Reader) -> JoinHandle<(usize, Result<(), Broken>)> {
    tokio::spawn(read(reader))
}

/// Waits until a writer sees that its reader is gone.
async fn unread(writer: &mut Writer) {
    let gone = async {
        while writer.room().await.is_some_and(|_| true) {
            tokio::task::yield_now().await
        }
    };
    timeout(SOON, gone).await.expect("in time");
}
