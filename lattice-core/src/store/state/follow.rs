//! A watch of a store in this process: it reads the log, and notices by itself when a lease ends.

use super::Cursor;
use crate::store::{Watch, WatchEvent};
use futures_util::{future::BoxFuture, stream};
use std::sync::Arc;
use tokio::{sync::watch, time::Instant};

/// What such a watch reads.
pub(in crate::store) trait Followed: Send + Sync + 'static {
    /// Hears of every change. Its sender lives as long as this.
    fn changed(&self) -> watch::Receiver<()>;

    /// What the watch at `cursor` has to hear next.
    fn look(&self, cursor: &mut Cursor) -> Look;

    /// What is done when the time of [`Look::Wait`] has come, before the next look.
    fn wake(self: Arc<Self>) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// What a watch finds when it looks.
pub(in crate::store) enum Look {
    /// The next event.
    Event(WatchEvent),
    /// Nothing before the next change, or before this time.
    Wait(Option<Instant>),
}

/// Follows `store` from a snapshot on.
pub(in crate::store) fn follow<S: Followed>(store: Arc<S>) -> Watch {
    let follower = Follower {
        changed: store.changed(),
        store,
        cursor: Cursor::default(),
    };
    Watch::new(stream::unfold(follower, async |mut follower| {
        let event = follower.next().await;
        Some((event, follower))
    }))
}

/// One watch: where it stands in the log of changes.
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
