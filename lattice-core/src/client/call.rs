//! One call: checked, sent to one replica after another until one has replied, by its deadline.

use super::{
    Client,
    route::{is_full_of_chain, may_go_elsewhere, worst},
    routing::Route,
};
use crate::{
    call::{CallError, Context, FunctionRef, MAX_HOPS, Part, Ran},
    id::Fence,
    link::LinkEntry,
    name::{ComponentId, LinkName},
    serve::CallerInstance,
    server::{OpenWormhole, running::Outcome},
    store::{Incarnation, Revision},
    stream::{self, Handles, Holder},
    trace::{self, CallSpan},
    wire::{CallParts, ChainMark, Origin, Source},
};
use bytes::Bytes;
use std::{mem, sync::Arc};
use tokio::time::Instant;

/// Replicas that one call may try. Each further one only if the call did not run, or may run twice.
const ATTEMPTS: u8 = 3;

/// A call about to be made.
pub(crate) struct OutgoingCall<'c> {
    pub(crate) source: &'c Source,
    pub(crate) target: &'c ComponentId,
    pub(crate) permission: Permission<'c>,
    /// The incarnation of the store that the callee's table must have, if there is a revision to
    /// wait for.
    pub(crate) incarnation: Option<Incarnation>,
    pub(crate) function: &'c FunctionRef,
    pub(crate) args: Bytes,
    /// The streams and handles in the arguments. They are taken by the first attempt.
    pub(crate) handles: Handles,
    /// The instance that calls.
    pub(crate) caller: CallerInstance,
    pub(crate) passing: Passing,
    pub(crate) context: Context,
    pub(crate) idempotent: bool,
    /// The fence of the target's lease, as far as it is known when the call is routed.
    pub(crate) fence: Option<Fence>,
}

/// What allows a call.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Permission<'c> {
    /// Its source is an operator or a host, and needs nothing else.
    Own,
    Link(&'c LinkEntry),
    Wormhole(&'c OpenWormhole),
}

/// How a call passes handles to and from another host.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Passing {
    /// Whether the arguments are the names of the handles, too.
    pub(crate) has_handles: bool,
    /// The number of the instance that calls, or 0, if the caller takes a result with handles.
    pub(crate) instance: Option<u64>,
}

impl<'c> OutgoingCall<'c> {
    /// A call that needs neither a link nor a wormhole.
    pub(crate) fn ungranted(
        source: &'c Source,
        target: &'c ComponentId,
        function: &'c FunctionRef,
        args: Bytes,
        context: Context,
    ) -> Self {
        Self {
            source,
            target,
            permission: Permission::Own,
            incarnation: None,
            function,
            args,
            handles: Handles::new(),
            caller: CallerInstance::Here,
            passing: Passing::default(),
            context,
            idempotent: false,
            fence: None,
        }
    }

    /// The contents of its envelope. The callee gets the time that is left now: a call may have
    /// waited long to get here.
    pub(super) fn parts<'p>(
        &'p self,
        (id, attempt): (u64, u8),
        marks: &'p [ChainMark],
        now: Instant,
    ) -> CallParts<'p> {
        let (link, link_revision) = match self.permission {
            // A placeholder: it needs no link.
            Permission::Own => (LinkName::default_name(), Revision::default()),
            Permission::Link(entry) => (&entry.link.name, entry.revision),
            Permission::Wormhole(wormhole) => (&wormhole.link, wormhole.revision),
        };
        CallParts {
            id,
            function: self.function.key(),
            deadline_left: self.context.deadline.saturating_duration_since(now),
            source: self.source,
            target: self.target,
            link,
            incarnation: self.incarnation.unwrap_or_default(),
            link_revision,
            fence: Fence::number(self.fence),
            hops: self.context.hops,
            attempt,
            idempotent: self.idempotent,
            trace: self.context.trace.as_ref(),
            instance: self.passing.instance,
            marks,
            has_handles: self.passing.has_handles,
            session: None,
            args: &self.args,
        }
    }
}

impl<'c> Permission<'c> {
    /// Returns the link that allows the call, if one does.
    pub(crate) fn link(self) -> Option<&'c LinkEntry> {
        match self {
            Self::Link(entry) => Some(entry),
            Self::Own | Self::Wormhole(_) => None,
        }
    }

    /// Returns the name of the link that the wormhole which allows the call has.
    pub(crate) fn wormhole_link(self) -> Option<&'c LinkName> {
        match self {
            Self::Wormhole(wormhole) => Some(&wormhole.link),
            Self::Own | Self::Link(_) => None,
        }
    }
}

impl Client {
    /// Makes one call, within a span if it is sampled.
    pub(super) async fn make(self: &Arc<Self>, call: &mut OutgoingCall<'_>) -> Outcome {
        if trace::is_sampled_of(call.source, &mut call.context) {
            // Boxed, so that other calls have no room for its span.
            return Box::pin(self.make_in_span(call)).await;
        }
        self.call_replicas(call).await
    }

    async fn make_in_span(self: &Arc<Self>, call: &mut OutgoingCall<'_>) -> Outcome {
        let between = (call.source, call.target);
        let span = CallSpan::client(between, call.function, &mut call.context);
        span.run(self.call_replicas(call)).await
    }

    /// Tries one replica after another until one has replied.
    async fn call_replicas(self: &Arc<Self>, call: &mut OutgoingCall<'_>) -> Outcome {
        let mut now = self.check(call)?;
        self.retries.count_call();
        if !call.handles.is_empty() {
            return Box::pin(self.call_with_handles(call, now)).await;
        }
        // Stays empty and allocates nothing for a call that the first replica completes.
        let mut tried: Vec<Origin> = Vec::new();
        let mut failed: Option<Box<CallError>> = None;
        for attempt in 0..ATTEMPTS {
            let route = if let Some(route) = self.choose(call, &tried, now) {
                route
            } else if matches!(failed.as_deref(), None | Some(CallError::NotServed { .. })) {
                // A replica that serves it no more may have moved since the last heartbeat.
                let found = Box::pin(self.find(call, &tried, now)).await;
                // Discovery takes time.
                now = Instant::now();
                match found {
                    Ok(found) => found,
                    Err(error) => return Err(worst(failed.map(|failed| *failed), error)),
                }
            } else {
                break;
            };
            let result = match &route {
                Route::Here(component) => self.call_component(component, call, now).await,
                Route::SameProcess(server, component) => {
                    let result = self.call_component(component, call, now).await;
                    unless_gone(server, result)
                }
                Route::Remote(peer) => self.call_remote(peer, call, attempt, now).await,
            };
            let error = match result {
                Ok(result) => {
                    if !result.handles.is_empty() {
                        self.has_passed_handles(call, &route);
                    }
                    return Ok(result);
                }
                Err(error) => error,
            };
            if matches!(error, CallError::NotExported { .. }) {
                drop(error);
                let error = Box::pin(self.explain_not_exported(call)).await;
                return Err(worst(failed.map(|failed| *failed), error));
            }
            now = Instant::now();
            let origin = route.origin(self);
            if may_go_elsewhere(&error, false) {
                self.cooldowns.add(origin, call.target, now);
            }
            let again = attempt + 1 < ATTEMPTS
                && (may_go_elsewhere(&error, call.idempotent) || is_full_of_chain(&error))
                && now < call.context.deadline
                && self.retries.take(now);
            let error = worst(failed.map(|failed| *failed), error);
            if !again {
                return Err(error);
            }
            trace::retried(&call.context, (attempt + 1, origin), &error);
            tried.push(origin.clone());
            failed = Some(Box::new(error));
        }
        Err(match failed {
            Some(error) => *error,
            None => CallError::NotServed {
                component: call.target.clone(),
            },
        })
    }

    /// Makes a call whose arguments have streams or handles.
    async fn call_with_handles(
        self: &Arc<Self>,
        call: &mut OutgoingCall<'_>,
        now: Instant,
    ) -> Outcome {
        if !call.function.places().arguments {
            let by = Holder::Local(call.source.clone());
            stream::discard(mem::take(&mut call.handles), &by);
            return Err(stream::unplaced_arguments());
        }
        if call.has_portable() {
            return Box::pin(self.call_with_portable(call)).await;
        }
        self.pass(call, now).await
    }

    /// Makes a call whose arguments have streams or handles, once, because they are gone then, and
    /// where the callee's own resources are.
    pub(super) async fn pass(
        self: &Arc<Self>,
        call: &mut OutgoingCall<'_>,
        mut now: Instant,
    ) -> Outcome {
        let known = match self.pinned(call)? {
            Some(route) => Some(route),
            None => self.choose(call, &[], now),
        };
        let route = if let Some(route) = known {
            route
        } else {
            let found = self.find(call, &[], now).await?;
            now = Instant::now();
            found
        };
        let result = match &route {
            Route::Here(component) => self.call_component(component, call, now).await,
            Route::SameProcess(server, component) => {
                let result = self.call_component(component, call, now).await;
                unless_gone(server, result)
            }
            // Boxed, so that no call has room for it on its stack.
            Route::Remote(peer) => Box::pin(self.pass_remote(peer, call)).await,
        };
        match result {
            Err(CallError::NotExported { .. }) => Err(self.explain_not_exported(call).await),
            Ok(result) => {
                self.has_passed_handles(call, &route);
                Ok(result)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes the checks that don't depend on the route of a call. Returns the time at which it was.
    pub(super) fn check(&self, call: &OutgoingCall<'_>) -> Result<Instant, CallError> {
        if call.context.hops > MAX_HOPS {
            return Err(CallError::TooManyHops { limit: MAX_HOPS });
        }
        if self.transport.is_closed() {
            return Err(CallError::Disconnected { ran: Ran::No });
        }
        let limit = self.transport.endpoint.max_value();
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

    /// The error of a call to a function that the callee doesn't export: it is missing there, or
    /// has another type.
    async fn explain_not_exported(self: &Arc<Self>, call: &OutgoingCall<'_>) -> CallError {
        let OutgoingCall {
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
            Some(found) if found.lines().all(|found| found != function.signature()) => {
                CallError::SchemaMismatch {
                    component: (*target).clone(),
                    interface: function.interface().to_string(),
                    function: function.function().to_string(),
                    expected: function.signature().to_owned(),
                    found: found.clone(),
                }
            }
            _ => missing,
        }
    }
}

/// The result of a call on another node of this process. If that node has vanished, it is lost, as
/// on a remote host.
fn unless_gone(server: &crate::server::Server, result: Outcome) -> Outcome {
    match result {
        Err(error) if error.ran() == Ran::No => Err(error),
        _ if server.transport.is_closed() => Err(CallError::HostLost {
            host: server.origin().host.clone(),
        }),
        result => result,
    }
}
