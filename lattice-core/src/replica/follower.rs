//! The task that follows the store and publishes what it has taken in.

use super::{OtherKey, RecordTable, ReplicaHealth, ReplicaState, ReplicaTables, intake::Intake};
use crate::{
    backoff::Backoff,
    link::{Lacking, LinkTable},
    store::{
        Incarnation, LastKnown, Revision, StoreError, StoreWatch, WatchEvent, record::Records,
    },
};
use futures_util::{FutureExt as _, StreamExt as _};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::time::sleep;

/// Most events taken in before their result is published. A burst costs one copy of the table, and
/// readers still see it grow.
const MAX_BATCH: usize = 256;
/// Pauses between attempts to watch a store that was never reached.
const PAUSES: Backoff = Backoff::doubling(Duration::from_millis(50), Duration::from_secs(1));

/// The task.
pub(super) struct Follower {
    shared: Arc<ReplicaTables>,
    #[cfg(feature = "apps")]
    values: Records,
    intake: Intake,
    table: LinkTable,
    records: Arc<RecordTable>,
    health: ReplicaHealth,
    reach: Reach,
    last: Option<Arc<dyn LastKnown>>,
}

/// Whether the store is within reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Not since this process started. It began with a copy of that time.
    Never(SystemTime),
    Lost,
    Live,
    Closed,
}

impl Follower {
    pub(super) fn new(
        records: Records,
        shared: Arc<ReplicaTables>,
        last: Option<Arc<dyn LastKnown>>,
    ) -> Self {
        Self {
            intake: Intake::new(records.clone(), shared.refusals.clone()),
            #[cfg(feature = "apps")]
            values: records,
            shared,
            table: LinkTable::default(),
            records: Arc::default(),
            health: ReplicaHealth::default(),
            reach: Reach::Lost,
            last,
        }
    }

    pub(super) async fn run(mut self, records: Records, watch: Option<StoreWatch>) {
        let watch = match watch {
            Some(watch) => Some(watch),
            None => watch_at_last(&records).await,
        };
        if let Some(watch) = watch {
            self.follow(watch).await;
        }
        self.reach = Reach::Closed;
        self.publish();
    }

    async fn follow(&mut self, mut watch: StoreWatch) {
        let shared = self.shared.clone();
        loop {
            tokio::select! {
                biased;
                () = shared.accepted.notified() => {
                    self.table.let_go();
                }
                event = watch.next() => match event {
                    Some(event) => self.take(event),
                    None => return,
                },
            }
            for _ in 1..MAX_BATCH {
                match watch.next().now_or_never() {
                    Some(Some(event)) => self.take(event),
                    _ => break,
                }
            }
            self.publish();
        }
    }

    /// Starts from a copy that an earlier process made.
    pub(super) fn begin(&mut self, taken: SystemTime, snapshot: WatchEvent) {
        self.take_in(snapshot);
        self.reach = Reach::Never(taken);
        self.publish();
    }

    fn take(&mut self, event: WatchEvent) {
        #[cfg(feature = "apps")]
        self.take_claims(&event);
        if event == WatchEvent::Lost {
            if self.reach == Reach::Live {
                self.reach = Reach::Lost;
            }
            return;
        }
        if let WatchEvent::Snapshot {
            incarnation,
            revision,
            ..
        } = &event
        {
            self.compare(*incarnation, *revision);
        }
        if let Some(last) = &self.last {
            last.note(&event);
        }
        // Nothing is published before the whole commit is taken in.
        for change in event.changes() {
            self.take_in(change);
        }
    }

    #[cfg(feature = "apps")]
    fn take_claims(&self, event: &WatchEvent) {
        let (incarnation, now) = (self.table.incarnation(), tokio::time::Instant::now());
        let mut claims = self.shared.claims.lock();
        claims.take(&self.values, incarnation, event, now);
    }

    fn take_in(&mut self, event: WatchEvent) {
        let is_snapshot = matches!(event, WatchEvent::Snapshot { .. });
        if let Some(event) = self.intake.take(event) {
            self.table.apply(event);
        }
        for event in self.intake.take_changes() {
            if !self.records.ignores(&event) {
                Arc::make_mut(&mut self.records).apply(event);
            }
        }
        if is_snapshot {
            Arc::make_mut(&mut self.records).end_snapshot();
        }
    }

    /// Detects a store that is not the one seen before.
    fn compare(&mut self, incarnation: Incarnation, revision: Revision) {
        let known = (self.table.incarnation(), self.table.revision());
        self.reach = Reach::Live;
        if known == (Incarnation::default(), Revision::default()) {
            return;
        }
        if known.0 != incarnation {
            self.health.recreated += 1;
            tracing::warn!(
                before = known.0.0,
                now = incarnation.0,
                "the store was replaced: links that are not in it are kept; put them again, or accept the store as it is"
            );
            self.intake.forget();
        } else if known.1 > revision {
            self.health.rewound += 1;
            tracing::warn!(
                before = known.1.0,
                now = revision.0,
                "the store's revisions went back: links that it does not have yet are kept; put them again, or accept the store as it is"
            );
            self.intake.forget();
        }
    }

    fn publish(&mut self) {
        self.health.state = match (self.reach, self.table.lacking()) {
            (Reach::Never(taken), _) => ReplicaState::Snapshot { taken },
            (Reach::Lost, _) => ReplicaState::Lost,
            (Reach::Closed, _) => ReplicaState::Closed,
            (Reach::Live, None) => ReplicaState::Following,
            (Reach::Live, Some(Lacking::Replaced)) => ReplicaState::StoreReplaced,
            (Reach::Live, Some(Lacking::WentBack)) => ReplicaState::StoreWentBack,
        };
        self.health.held = self.table.held();
        self.health.incarnation = self.table.incarnation();
        self.health.revision = self.table.revision();
        self.health.refused = self.shared.refusals.count();
        let before = std::mem::replace(&mut self.health.other_key, self.intake.other_key());
        if before == 0
            && let values @ 1.. = self.health.other_key
        {
            tracing::error!("{}", OtherKey { values });
        }
        self.shared.records.send_if_modified(|published| {
            let is_new = !Arc::ptr_eq(published, &self.records) && *published != self.records;
            if is_new {
                published.clone_from(&self.records);
            }
            is_new
        });
        self.shared.table.store(Arc::new(self.table.clone()));
        self.shared.health.send_replace(self.health);
    }
}

/// Watches a store that is away, once it can be reached; returns `None` when it was closed.
async fn watch_at_last(records: &Records) -> Option<StoreWatch> {
    let mut attempt = 0_u32;
    loop {
        attempt = attempt.saturating_add(1);
        sleep(PAUSES.after(attempt)).await;
        match records.store().watch().await {
            Ok(watch) => return Some(watch),
            Err(StoreError::Closed) => return None,
            Err(error) => tracing::debug!(%error, "the store is still away"),
        }
    }
}
