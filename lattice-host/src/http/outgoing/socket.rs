//! A connection to a server, which counts for as long as it is open.

use super::permits::Permit;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use std::{
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    net::TcpStream,
    time::{Sleep, sleep},
};

/// A connection over TCP. It fails when nothing can be written for too long: what hyper waits to
/// write isn't seen by any other timeout once the response has begun.
pub(super) struct Socket {
    stream: TokioIo<TcpStream>,
    stall: Stall,
    _permit: Permit,
}

impl Socket {
    /// `longest` is how long a part may wait to be written.
    pub(super) fn new(stream: TcpStream, longest: Duration, permit: Permit) -> Self {
        Self {
            stream: TokioIo::new(stream),
            stall: Stall {
                longest,
                timer: None,
            },
            _permit: permit,
        }
    }
}

/// How long a part has been waiting to be written.
struct Stall {
    longest: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.timer = None;
            return written;
        }
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep(self.longest)));
        timer.as_mut().poll(cx).map(|()| {
            let text = format!("nothing could be sent for {:?}", self.longest);
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        })
    }
}

impl Connection for Socket {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl Write for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.stall.watch(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.stall.watch(cx, written)
    }
}
