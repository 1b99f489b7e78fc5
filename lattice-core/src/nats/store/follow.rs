//! A watch over the store's whole life, as one session after another.

use super::{
    Inner,
    session::{Broken, Session},
};
use crate::{
    backoff::Backoff,
    store::{StoreError, Watch, WatchEvent},
};
use futures_util::stream;
use std::{sync::Arc, time::Duration};

/// Pauses between attempts to reach an unavailable store.
const PAUSES: Backoff = Backoff::doubling(Duration::from_millis(50), Duration::from_secs(1));

pub(super) struct Follower {
    store: Arc<Inner>,
    session: Option<Session>,
    reported_lost: bool,
    /// Attempts in a row that did not reach the store.
    failures: u32,
}

impl Follower {
    pub(super) fn new(store: Arc<Inner>, session: Session) -> Self {
        Self {
            store,
            session: Some(session),
            reported_lost: false,
            failures: 0,
        }
    }

    pub(super) fn into_watch(self) -> Watch {
        Watch::new(stream::unfold(self, |mut follower| async move {
            let event = follower.next().await?;
            Some((event, follower))
        }))
    }

    /// Waits for the next event. Returns `None` when the connection was closed by this process.
    async fn next(&mut self) -> Option<WatchEvent> {
        loop {
            if let Some(session) = &mut self.session {
                match session.next().await {
                    Ok(event) => {
                        if std::mem::take(&mut self.reported_lost) {
                            tracing::info!("the lattice's store is back");
                        }
                        self.failures = 0;
                        return Some(event);
                    }
                    Err(Broken::Gap) => self.session = None,
                    Err(Broken::OutOfReach) => {
                        self.session = None;
                        if let Some(lost) = self.lost() {
                            return Some(lost);
                        }
                    }
                }
            }
            match self.store.within(Session::open(&self.store)).await {
                Ok(session) => self.session = Some(session),
                Err(StoreError::Closed) => return None,
                Err(_) => {
                    if let Some(lost) = self.lost() {
                        return Some(lost);
                    }
                    self.failures = self.failures.saturating_add(1);
                    tokio::time::sleep(PAUSES.after(self.failures)).await;
                }
            }
        }
    }

    fn lost(&mut self) -> Option<WatchEvent> {
        let reported = std::mem::replace(&mut self.reported_lost, true);
        if !reported {
            tracing::warn!(
                "the lattice's store is out of reach: this process uses its last known contents, and changes fail until it is back"
            );
        }
        (!reported).then_some(WatchEvent::Lost)
    }
}
