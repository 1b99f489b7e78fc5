//! A proxy between a client and a server: it passes bytes on, swallows those of one direction, or
//! cuts every connection.

use std::sync::{Arc, Mutex};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::{AbortHandle, JoinHandle},
};

/// The treatment of the bytes of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Pass,
    Swallow,
    /// Passes everything up to the line that ends with this text, and drops the rest.
    PassUntil(&'static [u8]),
}

/// The end of each line of the protocol.
const LINE_END: &[u8] = b"\r\n";

pub(crate) struct Proxy {
    port: u16,
    requests: watch::Sender<Flow>,
    answers: watch::Sender<Flow>,
    /// How many bytes were swallowed, in both directions.
    swallowed: Arc<watch::Sender<usize>>,
    pipes: Arc<Mutex<Vec<AbortHandle>>>,
    listener: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn before(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let (requests, answers) = (
            watch::Sender::new(Flow::Pass),
            watch::Sender::new(Flow::Pass),
        );
        let swallowed = Arc::new(watch::Sender::new(0));
        let pipes = Arc::new(Mutex::new(Vec::new()));
        let task = {
            let (requests, answers) = (requests.subscribe(), answers.subscribe());
            let (swallowed, pipes) = (swallowed.clone(), pipes.clone());
            tokio::spawn(async move {
                loop {
                    let (client, _) = listener.accept().await.expect("a client");
                    let Ok(server) = TcpStream::connect(&server).await else {
                        continue;
                    };
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    let both = [
                        tokio::spawn(pipe(
                            from_client,
                            to_server,
                            requests.clone(),
                            swallowed.clone(),
                        )),
                        tokio::spawn(pipe(
                            from_server,
                            to_client,
                            answers.clone(),
                            swallowed.clone(),
                        )),
                    ];
                    let handles = both.iter().map(JoinHandle::abort_handle);
                    pipes.lock().expect("not poisoned").extend(handles);
                }
            })
        };
        Self {
            port,
            requests,
            answers,
            swallowed,
            pipes,
            listener: task,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Sets what happens to bytes from the client from now on.
    pub(crate) fn requests(&self, flow: Flow) {
        self.swallowed.send_replace(0);
        self.requests.send_replace(flow);
    }

    /// Sets what happens to bytes from the server from now on.
    pub(crate) fn answers(&self, flow: Flow) {
        self.swallowed.send_replace(0);
        self.answers.send_replace(flow);
    }

    /// Returns when something has been swallowed since the last change of a flow.
    pub(crate) async fn swallows(&self) {
        let mut swallowed = self.swallowed.subscribe();
        let first = swallowed.wait_for(|bytes| *bytes > 0);
        first.await.expect("the proxy is there");
    }

    /// Closes every connection. New ones are accepted.
    pub(crate) fn cut(&self) {
        for pipe in self.pipes.lock().expect("not poisoned").drain(..) {
            pipe.abort();
        }
        self.requests(Flow::Pass);
        self.answers(Flow::Pass);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listener.abort();
        self.cut();
    }
}

async fn pipe(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    flow: watch::Receiver<Flow>,
    swallowed: Arc<watch::Sender<usize>>,
) {
    let mut buffer = vec![0; 64 * 1024];
    // The end of the passed bytes, which may contain the beginning of the text to stop at.
    let mut tail: Vec<u8> = Vec::new();
    let mut is_past = false;
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let now = *flow.borrow();
        let passes = match now {
            Flow::PassUntil(text) if !is_past => {
                let before = tail.len();
                tail.extend(&buffer[..count]);
                if let Some(at) = tail.windows(text.len()).position(|found| found == text) {
                    is_past = true;
                    (at + text.len() + LINE_END.len() - before).min(count)
                } else {
                    tail.drain(..tail.len().saturating_sub(text.len() - 1));
                    count
                }
            }
            Flow::PassUntil(_) | Flow::Swallow => 0,
            Flow::Pass => count,
        };
        match now {
            Flow::PassUntil(_) => {
                if to.write_all(&buffer[..passes]).await.is_err() {
                    return;
                }
                swallowed.send_modify(|bytes| *bytes += count - passes);
            }
            Flow::Swallow => swallowed.send_modify(|bytes| *bytes += count),
            Flow::Pass if to.write_all(&buffer[..count]).await.is_err() => return,
            Flow::Pass => {}
        }
    }
}
