//! Standard output and error of a guest, line by line.

use crate::guest::{ActorLog, MAX_LINE, PanicText};
use bytes::Bytes;
use lattice_core::sync::Mutex;
use std::{
    pin::Pin,
    sync::{Arc, MutexGuard},
    task::{Context, Poll},
};
use tokio::io::{self, AsyncWrite};
use tracing::Level;
use wasmtime_wasi::{
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamResult},
};

/// Bytes that a guest may write at once.
const PERMIT: usize = 64 << 10;

/// One of the two streams of one instance. All handles to a stream share its unfinished line.
#[derive(Clone)]
pub(super) struct Output(Arc<Mutex<Lines>>);

struct Lines {
    log: Arc<ActorLog>,
    stream: &'static str,
    level: Level,
    /// The place where the message of a panic is kept, if this is the standard error.
    panic_text: Option<PanicText>,
    /// The bytes after the last end of a line.
    unfinished: Vec<u8>,
}

impl Output {
    pub(super) fn stdout(log: &Arc<ActorLog>) -> Self {
        Self::new(log, "stdout", Level::INFO, None)
    }

    pub(super) fn stderr(log: &Arc<ActorLog>, panic_text: PanicText) -> Self {
        Self::new(log, "stderr", Level::WARN, Some(panic_text))
    }

    fn new(
        log: &Arc<ActorLog>,
        stream: &'static str,
        level: Level,
        panic_text: Option<PanicText>,
    ) -> Self {
        Self(Arc::new(Mutex::new(Lines {
            log: log.clone(),
            stream,
            level,
            panic_text,
            unfinished: Vec::new(),
        })))
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock()
    }
}

impl Lines {
    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            match part.strip_suffix(b"\n") {
                Some(end) => {
                    self.append(end);
                    self.flush();
                }
                None => self.append(part),
            }
        }
    }

    fn append(&mut self, mut bytes: &[u8]) {
        while self.unfinished.len() + bytes.len() > MAX_LINE {
            let (fits, rest) = bytes.split_at(MAX_LINE - self.unfinished.len());
            self.unfinished.extend_from_slice(fits);
            self.flush();
            bytes = rest;
        }
        self.unfinished.extend_from_slice(bytes);
    }

    fn flush(&mut self) {
        let line = String::from_utf8_lossy(&self.unfinished);
        let line = line.trim_end_matches('\r');
        self.log.line(self.level, self.stream, line);
        if let Some(panic_text) = &self.panic_text {
            panic_text.line(line);
        }
        self.unfinished.clear();
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if !self.unfinished.is_empty() {
            self.flush();
        }
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.lines().write(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl AsyncWrite for Output {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.lines().write(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
