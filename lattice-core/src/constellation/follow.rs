//! The task around the projection: receives from the sources, updates the view, publishes changes.

use super::{
    projection::{Event, Projection},
    view::{Delta, View},
};
use crate::{
    bus::{Message, Subscription},
    connection::Connection,
    replay::BootGuard,
    sync::Mutex,
    transport::{
        Endpoint,
        endpoint::SendError,
        receiver::{Audience, Boot, Refused},
    },
    wire::{Body as _, Kind, Report, ReportWanted},
};
use futures_util::StreamExt as _;
use std::{
    sync::{Arc, MutexGuard},
    time::{Duration, SystemTime},
};
use tokio::{
    sync::{broadcast, watch},
    time::{Instant, MissedTickBehavior, interval},
};

/// The most queued reports: enough for a thousand hosts that receive a request at the same time.
const WAITING: usize = 4_096;
/// Batches of changes that a reader may be behind before it gets a snapshot.
const BEHIND: usize = 256;
/// How often the view is updated for the passing of time, and a lost subscription is tried again.
const TICK: Duration = Duration::from_secs(1);

/// The state that the task and the handles share.
#[derive(Debug)]
pub(super) struct SharedView {
    projection: Mutex<Projection>,
    deltas: broadcast::Sender<Arc<[Delta]>>,
    /// Counts the changes.
    version: watch::Sender<u64>,
}

impl SharedView {
    /// Creates the view from everything that is known already.
    pub(super) fn new(connection: &Connection) -> Self {
        let shared = Self {
            projection: Mutex::default(),
            deltas: broadcast::Sender::new(BEHIND),
            version: watch::Sender::new(0),
        };
        shared.refresh(connection);
        shared.handle(hosts_of(connection));
        shared
    }

    pub(super) fn view(&self) -> Arc<View> {
        self.lock().view().clone()
    }

    /// Returns the view, and a receiver of every change after it.
    pub(super) fn follow(&self) -> (Arc<View>, broadcast::Receiver<Arc<[Delta]>>) {
        let projection = self.lock();
        (projection.view().clone(), self.deltas.subscribe())
    }

    pub(super) fn versions(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Changes are sent while the view is locked, so a follower gets each one either in the view or
    /// as a change.
    fn handle(&self, event: Event) {
        let mut projection = self.lock();
        let deltas = projection.handle(event, Instant::now());
        if deltas.is_empty() {
            return;
        }
        // An error means that there are no followers.
        let _ = self.deltas.send(deltas.into());
        drop(projection);
        self.version.send_modify(|version| *version += 1);
    }

    /// Applies the current contents of the replica.
    fn refresh(&self, connection: &Connection) {
        let replica = &connection.replica;
        // Read in the reverse order of publication.
        let health = replica.health();
        let links = replica.snapshot();
        self.handle(Event::Desired(replica.desired()));
        self.handle(Event::Links(links));
        self.handle(Event::Store(health));
    }

    fn lock(&self) -> MutexGuard<'_, Projection> {
        self.projection.lock()
    }
}

fn hosts_of(connection: &Connection) -> Event {
    Event::Peers(connection.presence.peers(), SystemTime::now())
}

/// Updates the view for as long as a handle exists.
pub(super) async fn follow(shared: Arc<SharedView>, connection: Arc<Connection>) {
    let mut health = connection.replica.follow_health();
    let mut changes = connection.presence.changes();
    shared.refresh(&connection);
    shared.handle(hosts_of(&connection));
    let mut listener = Listener::new(&connection);
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut store_is_open = true;
    loop {
        tokio::select! {
            changed = health.changed(), if store_is_open => {
                store_is_open = changed.is_ok();
                shared.refresh(&connection);
            }
            changed = changes.recv() => {
                if let Err(broadcast::error::RecvError::Closed) = changed {
                    return;
                }
                shared.handle(hosts_of(&connection));
            }
            event = listener.next() => shared.handle(event),
            _ = tick.tick() => {
                shared.handle(Event::Tick);
                listener.listen().await;
            }
        }
    }
}

/// Receives reports.
struct Listener {
    endpoint: Endpoint<BootGuard>,
    reports: Option<Subscription>,
}

impl Listener {
    fn new(connection: &Connection) -> Self {
        let endpoint = Endpoint::observer(connection.medium(), |kind, audience| {
            kind == Kind::Report && audience == Audience::Everyone
        });
        Self {
            endpoint,
            reports: None,
        }
    }

    /// Subscribes, if it has not yet, and requests a report from every host.
    async fn listen(&mut self) {
        if self.reports.is_some() {
            return;
        }
        let listening = async {
            let subjects = self.endpoint.subjects();
            let reports = self.endpoint.subscribe(subjects.report(), WAITING).await?;
            let subject = subjects.report_wanted();
            self.endpoint
                .send(subject, None, None, &ReportWanted {})
                .await?;
            Ok::<_, SendError>(reports)
        };
        match listening.await {
            Ok(reports) => self.reports = Some(reports),
            Err(error) => tracing::debug!(%error, "could not subscribe to reports; trying again"),
        }
    }

    /// Waits for the next event.
    async fn next(&mut self) -> Event {
        while let Some(reports) = &mut self.reports {
            let Some(message) = reports.next().await else {
                self.reports = None;
                break;
            };
            match self.receive(message) {
                Ok(Some(event)) => return event,
                Ok(None) => {}
                Err(reason) => tracing::debug!(reason, "refused a report"),
            }
        }
        std::future::pending().await
    }

    fn receive(&mut self, message: Message) -> Result<Option<Event>, String> {
        let frame = match self.endpoint.try_open(message) {
            Ok((frame, Boot::Newest)) => frame,
            Ok((frame, Boot::Older)) => return Ok(Some(Event::OlderBoot(frame.sender().clone()))),
            Err(Refused::NoPayload | Refused::Replayed) => return Ok(None),
            Err(refused) => return Err(refused.to_string()),
        };
        let parts = frame.envelopes().map(Report::decode);
        let parts: Result<Vec<Report>, _> = parts.collect();
        let parts = parts.map_err(|error| error.to_string())?;
        Ok(Some(Event::Report(frame.sender().clone(), parts)))
    }
}
