//! A watch over the store's whole life, as one session after another.

use super::{
    Inner,
    session::{Broken, Session},
};
use crate::store::{StoreError, Watch, WatchEvent};
use futures_util::stream;
use std::{sync::Arc, time::Duration};

/// Pauses between attempts to reach a store that is gone. They double from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Follower {
    store: Arc<Inner>,
    session: Option<Session>,
    told_lost: bool,
    pause: Duration,
}

impl Follower {
    pub(super) fn new(store: Arc<Inner>, session: Session) -> Self {
        Self {
            store,
            session: Some(session),
            told_lost: false,
            pause: FIRST_PAUSE,
        }
    }

    pub(super) fn into_watch(self) -> Watch {
        Watch::new(stream::unfold(self, |mut follower| async move {
            let event = follower.next().await?;
            Some((event, follower))
        }))
    }

    /// Waits for the next event. Returns `None` when the connection was closed for good.
    async fn next(&mut self) -> Option<WatchEvent> {
        loop {
            if let Some(session) = &mut self.session {
                match session.next().await {
                    Ok(event) => {
                        if std::mem::take(&mut self.told_lost) {
                            tracing::info!("the lattice's store is back");
                        }
                        self.pause = FIRST_PAUSE;
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
                    tokio::time::sleep(self.pause).await;
                    self.pause = (self.pause * 2).min(LAST_PAUSE);
                }
            }
        }
    }

    fn lost(&mut self) -> Option<WatchEvent> {
        let told = std::mem::replace(&mut self.told_lost, true);
        if !told {
            tracing::warn!(
                "the lattice's store is out of reach: what is known of it stays, and changes fail until it is back"
            );
        }
        (!told).then_some(WatchEvent::Lost)
    }
}
