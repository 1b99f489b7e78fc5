//! Values with streams and handles in them, to and from other hosts.
//!
//! ```text
//!  sender of a stream                                   its reader
//!   Writer ──► Reader ──► outlet ══ channel of ══► inlet ──► Writer ──► Reader
//!                        (a task)   a session     (a task)
//! ```
//! A value with handles travels as their names and its bytes ([`Passed`](crate::wire::Passed)).
//! Resources need no more than that. Each stream and future takes a channel of the session that the
//! call or the reply opens, and a task at each end. Streams that are elements of others take more
//! channels of the same session, which lasts until all of its channels are over. Any number of them
//! may follow each other, and 1,023 be open at once. Their elements travel as
//! [`Parcel`](crate::wire::Parcel)s.
//!
//! An outlet takes elements from their writer only when the other host has room for them. An inlet
//! gives the other host credit only once its reader has asked for elements, takes no chunk from the
//! session before its reader has room, and grows the window of a reader that keeps up. So a stream
//! whose reader has stopped costs a window at most: a thousand of them 32 MiB. Elements can't be
//! divided without knowing their type, so there is no credit in elements: a parcel may have more of
//! them than the reader asked for, and the reader splits it. The bytes bound what is sent ahead.
//!
//! Handles in elements are the sender's until the other host says that it has taken the element. A
//! reader that goes away leaves what it didn't take to the sender, which drops that at once. When
//! the session breaks, the ledger asks for what isn't known (`stream::remote`).
//!
//! A clean end, a break with its reason, and a dropped reader pass through. When the other host is
//! gone, or the session breaks, readers get a break, and writers see that their reader is gone.
//!
//! | file | what it does |
//! | --- | --- |
//! | `value` | a value for another host, and one from another host |
//! | `shared` | the session that the streams of a value share |
//! | `outlet`, `inlet` | the tasks at the two ends of a stream |
//! | `passing` | handles in the elements that an outlet has sent |
//! | `assembly` | parcels from chunks: pure |

mod assembly;
mod inlet;
mod outlet;
mod passing;
mod shared;
#[cfg(test)]
mod tests;
mod value;

pub use assembly::{Assembly, Step};
pub(crate) use shared::{Opened, SharedSession};
pub(crate) use value::{Encoded, Unfit};

use crate::{budget::Budget, id::Origin, stream::remote::Ledger, task_group::TaskGroup};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::Notify;

/// Most streams of one value: with the channel of the value, as many as a session sends in at once.
pub(crate) const MOST_STREAMS: usize = 1_023;
/// Most streams of a session that arrive here at once. It is more than are sent at once, because
/// one that was received and not read to its end is none for its sender any more.
const MOST_ARRIVING: usize = 4_096;

/// The streams between this node and other hosts. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Streams(Arc<State>);

#[derive(Debug)]
struct State {
    /// This node.
    at: Origin,
    ledger: Arc<Ledger>,
    /// For elements that don't fit a chunk.
    received: Budget,
    /// Largest parcel in bytes.
    largest: usize,
    tasks: TaskGroup,
    open: AtomicUsize,
    /// The last one has ended.
    idle: Notify,
}

/// One end of a stream, which is open until this is dropped.
#[derive(Debug)]
struct OpenStream(Streams);

impl Streams {
    pub(super) fn new(at: Origin, ledger: Arc<Ledger>, received: Budget, largest: usize) -> Self {
        Self(Arc::new(State {
            at,
            ledger,
            received,
            largest,
            tasks: TaskGroup::default(),
            open: AtomicUsize::new(0),
            idle: Notify::new(),
        }))
    }

    /// Who holds what across hosts.
    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        &self.0.ledger
    }

    /// Ends of streams that are open.
    pub(crate) fn open(&self) -> usize {
        self.0.open.load(Ordering::SeqCst)
    }

    /// Waits until no stream is open.
    pub(crate) async fn idle(&self) {
        loop {
            let idle = self.0.idle.notified();
            if self.open() == 0 {
                return;
            }
            idle.await;
        }
    }

    /// Breaks all of them off, and every later one.
    pub(crate) fn cancel(&self) {
        self.0.tasks.cancel();
    }

    /// Runs the end of a stream.
    fn run(&self, end: impl Future<Output = ()> + Send + 'static) {
        self.0.open.fetch_add(1, Ordering::SeqCst);
        let open = OpenStream(self.clone());
        self.0.tasks.spawn(async move {
            end.await;
            drop(open);
        });
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let Self(streams) = self;
        if streams.0.open.fetch_sub(1, Ordering::SeqCst) == 1 {
            streams.0.idle.notify_waiters();
        }
    }
}
