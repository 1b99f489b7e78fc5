//! A component that reads the streams that it is given, and says what it has read.

use super::{
    liar::{ANY, Liar, chunk, passing},
    *,
};
use lattice_core::{
    call::Context,
    client::Caller,
    serve::{Answer, Request, Service},
    server::ServeHandle,
    stream::{self, Broken, Chunk, Handle, Handles, Reader, channel},
    types::ComponentTypes,
    wire::{HandleName, Item, SessionName},
};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

const SOON: Duration = Duration::from_secs(5);
/// The deadline of calls.
const LONG: Duration = Duration::from_secs(60);

/// What has become of a stream: its place among those of its call, its bytes, and how it ended.
pub(super) type Found = (usize, Vec<u8>, Result<(), Broken>);

/// Reads the streams of its calls, each in a task. Between two chunks it waits until it may go on.
#[derive(Clone)]
pub(super) struct Reads {
    found: mpsc::UnboundedSender<Found>,
    goes_on: Arc<watch::Sender<bool>>,
}

impl Service for Reads {
    fn types(&self) -> Arc<ComponentTypes> {
        Arc::new(types(&[("pass", ANY)]))
    }

    fn call(&self, request: Request) -> Answer {
        for (at, handle) in request.handles.into_iter().enumerate() {
            let (Handle::Stream(reader) | Handle::Future(reader)) = handle else {
                continue;
            };
            let (found, goes_on) = (self.found.clone(), self.goes_on.subscribe());
            tokio::spawn(async move {
                let (bytes, end) = read(reader, goes_on).await;
                // An error says that the test is over.
                let _ = found.send((at, bytes, end));
            });
        }
        Answer::Ready(Ok(Bytes::new()))
    }
}

async fn read(
    mut reader: Reader,
    mut goes_on: watch::Receiver<bool>,
) -> (Vec<u8>, Result<(), Broken>) {
    let mut bytes = Vec::new();
    loop {
        reader.ask(1);
        match reader.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk.bytes),
            Ok(None) => return (bytes, Ok(())),
            Err(broken) => return (bytes, Err(broken)),
        }
        // An error says that the test is over.
        drop(goes_on.wait_for(|goes_on| *goes_on).await);
    }
}

/// A scene with the component `reader` on host `b`, and a liar.
pub(super) struct Reading {
    pub(super) scene: Scene,
    pub(super) liar: Liar,
    pub(super) reads: Reads,
    pub(super) serving: ServeHandle,
    found: mpsc::UnboundedReceiver<Found>,
}

impl Reading {
    pub(super) async fn new() -> Self {
        Self::on(Scene::set().await).await
    }

    pub(super) async fn on(scene: Scene) -> Self {
        let (sender, found) = mpsc::unbounded_channel();
        let reads = Reads {
            found: sender,
            goes_on: Arc::new(watch::Sender::new(true)),
        };
        Self {
            serving: serve_as(&scene.two.b, "reader", reads.clone()).await,
            liar: scene.liar("liar").await,
            scene,
            reads,
            found,
        }
    }

    /// Has the reader stop after its next chunks, or go on.
    pub(super) fn goes_on(&self, goes_on: bool) {
        self.reads.goes_on.send_replace(goes_on);
    }

    /// Passes so many streams to the reader, in channels from 1, and waits for credit for each.
    pub(super) async fn streams(&mut self, count: u32) -> SessionName {
        let names: Vec<_> = (1..=count).map(HandleName::Stream).collect();
        let session = self.liar.pass("reader", &names).await;
        for channel in 1..=count {
            self.liar.credit(session, channel).await;
        }
        session
    }

    /// Waits until a stream has ended.
    pub(super) async fn found(&mut self) -> Found {
        let found = timeout(SOON, self.found.recv()).await;
        found.expect("in time").expect("the reader is there")
    }

    /// Whether no other stream has ended.
    pub(super) fn nothing_else_is_found(&mut self) -> bool {
        self.found.try_recv().is_err()
    }

    /// How many messages and items host `b` has refused.
    pub(super) fn refused(&self) -> u64 {
        self.scene.two.b.refused()
    }

    /// Sends an element of one byte in a channel, and ends it.
    pub(super) async fn finish(&self, session: SessionName, channel: u32, byte: u8) {
        self.liar
            .say(session, channel, chunk(0, 1, vec![byte]))
            .await;
        self.liar
            .say(session, channel, Item::End { number: 1 })
            .await;
    }
}

/// Passes a stream with these bytes from a real host to the component that `caller` is linked to.
pub(super) async fn pass_stream(caller: &Caller, mut bytes: Bytes) {
    let (mut writer, reader) = channel();
    tokio::spawn(async move {
        while !bytes.is_empty() {
            let room = writer.room().await.expect("a reader");
            let bytes = bytes.split_to(room.min(bytes.len()));
            let chunk = Chunk {
                count: bytes.len(),
                bytes,
                handles: Handles::new(),
            };
            writer.send(chunk).expect("room");
        }
        writer.end();
    });
    let body = stream::Body {
        bytes: Bytes::from_static(&[0]),
        handles: vec![Handle::Stream(reader)],
    };
    let passed = caller
        .pass(&passing("pass"), body, Context::new(LONG))
        .await;
    passed.expect("a result");
}
