//! A watch through the faults.

use super::{Reach, WrappedStore};
use futures_util::{StreamExt, stream};
use lattice_core::store::{StoreError, StoreWatch, WatchEvent};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// The pause before a watch that failed to open is opened again.
const PAUSE: Duration = Duration::from_millis(50);

/// A watch that is built from watches of the store below.
pub(super) struct Follower {
    shared: Arc<WrappedStore>,
    reach: watch::Receiver<Reach>,
    inner: Option<StoreWatch>,
    reported_lost: bool,
}

impl Follower {
    pub(super) fn new(shared: Arc<WrappedStore>, inner: StoreWatch) -> Self {
        Self {
            reach: shared.reach.subscribe(),
            shared,
            inner: Some(inner),
            reported_lost: false,
        }
    }

    pub(super) fn into_watch(self) -> StoreWatch {
        StoreWatch::new(stream::unfold(self, |mut follower| async move {
            let event = follower.next().await?;
            Some((event, follower))
        }))
    }

    async fn next(&mut self) -> Option<WatchEvent> {
        loop {
            if *self.reach.borrow_and_update() == Reach::Cut {
                self.inner = None;
                if let Some(lost) = self.lost() {
                    return Some(lost);
                }
                // The sender lives in `shared`, which this follower holds.
                let _ = self.reach.changed().await;
                continue;
            }
            let Some(inner) = &mut self.inner else {
                match self.shared.inner.watch().await {
                    Ok(watch) => self.inner = Some(watch),
                    Err(StoreError::Closed) => return None,
                    Err(_) => tokio::time::sleep(PAUSE).await,
                }
                continue;
            };
            let event = tokio::select! {
                biased;
                _ = self.reach.changed() => continue,
                event = inner.next() => event?,
            };
            let fate = self.shared.lock().draw();
            if let Some(delay) = fate.delay {
                self.shared.lock().counts.delayed += 1;
                tokio::time::sleep(delay).await;
            }
            if fate.breaks {
                self.shared.lock().counts.broken += 1;
                self.inner = None;
                if let Some(lost) = self.lost() {
                    return Some(lost);
                }
                continue;
            }
            self.reported_lost = event == WatchEvent::Lost;
            return Some(event);
        }
    }

    fn lost(&mut self) -> Option<WatchEvent> {
        let reported = std::mem::replace(&mut self.reported_lost, true);
        (!reported).then_some(WatchEvent::Lost)
    }
}
