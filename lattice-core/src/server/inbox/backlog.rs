//! Frames that were read and whose calls are still to be run, in the order of their arrival, and
//! the runner that does so.

use super::super::{Server, component::RunningComponent};
use crate::{
    budget::{Held, SMALL},
    sync::Mutex,
    transport::reply_path::{ReplyFlush, ReplyPath},
    wire::{Envelopes, Frame, Kind, Names},
};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tokio::{sync::Notify, time::Instant};

/// Calls that are run before their replies are flushed.
const BATCH: usize = 256;
/// Frames that may wait. The calls in further ones are refused as not run.
const MOST: usize = 16_384;

pub(super) struct Backlog {
    pub(super) server: Arc<Server>,
    frames: Mutex<VecDeque<WaitingFrame>>,
    /// Replies that were queued and have to be flushed.
    due: Mutex<Vec<ReplyFlush>>,
    work: Notify,
    /// The number of the runner that takes the next call.
    current: AtomicU64,
}

struct WaitingFrame {
    kind: Kind,
    path: Arc<ReplyPath>,
    /// Those that are still to be taken.
    envelopes: Envelopes,
    received: Instant,
    memory: FrameMemory,
}

/// The memory of a frame: until its last envelope is taken, it counts for its sender, and until the
/// last of its calls has ended, for the budget of all calls.
struct FrameMemory {
    bytes: usize,
    held: Option<Arc<Held>>,
}

/// One envelope of a frame.
pub(super) struct Arrived {
    pub(super) kind: Kind,
    pub(super) path: Arc<ReplyPath>,
    pub(super) envelope: Bytes,
    /// When its frame reached this process.
    pub(super) received: Instant,
    /// The memory of its frame.
    pub(super) held: Option<Arc<Held>>,
}

/// Runs calls one after the other, each as far as it goes without waiting.
#[derive(Default)]
pub(super) struct Runner {
    number: u64,
    has_begun: AtomicBool,
    /// Grows when a call begins and when it ends: odd while one runs.
    pub(super) steps: AtomicU64,
    /// Whose code runs.
    pub(super) runs: Mutex<Option<Arc<RunningComponent>>>,
}

impl Backlog {
    pub(super) fn new(server: Arc<Server>) -> Self {
        Self {
            server,
            frames: Mutex::default(),
            due: Mutex::default(),
            work: Notify::new(),
            current: AtomicU64::new(0),
        }
    }

    /// Adds a frame of calls or cancellations, which reached this process at `received`.
    pub(super) fn push(&self, frame: &Frame, path: Arc<ReplyPath>, received: Instant) {
        let kind = frame.kind();
        if kind == Kind::Call {
            self.server.frames.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(memory) = FrameMemory::hold(frame, &path) {
            let waiting = WaitingFrame {
                kind,
                path: path.clone(),
                envelopes: frame.envelopes(),
                received,
                memory,
            };
            let mut frames = self.frames.lock();
            if frames.len() < MOST {
                return frames.push_back(waiting);
            }
            drop(frames);
            path.waiting_bytes.sub(waiting.memory.bytes);
        }
        if kind == Kind::Call {
            let due = frame
                .envelopes()
                .filter_map(|envelope| self.server.refuse_call(&path, envelope));
            drop(due.collect::<Vec<_>>());
            self.server.handled.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.lock().is_empty()
    }

    /// Has the runner look at the frames, if there are any. Returns whether there are.
    pub(super) fn wake(&self) -> bool {
        let has_work = !self.is_empty();
        if has_work {
            self.work.notify_one();
        }
        has_work
    }

    fn next(&self) -> Option<Arrived> {
        let mut frames = self.frames.lock();
        loop {
            let first = frames.front_mut()?;
            if let Some(envelope) = first.envelopes.next() {
                return Some(Arrived {
                    kind: first.kind,
                    path: first.path.clone(),
                    envelope,
                    received: first.received,
                    held: first.memory.held.clone(),
                });
            }
            let done = frames.pop_front()?;
            done.path.waiting_bytes.sub(done.memory.bytes);
            if done.kind == Kind::Call {
                self.server.handled.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Sends the replies that are due.
    pub(super) fn flush(&self) {
        for reply in self.due.lock().drain(..) {
            reply.flush();
        }
    }

    fn is_current(&self, runner: &Runner) -> bool {
        self.current.load(Ordering::Acquire) == runner.number
    }

    /// Replaces the runner. The one before takes no further call.
    pub(super) fn next_runner(&self) -> Runner {
        Runner {
            number: self.current.fetch_add(1, Ordering::AcqRel) + 1,
            ..Runner::default()
        }
    }
}

impl FrameMemory {
    /// Returns `None` if the memory budget is used up. Small frames and cancellations are not
    /// counted: their number is bounded, and a cancellation frees memory.
    fn hold(frame: &Frame, path: &ReplyPath) -> Option<Self> {
        let bytes = frame.size();
        let held = if bytes > SMALL && frame.kind() == Kind::Call {
            Some(Arc::new(path.hold(bytes)?))
        } else {
            None
        };
        path.waiting_bytes.add(bytes);
        Some(Self { bytes, held })
    }
}

impl Runner {
    /// Whether it has been polled.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::SeqCst)
    }

    /// Runs calls until it is replaced.
    pub(super) async fn run(self: Arc<Self>, backlog: Arc<Backlog>) {
        self.has_begun.store(true, Ordering::SeqCst);
        let mut names = Names::default();
        loop {
            for _ in 0..BATCH {
                if !backlog.is_current(&self) {
                    break;
                }
                let Some(arrived) = backlog.next() else {
                    break;
                };
                self.take(&backlog, arrived, &mut names);
            }
            backlog.flush();
            if !backlog.is_current(&self) {
                // It may have been woken in place of its successor.
                backlog.wake();
                return;
            }
            if backlog.is_empty() {
                backlog.work.notified().await;
            } else {
                // What the replies have woken goes first: the code of the next call may block.
                tokio::task::yield_now().await;
            }
        }
    }

    fn take(&self, backlog: &Backlog, arrived: Arrived, names: &mut Names) {
        self.steps.fetch_add(1, Ordering::SeqCst);
        let due = backlog.server.take_envelope(arrived, names, self);
        if let Some(due) = due {
            backlog.due.lock().push(due);
        }
        self.steps.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Lattice,
        auth::Auth,
        name::{ComponentId, HostId, LinkName},
        node::NodeOptions,
        store::{Incarnation, Revision},
        wire::{CallEnvelope, FrameWriter, FunctionKey, Lane, Origin, Source},
    };
    use std::time::Duration;

    /// Returns a frame of one call with so many bytes of arguments.
    fn frame(args: usize) -> Frame {
        let caller = Origin::new(HostId::new("caller").expect("a host"), 1);
        let call = CallEnvelope {
            id: 1,
            function: FunctionKey(7),
            deadline_left: Duration::from_secs(1),
            incarnation: Incarnation::default(),
            link_revision: Revision::default(),
            fence: 0,
            idempotent: false,
            hops: 0,
            attempt: 0,
            source: Source::Operator,
            target: ComponentId::new("callee").expect("an id"),
            link: LinkName::default(),
            trace: None,
            instance: None,
            marks: Vec::new(),
            has_handles: false,
            session: None,
            args: vec![7; args].into(),
        };
        let mut writer = FrameWriter::new(caller, None, Kind::Call, Lane::Small);
        let written = writer.push(|buffer| call.encode_into(buffer));
        written.expect("it fits");
        let auth = Auth::trusting();
        Frame::open(&auth, writer.seal(&auth, 1)).expect("a frame")
    }

    #[tokio::test]
    async fn a_frame_that_finds_no_place_is_refused_and_leaves_nothing_behind() {
        let lattice = Lattice::in_memory("dev").await.expect("it opens");
        let node = lattice.node(NodeOptions::default()).await;
        let node = node.expect("it joins");
        let server = node.parts().server.clone();
        // Only this test takes calls from it.
        let backlog = Backlog::new(server.clone());
        let (small, large) = (frame(10), frame(100_000));
        let path = server.transport.reply_path(small.sender());
        for _ in 0..MOST {
            backlog.push(&small, path.clone(), Instant::now());
        }
        let waiting = small.size() * MOST;
        assert_eq!(path.waiting_bytes.bytes(), waiting);
        for refused in [&small, &large] {
            backlog.push(refused, path.clone(), Instant::now());
            assert_eq!(path.waiting_bytes.bytes(), waiting);
            assert_eq!(server.connection.budgets.calls.held(), 0);
        }
        assert_eq!(server.handled.load(Ordering::Relaxed), 2, "those refused");
        let taken = std::iter::from_fn(|| backlog.next()).count();
        assert_eq!((taken, path.waiting_bytes.bytes()), (MOST, 0));
        let (frames, handled) = (&server.frames, &server.handled);
        let counts = [frames, handled].map(|count| count.load(Ordering::Relaxed));
        assert_eq!(counts, [MOST as u64 + 2; 2]);
        backlog.push(&large, path.clone(), Instant::now());
        assert_eq!(path.waiting_bytes.bytes(), large.size());
    }
}
