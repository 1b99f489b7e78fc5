//! The caller's side of a call: grant, route, exchange, and trying another replica when it surely did not run.

use super::{
    Inner,
    line::{Line, token},
    outbox::NotQueued,
    pending::Outcome,
    served::Served,
};
use crate::{
    call::{CallError, Context, FunctionRef, MAX_HOPS, Part, Ran},
    link::{LinkEntry, Locality},
    name::{ComponentId, LinkName},
    serve::Request,
    store::Incarnation,
    wire::{CallEnvelope, Origin, Source},
};
use bytes::Bytes;
use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::{Instant, timeout_at};

/// Replicas that one call may try; each further one only when the call surely did not run.
const ATTEMPTS: u8 = 3;

/// What an envelope holds beside the arguments, in bytes: fixed fields and names. Generous.
const ENVELOPE: usize = 256;

/// A call about to be made.
pub(crate) struct Outgoing<'c> {
    pub(crate) source: Source,
    pub(crate) target: ComponentId,
    /// What allows it; `None` for an operator.
    pub(crate) grant: Option<Arc<LinkEntry>>,
    /// The life of the store that the grant is from.
    pub(crate) incarnation: Incarnation,
    pub(crate) function: &'c FunctionRef,
    pub(crate) args: Bytes,
    pub(crate) context: Context,
    pub(crate) idempotent: bool,
}

enum Route {
    Here(Arc<Served>),
    There(Arc<Line>),
}

/// Calls in the name of one component, through its links. Cheap to clone.
#[derive(Clone)]
pub struct Caller {
    node: Arc<Inner>,
    source: ComponentId,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl Caller {
    pub(super) fn new(node: Arc<Inner>, source: ComponentId) -> Self {
        Self { node, source }
    }

    /// The component that calls.
    pub fn source(&self) -> &ComponentId {
        &self.source
    }

    /// Calls `function` through the link of that name; arguments and result are encoded.
    ///
    /// `context` says by when; for a call made on behalf of another one, pass
    /// [`request.context.nested()`](Context::nested).
    ///
    /// # Errors
    /// A [`CallError`], by the deadline.
    ///
    /// # Cancel safety
    /// Dropping the future frees everything on this side; a call that has left may still run.
    pub async fn call(
        &self,
        function: &FunctionRef,
        link: &LinkName,
        args: Bytes,
        context: Context,
    ) -> Outcome {
        let table = self.node.connection.replica.links();
        let grant = table
            .resolve(&self.source, function.compat(), link)
            .cloned()
            .ok_or_else(|| CallError::NotLinked {
                source_id: self.source.clone(),
                interface: function.interface().to_string(),
                link: link.clone(),
            })?;
        let incarnation = table.incarnation();
        drop(table);
        let call = Outgoing {
            incarnation,
            source: Source::Component(self.source.clone()),
            target: grant.link.target.clone(),
            idempotent: grant.link.idempotent.contains(function.function()),
            grant: Some(grant),
            function,
            args,
            context,
        };
        self.node.call(call).await
    }
}

impl Inner {
    /// Makes one call and answers with its value or a typed error, by its deadline.
    pub(crate) async fn call(self: &Arc<Self>, call: Outgoing<'_>) -> Outcome {
        self.check(&call)?;
        let mut tried = Vec::new();
        let mut last = None;
        for attempt in 0..ATTEMPTS {
            let route = match self.route(&call, &tried).await {
                Ok(route) => route,
                Err(error) => return Err(last.unwrap_or(error)),
            };
            let outcome = match route {
                Route::Here(served) => {
                    tried.push(self.origin.clone());
                    self.call_here(&served, &call).await
                }
                Route::There(line) => {
                    tried.push(line.peer.clone());
                    self.call_there(&line, &call, attempt).await
                }
            };
            match outcome {
                Err(error)
                    if may_go_elsewhere(&error, call.idempotent)
                        && call.context.left() > Duration::ZERO =>
                {
                    last = Some(worst(last, error));
                }
                Err(CallError::NotExported { .. }) => {
                    return Err(worst(last, self.explain_not_exported(&call).await));
                }
                Err(error) => return Err(worst(last, error)),
                answer => return answer,
            }
        }
        Err(last.unwrap_or(CallError::NotServed {
            component: call.target,
        }))
    }

    fn check(&self, call: &Outgoing<'_>) -> Result<(), CallError> {
        if call.context.hops > MAX_HOPS {
            return Err(CallError::TooManyHops { limit: MAX_HOPS });
        }
        if self.gone.load(Ordering::Acquire) {
            return Err(CallError::Disconnected { ran: Ran::No });
        }
        let limit = self.connection.max_message();
        if call.args.len() > limit {
            return Err(CallError::TooLarge {
                what: Part::Arguments,
                limit: limit as u64,
            });
        }
        if Instant::now() >= call.context.deadline {
            return Err(CallError::DeadlineExceeded { ran: Ran::No });
        }
        Ok(())
    }

    async fn route(
        self: &Arc<Self>,
        call: &Outgoing<'_>,
        tried: &[Origin],
    ) -> Result<Route, CallError> {
        let locality = call
            .grant
            .as_ref()
            .map_or(Locality::PreferLocal, |grant| grant.link.locality);
        let here = self
            .served(&call.target)
            .filter(|_| !tried.contains(&self.origin));
        if locality != Locality::Spread
            && let Some(served) = here
        {
            return Ok(Route::Here(served));
        }
        let not_served = || CallError::NotServed {
            component: call.target.clone(),
        };
        if locality == Locality::LocalOnly {
            return Err(not_served());
        }
        let peers = self.connection.presence.peers();
        let mut there: Vec<Origin> = peers.serving(&call.target).to_vec();
        if there.is_empty() && here.is_none() && tried.is_empty() {
            there = self.discover(&call.target, call.context.deadline).await?;
        }
        there.retain(|origin| origin != &self.origin && !tried.contains(origin));
        self.choose(here, there).ok_or_else(not_served)
    }

    /// The better of two random replicas by our own calls in flight there.
    fn choose(self: &Arc<Self>, here: Option<Arc<Served>>, there: Vec<Origin>) -> Option<Route> {
        let count = there.len() + usize::from(here.is_some());
        let at = |index: usize| match there.get(index) {
            Some(origin) => Some(Route::There(self.line(origin))),
            None => here.clone().map(Route::Here),
        };
        if count <= 1 {
            return at(0);
        }
        let random = self.random();
        let first = (random >> 32) as usize % count;
        let second = (first + 1 + (random & 0xffff_ffff) as usize % (count - 1)) % count;
        let (first, second) = (at(first)?, at(second)?);
        Some(if second.load() < first.load() {
            second
        } else {
            first
        })
    }

    /// Same host: no frame, no bus, no task.
    async fn call_here(&self, served: &Arc<Served>, call: &Outgoing<'_>) -> Outcome {
        if call.grant.is_none() {
            self.operator_may(&served.id)?;
        }
        let place = served.admit(&call.context)?;
        if served.interface_of(call.function.key()).is_none() {
            return Err(CallError::not_exported(
                &call.target,
                call.function.interface(),
                call.function.function(),
            ));
        }
        let request = Request {
            component: call.target.clone(),
            function: call.function.key(),
            source: call.source.clone(),
            link: call.grant.as_ref().map(|grant| grant.link.clone()),
            args: call.args.clone(),
            context: call.context,
        };
        served.run(&place, request).await
    }

    async fn call_there(
        self: &Arc<Self>,
        line: &Arc<Line>,
        call: &Outgoing<'_>,
        attempt: u8,
    ) -> Outcome {
        let (incarnation, link_revision) = call
            .grant
            .as_ref()
            .map(|grant| (call.incarnation, grant.revision))
            .unwrap_or_default();
        let overloaded = || CallError::Overloaded {
            component: call.target.clone(),
        };
        let pending = &self.pending;
        let (ticket, answer) = pending
            .open(line.token, Instant::now())
            .ok_or_else(overloaded)?;
        let envelope = CallEnvelope {
            id: ticket.id,
            function: call.function.key(),
            deadline_left: call.context.left(),
            source: call.source.clone(),
            target: call.target.clone(),
            link: call
                .grant
                .as_ref()
                .map(|grant| grant.link.name.clone())
                .unwrap_or_default(),
            incarnation,
            link_revision,
            fence: 0,
            hops: call.context.hops,
            attempt,
            idempotent: call.idempotent,
            trace: call.context.trace,
            args: call.args.clone(),
        };
        let _in_flight = line.enter();
        line.send(
            call.args.len() + ENVELOPE,
            |buffer| envelope.encode_into(buffer),
            |frame| pending.sent(ticket.id, frame),
        )
        .map_err(|refused| match refused {
            NotQueued::Full => overloaded(),
            NotQueued::Closed => CallError::HostGone {
                host: line.peer.host.clone(),
            },
        })?;
        self.busy.notify_one();
        match timeout_at(call.context.deadline, answer).await {
            Ok(Ok(outcome)) => outcome,
            // The table is dropped with the node, and the node is what this future borrows.
            Ok(Err(_)) => Err(CallError::Disconnected { ran: Ran::Maybe }),
            // It may be on its way, whatever the outbox says: a frame can leave in this very moment.
            Err(_) => Err(CallError::DeadlineExceeded { ran: Ran::Maybe }),
        }
    }

    /// The callee knows no such function: is it missing there, or another type?
    async fn explain_not_exported(self: &Arc<Self>, call: &Outgoing<'_>) -> CallError {
        let Outgoing {
            function, target, ..
        } = call;
        let missing = CallError::not_exported(target, function.interface(), function.function());
        let Ok(types) = self.types_of(target, call.context.deadline).await else {
            return missing;
        };
        let found = types
            .export(function.interface())
            .and_then(|(_, f)| f.functions.get(function.function()));
        match found {
            Some(found) if found != function.signature() => CallError::SchemaMismatch {
                component: target.clone(),
                interface: function.interface().to_string(),
                function: function.function().to_string(),
                expected: function.signature().to_owned(),
                found: found.clone(),
            },
            _ => missing,
        }
    }

    /// The line to that boot of a host, opened when there is none yet.
    pub(super) fn line(self: &Arc<Self>, peer: &Origin) -> Arc<Line> {
        let mut lines = self.lock_lines();
        if let Some(line) = lines.get(peer) {
            return line.clone();
        }
        let (weak, number) = (Arc::downgrade(self), token(peer));
        let lost = move |frame, error: crate::bus::BusError| {
            if let Some(node) = weak.upgrade() {
                node.frame_lost(number, frame, &error);
            }
        };
        let line = Arc::new(Line::open(
            &self.origin,
            peer.clone(),
            number,
            &self.connection,
            lost,
        ));
        lines.insert(peer.clone(), line.clone());
        line
    }

    /// Cheap and good enough to spread load: splitmix64 over a counter.
    fn random(&self) -> u64 {
        let mut z = self
            .dice
            .fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Route {
    fn load(&self) -> usize {
        match self {
            Self::Here(served) => served.in_flight(),
            Self::There(line) => line.in_flight(),
        }
    }
}

/// What to say after several attempts: that the latest did not run undoes nothing that an earlier one may have done.
fn worst(earlier: Option<CallError>, latest: CallError) -> CallError {
    match earlier {
        Some(earlier) if earlier.ran() != Ran::No && latest.ran() == Ran::No => earlier,
        _ => latest,
    }
}

/// Whether another replica may do better: the reason is that host's alone, and the call did not run, or may run twice.
fn may_go_elsewhere(error: &CallError, idempotent: bool) -> bool {
    match error.ran() {
        Ran::No => matches!(
            error,
            CallError::NotServed { .. }
                | CallError::Stopping { .. }
                | CallError::Overloaded { .. }
                | CallError::LinkTableBehind
                | CallError::HostGone { .. }
        ),
        Ran::Maybe => {
            idempotent
                && matches!(
                    error,
                    CallError::HostLost { .. } | CallError::InstanceLost { .. }
                )
        }
        Ran::Yes => false,
    }
}
