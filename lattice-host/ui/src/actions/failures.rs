//! Recent failed calls, as far as the lattice knows them.
//!
//! Hosts report how many calls of a component failed, and not which. So the failures here are
//! numbers by component and host, from the reports since somebody asked first, and the calls that
//! were tried on this page, with what went wrong.

use super::{Actions, parse, undo::now_ms};
use crate::{problem::Problem, request::Query};
use axum::{Json, extract::State};
use futures_util::StreamExt as _;
use lattice_core::{
    Lattice,
    constellation::{Constellation, Delta, ItemChange, ReplicaKey, ReplicaView, View},
    name::{ComponentId, FunctionName, HostId, InterfaceName},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::{HashMap, VecDeque},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// Most failures that are kept.
const KEPT: usize = 256;
/// How long reports are followed after somebody has asked last. An open page asks more often.
const LEASE: Duration = Duration::from_secs(60);
/// Longest message in bytes.
const MAX_MESSAGE: usize = 1024;

/// The failures that are known, the latest last.
#[derive(Debug, Default)]
pub(super) struct Failures {
    ring: Arc<Mutex<VecDeque<Failure>>>,
    following: Mutex<Option<Following>>,
}

/// What follows the reports of hosts, for as long as somebody asks.
#[derive(Debug)]
struct Following {
    since_ms: u64,
    asked: watch::Sender<()>,
    task: AbortOnDropHandle<()>,
}

#[derive(Debug, Clone, Serialize)]
struct Failure {
    at_ms: u64,
    component: ComponentId,
    #[serde(flatten)]
    what: What,
}

#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum What {
    Counted {
        host: HostId,
        errors: u64,
    },
    Tried {
        interface: InterfaceName,
        function: FunctionName,
        code: &'static str,
        message: String,
        ran: &'static str,
    },
}

/// A call that was tried on this page and failed.
pub(super) struct Tried {
    pub(super) component: ComponentId,
    pub(super) interface: InterfaceName,
    pub(super) function: FunctionName,
    pub(super) code: &'static str,
    pub(super) ran: &'static str,
    pub(super) message: String,
}

/// Whose failures are asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Whose {
    #[serde(default)]
    component: Option<String>,
}

pub(super) async fn failures(
    State(actions): State<Actions>,
    Query(Whose { component }): Query<Whose>,
) -> Result<Json<Value>, Problem> {
    let component = component.as_deref().map(parse::component).transpose()?;
    let failures = &actions.0.failures;
    let since = failures.follow(actions.lattice(), actions.0.state.in_service());
    let is_wanted =
        |failure: &&Failure| component.as_ref().is_none_or(|id| *id == failure.component);
    let ring = failures.ring.lock().unwrap_or_else(PoisonError::into_inner);
    let wanted: Vec<&Failure> = ring.iter().rev().filter(is_wanted).collect();
    Ok(Json(json!({ "since_ms": since, "failures": wanted })))
}

impl Failures {
    /// Keeps a failed call.
    pub(super) fn tried(&self, tried: Tried) {
        let mut message = tried.message;
        if message.len() > MAX_MESSAGE {
            message.truncate(message.floor_char_boundary(MAX_MESSAGE));
            message.push('…');
        }
        let what = What::Tried {
            interface: tried.interface,
            function: tried.function,
            code: tried.code,
            message,
            ran: tried.ran,
        };
        keep(&self.ring, tried.component, what);
    }

    /// Follows the reports of hosts from now on, if it doesn't yet. Returns since when.
    fn follow(&self, lattice: &Lattice, end: CancellationToken) -> u64 {
        let mut following = self
            .following
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(following) = &*following
            && !following.task.is_finished()
        {
            // A task that ends at this very moment is started again by the next request.
            following.asked.send_replace(());
            return following.since_ms;
        }
        let (asked, is_asked) = watch::channel(());
        let reports = reports(lattice.constellation(), self.ring.clone(), is_asked);
        let task = tokio::spawn(async move {
            let _ = end.run_until_cancelled_owned(reports).await;
        });
        let since_ms = now_ms();
        *following = Some(Following {
            since_ms,
            asked,
            task: AbortOnDropHandle::new(task),
        });
        since_ms
    }
}

/// Keeps what reports say of failed calls, until nobody has asked for a while.
async fn reports(
    constellation: Constellation,
    ring: Arc<Mutex<VecDeque<Failure>>>,
    mut asked: watch::Receiver<()>,
) {
    let mut changes = constellation.watch();
    let mut counts = Counts::default();
    let mut end = pin!(sleep(LEASE));
    loop {
        tokio::select! {
            change = changes.next() => {
                let Some(change) = change else { return };
                for (component, what) in counts.take(&change) {
                    keep(&ring, component, what);
                }
            }
            asked = asked.changed() => {
                if asked.is_err() {
                    return;
                }
                end.as_mut().reset(Instant::now() + LEASE);
            }
            () = &mut end => return,
        }
    }
}

fn keep(ring: &Mutex<VecDeque<Failure>>, component: ComponentId, what: What) {
    let mut ring = ring.lock().unwrap_or_else(PoisonError::into_inner);
    if ring.len() == KEPT {
        ring.pop_front();
    }
    ring.push_back(Failure {
        at_ms: now_ms(),
        component,
        what,
    });
}

/// How many calls of each replica have failed, by its last report.
#[derive(Debug, Default)]
struct Counts(HashMap<ReplicaKey, u64>);

impl Counts {
    /// Returns what failed since the last report.
    fn take(&mut self, change: &Delta) -> Vec<(ComponentId, What)> {
        match change {
            Delta::Snapshot(view) => self.snapshot(view),
            Delta::Replica(ItemChange::Is(replica)) => self.replica(replica).into_iter().collect(),
            Delta::Replica(ItemChange::Gone(replica)) => {
                self.0.remove(&key(replica));
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn snapshot(&mut self, view: &View) -> Vec<(ComponentId, What)> {
        self.0.retain(|key, _| view.replicas.contains_key(key));
        let replicas = view.replicas.values();
        replicas
            .filter_map(|replica| self.replica(replica))
            .collect()
    }

    fn replica(&mut self, replica: &ReplicaView) -> Option<(ComponentId, What)> {
        let count = replica.load?.errors;
        let before = self.0.insert(key(replica), count)?;
        // After a restart, a replica counts from 0 again.
        let errors = if count < before {
            count
        } else {
            count - before
        };
        let host = replica.host.clone();
        (errors > 0).then(|| (replica.component.clone(), What::Counted { host, errors }))
    }
}

fn key(replica: &ReplicaView) -> ReplicaKey {
    ReplicaKey {
        component: replica.component.clone(),
        host: replica.host.clone(),
    }
}
