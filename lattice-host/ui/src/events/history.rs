//! The last batches of changes, and the view after them. Pure but for its lock.

use super::ports::Ports;
use bytes::{Bytes, BytesMut};
use lattice_core::{
    constellation::{Delta, View},
    name::ComponentId,
    sync::Mutex,
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Most batches that are kept: eight seconds of changes at the highest pace. A page that is further
/// behind has more use for the whole.
const BATCHES: usize = 512;
/// Most bytes of all of them: several times a snapshot of a large lattice.
const BYTES: usize = 4 * 1024 * 1024;
/// About how many bytes a reader is given at once.
const PIECE: usize = 256 * 1024;

/// Counts the histories of this process, so that two of one millisecond have two names.
static HISTORIES: AtomicU64 = AtomicU64::new(0);

/// The changed ports of components. `None`: the component is gone.
pub(super) type PortChanges = BTreeMap<ComponentId, Option<Arc<Ports>>>;

/// The history of one follower.
pub(super) struct History {
    /// The first part of event ids. An id of another history means nothing here.
    name: String,
    contents: Mutex<Contents>,
    /// The number of the last batch.
    latest: watch::Sender<u64>,
    over: CancellationToken,
}

#[derive(Default)]
struct Contents {
    view: View,
    ports: BTreeMap<ComponentId, Arc<Ports>>,
    /// The number of the last batch.
    number: u64,
    batches: VecDeque<Bytes>,
    bytes: usize,
    /// The event with the whole, after the batch of this number.
    snapshot: Option<(u64, Bytes)>,
}

#[derive(Serialize)]
struct Whole<'a> {
    view: &'a View,
    ports: &'a BTreeMap<ComponentId, Arc<Ports>>,
}

#[derive(Serialize)]
struct Changes<'a> {
    deltas: &'a [Delta],
    ports: &'a PortChanges,
}

impl History {
    pub(super) fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let started = now.map_or(0, |now| now.as_millis());
        let count = HISTORIES.fetch_add(1, Ordering::Relaxed);
        Self {
            name: format!("{started:x}-{count:x}"),
            contents: Mutex::default(),
            latest: watch::Sender::new(0),
            over: CancellationToken::new(),
        }
    }

    /// Adds a batch.
    pub(super) fn publish(&self, deltas: Vec<Delta>, ports: &PortChanges) {
        let mut contents = self.contents.lock();
        let deltas = contents.apply(deltas);
        // The first batch may be that of an empty lattice.
        if contents.number > 0 && deltas.is_empty() && ports.is_empty() {
            return;
        }
        for (component, ports) in ports {
            match ports {
                Some(ports) => contents.ports.insert(component.clone(), ports.clone()),
                None => contents.ports.remove(component),
            };
        }
        contents.number += 1;
        let number = contents.number;
        let changes = Changes {
            deltas: &deltas,
            ports,
        };
        let event = self.event("changes", number, &json(&changes));
        contents.keep(event);
        drop(contents);
        self.latest.send_replace(number);
    }

    /// Returns what a reader is sent next, and the number of its last batch. `after` is the last
    /// one that it has been sent, and `None` at first. Nothing is sent before the first batch.
    pub(super) fn next(&self, after: Option<u64>) -> Option<(u64, Bytes)> {
        let mut contents = self.contents.lock();
        let number = contents.number;
        match after.and_then(|after| number.checked_sub(after)) {
            _ if number == 0 => None,
            Some(0) => None,
            Some(behind) if behind <= contents.batches.len() as u64 => {
                let first = contents.batches.len() - behind as usize;
                Some(contents.piece(first))
            }
            _ => Some((number, self.whole(&mut contents))),
        }
    }

    /// Returns the number in an event's id, if it is one of this history.
    pub(super) fn number(&self, id: &str) -> Option<u64> {
        let (name, number) = id.rsplit_once('.')?;
        number.parse().ok().filter(|_| name == self.name)
    }

    /// Returns a receiver of the number of the last batch.
    pub(super) fn latest(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }

    /// Returns the whole as JSON.
    pub(super) fn snapshot(&self) -> String {
        self.contents.lock().json()
    }

    /// Cancelled when nothing is added any more.
    pub(super) fn over(&self) -> &CancellationToken {
        &self.over
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    /// The event with the whole constellation. Readers that need it at one time share it.
    fn whole(&self, contents: &mut Contents) -> Bytes {
        let number = contents.number;
        if let Some((at, event)) = &contents.snapshot
            && *at == number
        {
            return event.clone();
        }
        let event = self.event("snapshot", number, &contents.json());
        contents.snapshot = Some((number, event.clone()));
        event
    }

    fn event(&self, name: &str, number: u64, data: &str) -> Bytes {
        // JSON has no line breaks, which would end the field.
        let id = &self.name;
        format!("event: {name}\nid: {id}.{number}\ndata: {data}\n\n").into()
    }
}

impl Contents {
    /// Applies changes to the view. A snapshot becomes the changes that lead to it.
    fn apply(&mut self, deltas: Vec<Delta>) -> Vec<Delta> {
        let mut applied = Vec::with_capacity(deltas.len());
        for delta in deltas {
            let changes = match &delta {
                Delta::Snapshot(newer) => self.view.diff(newer),
                _ => vec![delta],
            };
            for change in changes {
                self.view.apply(change.clone());
                applied.push(change);
            }
        }
        applied
    }

    fn keep(&mut self, event: Bytes) {
        self.bytes += event.len();
        self.batches.push_back(event);
        while self.batches.len() > BATCHES || self.bytes > BYTES {
            let Some(oldest) = self.batches.pop_front() else {
                return;
            };
            self.bytes -= oldest.len();
        }
        // It is older than what it would be followed by.
        self.snapshot = None;
    }

    /// Returns some batches from this one on, and the number of the last of them.
    fn piece(&self, first: usize) -> (u64, Bytes) {
        let before = self.number - self.batches.len() as u64;
        let mut last = first;
        let mut piece = BytesMut::new();
        for batch in self.batches.range(first..) {
            if !piece.is_empty() && piece.len() + batch.len() > PIECE {
                break;
            }
            piece.extend_from_slice(batch);
            last += 1;
        }
        (before + last as u64, piece.freeze())
    }

    fn json(&self) -> String {
        json(&Whole {
            view: &self.view,
            ports: &self.ports,
        })
    }
}

/// Returns the value as JSON. Names, numbers, texts and maps from text always serialize.
fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| {
        tracing::error!(%error, "a change of the constellation can't be written as JSON");
        "{}".to_owned()
    })
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
