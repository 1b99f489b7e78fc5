//! The caller's side of a call: grant, route, exchange, and trying another replica when it surely did not run.

use super::{
    Inner,
    line::{Line, lane, token},
    outbox::NotQueued,
    pending::{Outcome, Waits},
    served::{Begun, Served},
};
use crate::{
    call::{CallError, Context, FunctionRef, MAX_HOPS, Part, Ran},
    link::{LinkEntry, Locality},
    name::{ComponentId, LinkName},
    route::{Candidates, Choice, choose, may_go_elsewhere, worst},
    serve::Request,
    store::Incarnation,
    wire::{CallParts, Lane, Origin, Source},
};
use bytes::Bytes;
use std::{
    fmt,
    future::poll_fn,
    sync::{Arc, LazyLock, atomic::Ordering},
    task::Poll,
};
use tokio::time::{Instant, timeout_at};

/// Replicas that one call may try; each further one only when the call surely did not run, or may run twice.
const ATTEMPTS: u8 = 3;

/// What an envelope holds beside the arguments, in bytes: fixed fields and names. Generous.
const ENVELOPE: usize = 256;

/// What stands for the link of a call that needs none.
static NO_LINK: LazyLock<LinkName> = LazyLock::new(LinkName::default);

/// A call about to be made.
pub(crate) struct Outgoing<'c> {
    pub(crate) source: &'c Source,
    pub(crate) target: &'c ComponentId,
    /// What allows it; `None` for an operator.
    pub(crate) grant: Option<&'c LinkEntry>,
    /// The life of the store that the grant is from.
    pub(crate) incarnation: Incarnation,
    pub(crate) function: &'c FunctionRef,
    pub(crate) args: Bytes,
    pub(crate) context: Context,
    pub(crate) idempotent: bool,
    /// The fence of the target's lease, as far as it is known when the call is routed; 0 for none.
    pub(crate) fence: u64,
}

enum Route {
    Here(Arc<Served>),
    /// On another host of this program.
    Beside(Arc<Inner>, Arc<Served>),
    There(Arc<Line>),
}

/// Calls in the name of one component, through its links. Cheap to clone.
#[derive(Clone)]
pub struct Caller {
    node: Arc<Inner>,
    source: Source,
    id: ComponentId,
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
        Self {
            node,
            source: Source::Component(source.clone()),
            id: source,
        }
    }

    /// The component that calls.
    pub fn source(&self) -> &ComponentId {
        &self.id
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
        let (grant, incarnation) = {
            let table = self.node.connection.replica.links();
            let grant = table.resolve(&self.id, function.compat(), link).cloned();
            // What the store lost is in no revision that the callee could wait for.
            let held = grant
                .as_ref()
                .is_some_and(|grant| table.is_held(&grant.key));
            let incarnation = if held {
                Incarnation::default()
            } else {
                table.incarnation()
            };
            (grant, incarnation)
        };
        let grant = grant.ok_or_else(|| CallError::NotLinked {
            source_id: self.id.clone(),
            interface: function.interface().to_string(),
            link: link.clone(),
        })?;
        let call = Outgoing {
            incarnation,
            source: &self.source,
            target: &grant.link.target,
            idempotent: grant.link.idempotent.contains(function.function()),
            grant: Some(&grant),
            function,
            args,
            context,
            fence: 0,
        };
        self.node.call(call).await
    }
}

impl Inner {
    /// Makes one call and answers with its value or a typed error, by its deadline.
    pub(crate) async fn call(self: &Arc<Self>, mut call: Outgoing<'_>) -> Outcome {
        let mut now = self.check(&call)?;
        self.calls.fetch_add(1, Ordering::Relaxed);
        // Nothing is kept of a call that is answered by the first replica.
        let mut tried: Vec<Origin> = Vec::new();
        let mut failed: Option<CallError> = None;
        for attempt in 0..ATTEMPTS {
            let route = match self.choose(&mut call, &tried, now) {
                Some(route) => route,
                None => match failed {
                    Some(error) => return Err(error),
                    None => Box::pin(self.find(&mut call, now)).await?,
                },
            };
            let outcome = match &route {
                Route::Here(served) => self.call_here(served, &call, now).await,
                Route::Beside(host, served) => {
                    let outcome = self.call_here(served, &call, now).await;
                    host.unless_gone(outcome)
                }
                Route::There(line) => self.call_there(line, &call, now, attempt).await,
            };
            let error = match outcome {
                Ok(result) => return Ok(result),
                Err(CallError::NotExported { .. }) => {
                    let error = Box::pin(self.explain_not_exported(&call)).await;
                    return Err(worst(failed, error));
                }
                Err(error) => error,
            };
            now = Instant::now();
            let origin = route.origin(self);
            if may_go_elsewhere(&error, false) {
                self.resting.add(origin, call.target, now);
            }
            let again = attempt + 1 < ATTEMPTS
                && may_go_elsewhere(&error, call.idempotent)
                && now < call.context.deadline
                && self.may_retry(now);
            let error = worst(failed, error);
            if !again {
                return Err(error);
            }
            tried.push(origin.clone());
            failed = Some(error);
        }
        Err(failed.unwrap_or_else(|| CallError::NotServed {
            component: call.target.clone(),
        }))
    }

    /// What can be said before it is sent; answers the time at which it was.
    pub(super) fn check(&self, call: &Outgoing<'_>) -> Result<Instant, CallError> {
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
        let now = Instant::now();
        if now >= call.context.deadline {
            return Err(CallError::DeadlineExceeded { ran: Ran::No });
        }
        Ok(now)
    }

    fn may_retry(&self, now: Instant) -> bool {
        let calls = self.calls.load(Ordering::Relaxed);
        self.lock_budget().take(calls, now)
    }

    /// Where the call goes, among the replicas that are known and were not tried.
    fn choose(
        self: &Arc<Self>,
        call: &mut Outgoing<'_>,
        tried: &[Origin],
        now: Instant,
    ) -> Option<Route> {
        let locality = call
            .grant
            .map_or(Locality::PreferLocal, |grant| grant.link.locality);
        let here = self
            .served(call.target)
            .filter(|served| !tried.contains(&self.origin) && self.is_newest(served));
        // One that ends is asked only when there is no other: it says so.
        let (here, ending) = match here {
            Some(served) if !served.takes(&call.context) => (None, Some(served)),
            here => (here, None),
        };
        if locality != Locality::Anywhere {
            if let Some(served) = here {
                return Some(Route::Here(served));
            }
            let usable = |host: &Self, served: &Served| {
                !tried.contains(&host.origin) && served.takes(&call.context)
            };
            let beside = self.beside.served(call.target, usable);
            if let Some((host, served)) = beside.filter(|(_, served)| self.is_newest(served)) {
                return Some(Route::Beside(host, served));
            }
        }
        let peers = self.connection.presence.current();
        let (there, fence) = peers.fenced(call.target);
        call.fence = fence;
        let lines = self.lines.load();
        let candidates = Candidates {
            here: here.as_ref().map(|served| served.in_flight()),
            there: there.len(),
            load: |at: usize| lines.get(&there[at]).map_or(0, |line| line.in_flight()),
            usable: |at: usize| there[at] != self.origin && !tried.contains(&there[at]),
            resting: |at: usize| self.resting.rests(&there[at], call.target, now),
        };
        match choose(locality, self.random(), &candidates) {
            None => ending.map(Route::Here),
            Some(Choice::Here) => here.map(Route::Here),
            Some(Choice::There(at)) => Some(Route::There(match lines.get(&there[at]) {
                Some(line) => line.clone(),
                None => self.line(&there[at]),
            })),
        }
    }

    /// Whether no other host got the lease of it since.
    fn is_newest(&self, served: &Served) -> bool {
        let newest = || self.connection.presence.current().fenced(&served.id).1;
        served.fence == 0 || newest() <= served.fence
    }

    /// Asks who serves the target, when nobody is known who does.
    async fn find(
        self: &Arc<Self>,
        call: &mut Outgoing<'_>,
        now: Instant,
    ) -> Result<Route, CallError> {
        let local_only = call
            .grant
            .is_some_and(|grant| grant.link.locality == Locality::LocalOnly);
        let mut found = Vec::new();
        if !local_only {
            found = self.discover(call.target, call.context.deadline).await?;
            found.retain(|origin| *origin != self.origin);
        }
        // Whoever answered may have told of more than one.
        self.choose(call, &[], now)
            .or_else(|| Some(Route::There(self.line(found.first()?))))
            .ok_or_else(|| CallError::NotServed {
                component: call.target.clone(),
            })
    }

    /// What a host of this program answered. One that has vanished says nothing any more, as if it were far away.
    fn unless_gone(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Err(error) if error.ran() == Ran::No => Err(error),
            _ if self.gone.load(Ordering::Acquire) => Err(CallError::HostLost {
                host: self.origin.host.clone(),
            }),
            outcome => outcome,
        }
    }

    /// Same host: no frame, no bus, no task.
    async fn call_here(&self, served: &Arc<Served>, call: &Outgoing<'_>, now: Instant) -> Outcome {
        if call.grant.is_none() {
            self.operator_may(&served.id)?;
        }
        let _place = served.admit(&call.context)?;
        if served.interface_of(call.function.key()).is_none() {
            return Err(CallError::not_exported(
                call.target,
                call.function.interface(),
                call.function.function(),
            ));
        }
        let request = Request {
            component: call.target.clone(),
            function: call.function.key(),
            source: call.source.clone(),
            link: call.grant.map(|grant| grant.link.clone()),
            args: call.args.clone(),
            context: call.context,
        };
        let outcome = match served.begin(request, now) {
            Begun::Done(outcome) => outcome,
            // Kept apart, so that a call which needs none of it carries none of it around.
            begun => Box::pin(served.finish(begun)).await,
        };
        self.sendable(outcome)
    }

    /// A result that is too large for a message is no result, on whatever host its caller is.
    pub(super) fn sendable(&self, outcome: Outcome) -> Outcome {
        let limit = self.connection.max_message();
        match outcome {
            Ok(result) if result.len() > limit => Err(CallError::TooLarge {
                what: Part::Result,
                limit: limit as u64,
            }),
            outcome => outcome,
        }
    }

    pub(super) async fn call_there(
        self: &Arc<Self>,
        line: &Arc<Line>,
        call: &Outgoing<'_>,
        now: Instant,
        attempt: u8,
    ) -> Outcome {
        let (size, deadline) = (call.args.len() + ENVELOPE, call.context.deadline);
        let _share = match lane(size) {
            Lane::Small => None,
            Lane::Bulk => match Box::pin(timeout_at(deadline, line.room(size))).await {
                Ok(share) => Some(share),
                Err(_) => return Err(CallError::DeadlineExceeded { ran: Ran::No }),
            },
        };
        let _in_flight = line.enter();
        // The task that opens the slot is the one that awaits it, in this very poll.
        let caller = poll_fn(|context| Poll::Ready(context.waker().clone())).await;
        let waits = Waits {
            peer: line.token,
            since: now,
            deadline,
            caller,
        };
        let sent = line.send(
            size,
            |frame| self.pending.open(waits, frame),
            |answer, buffer| call.parts(answer.id, attempt, now).encode_into(buffer),
        );
        let answer = sent.map_err(|refused| match refused {
            NotQueued::Full => CallError::Overloaded {
                component: call.target.clone(),
            },
            NotQueued::Closed => CallError::HostGone {
                host: line.peer.host.clone(),
            },
        })?;
        if answer.early {
            self.busy.notify_one();
        }
        answer.await
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
                component: (*target).clone(),
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
        let _opening = self.lock_opening();
        if let Some(line) = self.lines.load().get(peer) {
            return line.clone();
        }
        let (weak, number) = (Arc::downgrade(self), token(peer));
        let lost = move |frame, error: crate::bus::BusError| {
            if let Some(node) = weak.upgrade() {
                node.frame_lost(number, frame, &error);
            }
        };
        let line = Arc::new(Line::open(self, peer.clone(), number, lost));
        self.change_lines(|lines| lines.insert(peer.clone(), line.clone()));
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

impl Outgoing<'_> {
    fn parts(&self, id: u64, attempt: u8, now: Instant) -> CallParts<'_> {
        let (incarnation, link_revision) = self
            .grant
            .map(|grant| (self.incarnation, grant.revision))
            .unwrap_or_default();
        CallParts {
            id,
            function: self.function.key(),
            deadline_left: self.context.deadline.saturating_duration_since(now),
            source: self.source,
            target: self.target,
            link: self.grant.map_or(&NO_LINK, |grant| &grant.link.name),
            incarnation,
            link_revision,
            fence: self.fence,
            hops: self.context.hops,
            attempt,
            idempotent: self.idempotent,
            trace: self.context.trace.as_ref(),
            args: &self.args,
        }
    }
}

impl Route {
    fn origin<'r>(&'r self, node: &'r Inner) -> &'r Origin {
        match self {
            Self::Here(_) => &node.origin,
            Self::Beside(host, _) => &host.origin,
            Self::There(line) => &line.peer,
        }
    }
}
