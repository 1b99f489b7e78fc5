//! A connection that doesn't wait forever for its client.
//!
//! Neither hyper-util, while it detects the protocol, nor TLS has a timeout, and hyper's own for
//! heads also counts the time between requests. So the time is kept here, for the bytes:
//!
//! ```text
//!           the first head arrives          the last response ends
//! starting ───────────────────────► serving ◄──────────────────────► idle
//!  `header` in all                  `stalled` while it sends          `idle`, and `header` from the
//!                                                                     first byte of the next head on
//! ```
//!
//! Over HTTP/2, an idle connection is told to end (`GOAWAY`), and has `idle` once more for that.

use lattice_core::sync::Mutex;
use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
    time::{Instant, Sleep, sleep_until},
};

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConnectionTimes {
    /// For a whole head, and for the first byte before it.
    pub(super) header: Duration,
    /// Between two requests.
    pub(super) idle: Duration,
    /// To take what is sent to it.
    pub(super) stalled: Duration,
}

/// What a connection does, as those who serve its requests know it.
pub(super) struct Activity {
    in_flight: AtomicUsize,
    /// How many requests have begun.
    begun: AtomicU64,
    is_http2: AtomicBool,
    has_broken: AtomicBool,
    /// The first request has begun.
    has_begun: Notify,
    idle_since: Mutex<Instant>,
    /// The client has sent nothing for so long that the connection should end.
    pub(super) is_idle: Notify,
}

/// Counts a request as running until it is dropped.
pub(super) struct RunningRequest(Arc<Activity>);

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            in_flight: AtomicUsize::new(0),
            begun: AtomicU64::new(0),
            is_http2: AtomicBool::new(false),
            has_broken: AtomicBool::new(false),
            has_begun: Notify::new(),
            idle_since: Mutex::new(Instant::now()),
            is_idle: Notify::new(),
        })
    }

    /// Notes that a request has arrived.
    pub(super) fn begin(self: &Arc<Self>, is_http2: bool) -> RunningRequest {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        self.is_http2.store(is_http2, Ordering::Release);
        if self.begun.fetch_add(1, Ordering::AcqRel) == 0 {
            self.has_begun.notify_one();
        }
        RunningRequest(self.clone())
    }

    /// Waits for the first request.
    pub(super) async fn first_request(&self) {
        if self.begun.load(Ordering::Acquire) == 0 {
            self.has_begun.notified().await;
        }
    }

    /// Notes that a response broke whose end only the end of the connection shows.
    pub(super) fn set_broken(&self) {
        self.has_broken.store(true, Ordering::Release);
    }

    fn is_running(&self) -> bool {
        self.in_flight.load(Ordering::Acquire) > 0
    }
}

impl RunningRequest {
    pub(super) fn activity(&self) -> &Activity {
        &self.0
    }
}

impl Drop for RunningRequest {
    fn drop(&mut self) {
        // Set before the count, so that an idle connection never has an old time.
        *self.0.idle_since.lock() = Instant::now();
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A connection whose end can be made visible to the other side.
pub(super) trait Reset {
    /// Makes the connection end with a reset and not with an orderly end.
    fn reset(&self);
}

/// A connection that fails as [`TimedOut`](io::ErrorKind::TimedOut).
pub(super) struct TimedIo<I: Reset> {
    io: I,
    times: ConnectionTimes,
    activity: Arc<Activity>,
    opened: Instant,
    /// How many requests had begun when the head was begun that arrives now, and when that was.
    head: Option<(u64, Instant)>,
    has_ended_idle: bool,
    read: Option<Pin<Box<Sleep>>>,
    /// Since when a write waits.
    stalled_since: Option<Instant>,
    write: Option<Pin<Box<Sleep>>>,
}

impl<I: Reset> TimedIo<I> {
    pub(super) fn new(io: I, times: ConnectionTimes, activity: Arc<Activity>) -> Self {
        Self {
            io,
            times,
            activity,
            opened: Instant::now(),
            head: None,
            has_ended_idle: false,
            read: None,
            stalled_since: None,
            write: None,
        }
    }

    /// Returns until when the client has to send something.
    fn read_deadline(&self, now: Instant) -> Instant {
        let begun = self.activity.begun.load(Ordering::Acquire);
        if begun == 0 {
            return self.opened + self.times.header;
        }
        if self.activity.is_running() {
            // Looked at again then.
            return now + self.times.idle;
        }
        let idle = *self.activity.idle_since.lock() + self.times.idle;
        let is_http2 = self.activity.is_http2.load(Ordering::Acquire);
        match self.head {
            _ if is_http2 && self.has_ended_idle => idle + self.times.idle,
            Some((at, since)) if at == begun && !is_http2 => since + self.times.header,
            _ => idle,
        }
    }

    /// Returns an error if the client has taken too long, and otherwise waits until it has.
    fn check_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            let now = Instant::now();
            let deadline = self.read_deadline(now);
            if deadline <= now {
                let is_http2 = self.activity.is_http2.load(Ordering::Acquire);
                if !is_http2 || self.has_ended_idle {
                    return Poll::Ready(late("the client sent nothing for too long"));
                }
                self.has_ended_idle = true;
                self.activity.is_idle.notify_one();
                continue;
            }
            // A timer that is set for an earlier time stays, and the deadline is computed again
            // when it is over. So a busy connection doesn't set its timer for each request.
            let is_early =
                |sleep: &Pin<Box<Sleep>>| sleep.deadline() <= deadline && !sleep.is_elapsed();
            if !self.read.as_ref().is_some_and(is_early) {
                arm(&mut self.read, deadline);
            }
            let Some(sleep) = &mut self.read else {
                continue;
            };
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Passes on the result of a write. Returns an error if the client has taken nothing for too
    /// long.
    fn check_write<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled_since = None;
            return written;
        }
        loop {
            let now = Instant::now();
            let deadline = *self.stalled_since.get_or_insert(now) + self.times.stalled;
            if deadline <= now {
                return Poll::Ready(Err(late("the client took nothing for too long")));
            }
            let is_early =
                |sleep: &Pin<Box<Sleep>>| sleep.deadline() <= deadline && !sleep.is_elapsed();
            if !self.write.as_ref().is_some_and(is_early) {
                arm(&mut self.write, deadline);
            }
            let Some(sleep) = &mut self.write else {
                continue;
            };
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

fn arm(sleep: &mut Option<Pin<Box<Sleep>>>, deadline: Instant) {
    match sleep {
        Some(sleep) => sleep.as_mut().reset(deadline),
        None => *sleep = Some(Box::pin(sleep_until(deadline))),
    }
}

fn late(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl<I: AsyncRead + Reset + Unpin> AsyncRead for TimedIo<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        if read.is_pending() {
            return self.check_read(cx).map(Err);
        }
        if buffer.filled().len() > before && !self.activity.is_running() {
            let begun = self.activity.begun.load(Ordering::Acquire);
            if self.head.is_none_or(|(at, _)| at != begun) {
                self.head = Some((begun, Instant::now()));
            }
        }
        read
    }
}

impl<I: AsyncWrite + Reset + Unpin> AsyncWrite for TimedIo<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.check_write(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, parts);
        self.check_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.check_write(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.io).poll_shutdown(cx);
        self.check_write(cx, ended)
    }
}

impl<I: Reset> Drop for TimedIo<I> {
    fn drop(&mut self) {
        if self.activity.has_broken.load(Ordering::Acquire) {
            self.io.reset();
        }
    }
}

#[cfg(test)]
#[path = "timeouts_tests.rs"]
mod tests;
