//! A watch of a store in this process. It reads the log, and notices by itself when a lease ends.

use super::Cursor;
use crate::store::{StoreWatch, WatchEvent};
use futures_util::{future::BoxFuture, stream};
use std::sync::Arc;
use tokio::{sync::watch, time::Instant};

/// The store that such a watch reads.
pub(in crate::store) trait Followed: Send + Sync + 'static {
    /// Returns a receiver that is notified of every change. Its sender lives as long as this store.
    fn changed(&self) -> watch::Receiver<()>;

    /// Returns the next event for the watch at `cursor`.
    fn look(&self, cursor: &mut Cursor) -> Look;

    /// Runs when the time of [`Look::Wait`] has come, before the next look.
    fn wake(self: Arc<Self>) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// The result of a look.
pub(in crate::store) enum Look {
    /// The next event.
    Event(WatchEvent),
    /// Nothing until the next change, or until this time.
    Wait(Option<Instant>),
}

/// Watches `store`, starting with a snapshot.
pub(in crate::store) fn follow<S: Followed>(store: Arc<S>) -> StoreWatch {
    let follower = Follower {
        changed: store.changed(),
        store,
        cursor: Cursor::default(),
    };
    StoreWatch::new(stream::unfold(follower, async |mut follower| {
        let event = follower.next().await;
        Some((event, follower))
    }))
}

/// One watch and its position in the log of changes.
struct Follower<S> {
    store: Arc<S>,
    changed: watch::Receiver<()>,
    cursor: Cursor,
}

impl<S: Followed> Follower<S> {
    async fn next(&mut self) -> WatchEvent {
        loop {
            self.changed.mark_unchanged();
            let wake_at = match self.store.look(&mut self.cursor) {
                Look::Event(event) => return event,
                Look::Wait(at) => at,
            };
            let time_comes = async {
                match wake_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                // The sender lives in `store`, which this follower holds.
                _ = self.changed.changed() => {}
                () = time_comes => Arc::clone(&self.store).wake().await,
            }
        }
    }
}
