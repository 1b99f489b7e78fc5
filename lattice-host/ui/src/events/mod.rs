//! The stream of changes that open pages read.
//!
//! ```text
//! constellation ──► follower ──► history ──► reader ──► page
//!                    ▲             (one for each stream)
//!  published types ──┘
//! ```
//!
//! One task, the follower, follows the constellation for all pages, and writes each batch of
//! changes as JSON once, at most one per [`PACE`]. The last batches are in a history, from which
//! each reader takes what it has not sent yet, when its client has room for it. A reader that the
//! history has left behind gets the whole constellation. So a page that is slow costs nothing, and
//! none waits for another.
//!
//! The follower starts with the first reader and ends some time after the last one, because hosts
//! send reports while somebody follows the constellation. Without changes, nothing happens.

mod follow;
mod history;
mod ports;
mod reader;

pub(crate) use reader::Reader;

use history::History;
use lattice_core::{Lattice, constellation::Constellation, sync::Mutex};
use std::{sync::Arc, time::Duration};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// The least time between two batches: a frame of a screen.
const PACE: Duration = Duration::from_millis(16);

/// The changes of one lattice, as text for pages. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Events(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    lattice: Lattice,
    keep_alive: Duration,
    stop: CancellationToken,
    follower: Mutex<Option<Follower>>,
}

/// The task that writes the history, and what it shares with the readers.
#[derive(Debug)]
struct Follower {
    history: Arc<History>,
    constellation: Constellation,
    _task: AbortOnDropHandle<()>,
}

impl Events {
    /// Creates the events of a lattice. Their readers end when `stop` is cancelled, and are sent a
    /// sign of life after `keep_alive` without changes.
    pub(crate) fn new(lattice: Lattice, keep_alive: Duration, stop: CancellationToken) -> Self {
        Self(Arc::new(Shared {
            lattice,
            keep_alive,
            stop,
            follower: Mutex::new(None),
        }))
    }

    /// Returns a reader, which continues after the event with this id if that is possible.
    pub(crate) fn read(&self, last: Option<&str>) -> Reader {
        let (history, _) = self.follow();
        Reader::new(history, last, self.0.keep_alive, self.0.stop.clone())
    }

    /// Returns the constellation and the ports as JSON once, when every live host has reported or
    /// has had the time to.
    pub(crate) async fn snapshot(&self) -> String {
        let (history, constellation) = self.follow();
        constellation.settled().await;
        // The history may have begun just now. It can't be dropped before it says so.
        let _ = history.latest().wait_for(|number| *number > 0).await;
        history.snapshot()
    }

    fn follow(&self) -> (Arc<History>, Constellation) {
        let mut follower = self.0.follower.lock();
        // It has ended if the lattice was closed.
        if follower
            .as_ref()
            .is_some_and(|follower| follower.history.is_over())
        {
            *follower = None;
        }
        let follower = follower.get_or_insert_with(|| Follower::start(&self.0));
        (follower.history.clone(), follower.constellation.clone())
    }
}

impl Follower {
    fn start(shared: &Arc<Shared>) -> Self {
        let constellation = shared.lattice.constellation();
        let changes = constellation.watch();
        let history = Arc::new(History::new());
        let task = follow::follow(
            changes,
            shared.lattice.clone(),
            history.clone(),
            Arc::downgrade(shared),
        );
        Self {
            history,
            constellation,
            _task: AbortOnDropHandle::new(tokio::spawn(task)),
        }
    }
}

#[cfg(test)]
mod tests;
