//! Errors of calls.

use super::Limit;
use crate::name::{ComponentId, FunctionName, HostId, InterfaceName, LinkName, WormholeId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Whether the callee's code ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Ran {
    /// It certainly did not: calling again can't do anything twice.
    No,
    /// It may have run, wholly or in part: only an idempotent call may be made again.
    Maybe,
    /// It did, and failed.
    Yes,
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::No => "did not run",
            Self::Maybe => "may have run",
            Self::Yes => "ran and failed",
        })
    }
}

/// Why a call failed.
///
/// Every call ends by its deadline, with a value or with one of these. [`ran`](Self::ran) returns
/// whether the callee's code ran, and [`is_retryable`](Self::is_retryable) whether the same call
/// may succeed later if nothing is changed.
///
/// A call that certainly did not run is sent to another replica automatically, within a budget of a
/// fifth of recent calls. A call that may have run is sent again only if it is idempotent, which a
/// link declares: `Link::idempotent(["get"])`.
///
/// # When things fail
///
/// | cause | error | when | did it run? | what to do |
/// | --- | --- | --- | --- | --- |
/// | no link grants the call | [`NotLinked`] | at once | no | put the link that the message shows |
/// | the target's provider rejected the link's config | [`LinkRejected`] | at once | no | correct the config and put the link again |
/// | a wormhole is closed, was deleted or leads elsewhere | [`WormholeClosed`] | at once | no | open it, or correct its record |
/// | the target's host hasn't received the link yet | [`LinkTableBehind`] | within 1 s | no | nothing: it is tried on another replica; if it still fails, call again |
/// | no host serves the component | [`NotServed`] | within 50 ms, or after 1 s if no host replies | no | start it, or wait with `lattice.served(..)` |
/// | caller and callee were built against different WIT | [`NotExported`], [`SchemaMismatch`] | at once | no | build both against the same WIT |
/// | arguments or result exceed the limits of the callee, or of a process's memory for messages | [`TooLarge`] | at once | arguments: no; result: yes | send less, or raise the limit |
/// | the component's queue is full, or its calls or its host's messages take too much memory | [`Overloaded`] | at once | no | call again after a moment, or add replicas |
/// | its host has no room for one more instance | [`Overloaded`] | shortly before the deadline | no | call again after a moment, or give the host more memory for guests |
/// | the caller has too many streams and large calls to other hosts at once | [`TooManySessions`] | at once | no | end streams, or wait for calls before more are made |
/// | the component or its host is stopping | [`Stopping`] | at once | no | nothing: it is tried on another replica |
/// | a host is killed, and the call was sent to it | [`HostLost`] | 25 ms after the bus reports it: with the next call to it, or 100 ms later | maybe | retry idempotent calls |
/// | a host is killed, and the call was not sent yet | [`HostGone`] | when its death is noticed | no | nothing: it is tried on another replica |
/// | a host hangs, or is cut off | [`HostLost`] | 700 ms after its last message | maybe | retry idempotent calls |
/// | the NATS server dies, and the call was handed to it | [`Disconnected`] | within 100 ms | maybe | retry idempotent calls; local calls continue |
/// | the NATS server is away, and the call was not handed to it | [`Disconnected`] | at once | no | call again when it is back; the client reconnects by itself |
/// | a guest traps, or a provider panics | [`CalleeFailed`] | at once | yes | read the reason; its neighbours continue |
/// | a guest uses too much CPU, memory or stack | [`LimitExceeded`] | when it does | yes; over the wall-time limit: maybe | do less in one call, or raise the limit |
/// | another call ended a shared instance | [`InstanceLost`] | at once | maybe | retry idempotent calls |
/// | the caller's own host is considered lost by the callee's | [`InstanceLost`] | after three missed heartbeats | maybe | retry idempotent calls |
/// | a component that runs once loses its lease during the call | [`InstanceLost`] | with its reply | maybe | retry idempotent calls |
/// | links form a loop | [`TooManyHops`] | after 32 hops, or when all calls that a component may run at once wait for this one | no | look for the loop in the links |
/// | a handle was dropped, or the instance that it lives in ended | [`StaleHandle`] | at once | no | get a new handle |
/// | the host on which a handle lives was started again, or has heard nothing from the holder's host for 30 s | [`StaleHandle`] | at once | no | get a new handle; a portable resource is made again by another replica |
/// | anything is slow | [`DeadlineExceeded`] | at the deadline | see its field `ran` | allow more time, or find out what is slow |
///
/// Three further failures concern the store and the key:
///
/// * The store comes back empty, recreated or older. Links that it lacks stay in force, and
///   `lattice.replica().health().state` shows it at once. Put the links again, or call
///   `lattice.replica().accept()`.
/// * This process has another key than the lattice. It sees no hosts and no links, so that its
///   calls fail at once with [`NotLinked`] or [`NotServed`], and its writes fail with `OtherKey`.
///   Check the key.
/// * The store is out of reach. Links stay as they were, and new ones fail with `StoreError` within
///   5 s. Nothing that runs stops.
///
/// # In a guest
///
/// The guest gets the error as a value if the error type of the function's `result` is
/// `lattice:rpc/types.error` or a string, or has a case `other`, `internal-error`, `internal` or
/// `unavailable` that holds a `string` or an `option<string>`. Otherwise the call traps.
///
/// [`NotLinked`]: Self::NotLinked
/// [`LinkRejected`]: Self::LinkRejected
/// [`LinkTableBehind`]: Self::LinkTableBehind
/// [`NotServed`]: Self::NotServed
/// [`NotExported`]: Self::NotExported
/// [`SchemaMismatch`]: Self::SchemaMismatch
/// [`TooLarge`]: Self::TooLarge
/// [`Overloaded`]: Self::Overloaded
/// [`Stopping`]: Self::Stopping
/// [`HostLost`]: Self::HostLost
/// [`HostGone`]: Self::HostGone
/// [`Disconnected`]: Self::Disconnected
/// [`CalleeFailed`]: Self::CalleeFailed
/// [`LimitExceeded`]: Self::LimitExceeded
/// [`InstanceLost`]: Self::InstanceLost
/// [`TooManyHops`]: Self::TooManyHops
/// [`DeadlineExceeded`]: Self::DeadlineExceeded
/// [`StaleHandle`]: Self::StaleHandle
/// [`TooManySessions`]: Self::TooManySessions
/// [`WormholeClosed`]: Self::WormholeClosed
// The order of the variants is the wire format: new ones go to the end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CallError {
    /// The caller has no link that grants the call. Did not run.
    #[error(
        "component `{source_id}` has no link `{link}` for `{interface}`; add one with `lattice.links().put(Link::new(\"{source_id}\", \"{interface}\", TARGET))`"
    )]
    NotLinked {
        /// The calling component.
        source_id: ComponentId,
        /// The interface that it called.
        interface: String,
        /// The link name that it used.
        link: LinkName,
    },
    /// The target rejected the link: its provider did not accept the configuration. Did not run.
    #[error(
        "the target refused link `{link}` of `{source_id}`: {reason}; correct the link's config and put it again"
    )]
    LinkRejected {
        /// The calling component.
        source_id: ComponentId,
        /// The link's name.
        link: LinkName,
        /// The target's reason.
        reason: String,
    },
    /// No live host serves the component. Did not run.
    #[error("no host serves component `{component}`; start it on one, or wait until it is up")]
    NotServed {
        /// The component that was called.
        component: ComponentId,
    },
    /// The component runs but does not export this function. Did not run.
    #[error(
        "component `{component}` does not export `{interface}#{function}`; link to one that does"
    )]
    NotExported {
        /// The component that was called.
        component: ComponentId,
        /// The interface.
        interface: String,
        /// The function.
        function: String,
    },
    /// Caller and callee disagree on the function's type. Did not run.
    #[error(
        "`{interface}#{function}` has type `{expected}` for the caller, but component `{component}` has `{found}`; build both against the same WIT"
    )]
    SchemaMismatch {
        /// The component that was called.
        component: ComponentId,
        /// The interface.
        interface: String,
        /// The function.
        function: String,
        /// The caller's signature.
        expected: String,
        /// The callee's signature.
        found: String,
    },
    /// The target's queue is full, or its host has no memory for more messages, or had no room for
    /// one more instance in time. Did not run; try again after a moment, or add replicas.
    #[error(
        "component `{component}` is overloaded: its queue is full, or its host has no room for one more instance; try again after a moment, add replicas or raise its limits"
    )]
    Overloaded {
        /// The component that was called.
        component: ComponentId,
    },
    /// Arguments or result exceed a size limit. For arguments the call did not run; for a result it
    /// ran and failed.
    #[error("{what} is over the limit of {limit} bytes; send less, or raise the limit")]
    TooLarge {
        /// Which of them.
        what: Part,
        /// The limit in bytes.
        limit: u64,
    },
    /// The target has not yet seen the link that the caller used. Did not run.
    #[error("the target's host has not seen the link yet; try again")]
    LinkTableBehind,
    /// The deadline passed.
    #[error("the deadline passed; the call {ran}")]
    DeadlineExceeded {
        /// `No` if the call was still queued, otherwise `Maybe`.
        ran: Ran,
    },
    /// The chain of calls is longer than the limit: most likely a loop of links. The limit is that
    /// of hops, or, if the chain holds all turns of a component on a host, the number of calls that
    /// the component runs there at once. Several chains that wait for each other on different hosts
    /// end with [`DeadlineExceeded`](Self::DeadlineExceeded) instead. Did not run.
    #[error("a chain of calls is longer than {limit} hops; look for a loop in the links")]
    TooManyHops {
        /// The limit.
        limit: u8,
    },
    /// The arguments don't have the function's types. Did not run.
    #[error("the arguments do not fit the function: {reason}")]
    BadArguments {
        /// The problem.
        reason: String,
    },
    /// The result doesn't have the function's type. The call ran.
    #[error(
        "the result does not fit the function: {reason}; build both sides against the same WIT"
    )]
    BadResult {
        /// The problem.
        reason: String,
    },
    /// The callee's code failed, for example with a trap in an actor or a panic in a provider. The
    /// call ran.
    #[error("the callee failed: {reason}")]
    CalleeFailed {
        /// The callee's message.
        reason: String,
    },
    /// The callee's instance was lost for a reason other than this call. May have run.
    #[error("the callee's instance was lost: {reason}; the call may have run")]
    InstanceLost {
        /// Why.
        reason: String,
    },
    /// The host that had the call is gone. May have run.
    #[error("host `{host}` was lost; the call may have run")]
    HostLost {
        /// The host.
        host: HostId,
    },
    /// The host was gone before the call was sent. Did not run.
    #[error(
        "host `{host}` is gone and the call was not sent to it; try again, another host may serve it"
    )]
    HostGone {
        /// The host.
        host: HostId,
    },
    /// The component's host is shutting down or stopping it. Did not run.
    #[error("component `{component}` is stopping there; try again, another host may serve it")]
    Stopping {
        /// The component that was called.
        component: ComponentId,
    },
    /// The bus is out of reach. The client reconnects by itself, so the same call may succeed
    /// later.
    ///
    /// A caller joins the lattice with its first call. If the bus is out of reach then, that call
    /// fails with this error and did not run, and the next call joins again.
    #[error("the bus is out of reach; the call {ran}; {}", again(*ran))]
    Disconnected {
        /// `No` if the call had not been sent, otherwise `Maybe`.
        ran: Ran,
    },
    /// Operator calls, which need no link, are switched off in this lattice. Did not run.
    #[error("operator calls are switched off; call through a link")]
    OperatorDenied,
    /// Something that the call needs could not be read from the store. Did not run.
    #[error("the store could not be read for the call: {reason}; try again")]
    StoreUnavailable {
        /// The store's error.
        reason: String,
    },
    /// A name breaks its rule. Did not run.
    #[error(transparent)]
    InvalidName(#[from] crate::name::NameError),
    /// An error of a newer version than this one.
    #[error(
        "the callee returned an error that this version doesn't know: {message}; the call {ran}"
    )]
    Unrecognised {
        /// Whether the call ran, according to the other side.
        ran: Ran,
        /// The error's text there.
        message: String,
    },
    /// The callee exceeded a limit and lost its instance. The call ran, except that a call which
    /// exceeded [`Limit::Wall`] may not have begun.
    #[error(
        "the callee went over its limit of {limit}: {reason}; do less in one call, or raise the limit where it is started"
    )]
    LimitExceeded {
        /// The limit and its value.
        limit: Limit,
        /// How the instance ended, and where in its code, when that is known.
        reason: String,
    },
    /// A handle in the arguments can't be used, or no longer. Did not run.
    #[error("a handle of `{resource}` can't be used: {reason}; get a new one from its component")]
    StaleHandle {
        /// The resource's type, `package/interface/name`.
        resource: String,
        /// Why.
        reason: String,
        /// Whether it was lost with its instance or host. It was not dropped, and the component
        /// that uses it is its holder, as far as is known. A portable resource is made anew then.
        is_lost: bool,
    },
    /// The calling component has as many sessions with other hosts open as one may have on a host.
    /// A call to another host takes one while its arguments or its result are sent, if they don't
    /// fit a message, and for as long as streams in them are open. Did not run.
    #[error(
        "component `{component}` has {limit} sessions with other hosts open, which is the most for one component on a host; end streams that are not needed, or wait for calls with large arguments or results"
    )]
    TooManySessions {
        /// The calling component.
        component: ComponentId,
        /// The limit.
        limit: u64,
    },
    /// The wormhole in whose name the call was made doesn't allow it, as far as the caller's
    /// process or the callee's host knows: it is closed, it was deleted, it leads elsewhere, its
    /// record can't be read, or calls in its name may not use this interface. Did not run.
    #[error("wormhole `{wormhole}` does not allow the call: {reason}")]
    WormholeClosed {
        /// The wormhole.
        wormhole: WormholeId,
        /// Why, and what to do about it.
        reason: String,
    },
}

/// What to do about a call that failed because of the bus.
fn again(ran: Ran) -> &'static str {
    match ran {
        Ran::No => "call again when the bus is back",
        Ran::Maybe | Ran::Yes => {
            "when the bus is back, call again only if running twice does no harm"
        }
    }
}

/// Longest reason in bytes.
const MAX_REASON: usize = 4_096;

fn shorten(reason: &mut String) {
    if reason.len() > MAX_REASON {
        let end = (0..=MAX_REASON)
            .rev()
            .find(|at| reason.is_char_boundary(*at))
            .unwrap_or(0);
        reason.truncate(end);
        reason.push('…');
    }
}

/// Which part of a call was too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Part {
    /// The arguments.
    Arguments,
    /// The result.
    Result,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Arguments => "the arguments",
            Self::Result => "the result",
        })
    }
}

impl CallError {
    /// Returns whether the callee's code ran.
    pub fn ran(&self) -> Ran {
        match self {
            Self::DeadlineExceeded { ran }
            | Self::Disconnected { ran }
            | Self::Unrecognised { ran, .. } => *ran,
            Self::InstanceLost { .. }
            | Self::HostLost { .. }
            | Self::LimitExceeded {
                limit: Limit::Wall(_),
                ..
            } => Ran::Maybe,
            Self::CalleeFailed { .. }
            | Self::LimitExceeded { .. }
            | Self::BadResult { .. }
            | Self::TooLarge {
                what: Part::Result, ..
            } => Ran::Yes,
            _ => Ran::No,
        }
    }

    /// Returns whether the same call may succeed later if nothing is changed. Whether it can be
    /// sent again without doing something twice depends on [`ran`](Self::ran): after
    /// [`Ran::Maybe`], only if it is idempotent.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::NotServed { .. }
                | Self::Overloaded { .. }
                | Self::TooManySessions { .. }
                | Self::LinkTableBehind
                | Self::DeadlineExceeded { .. }
                | Self::InstanceLost { .. }
                | Self::HostLost { .. }
                | Self::HostGone { .. }
                | Self::Stopping { .. }
                | Self::Disconnected { .. }
                | Self::StoreUnavailable { .. }
                | Self::LimitExceeded {
                    limit: Limit::Wall(_),
                    ..
                }
        )
    }

    /// Returns this error with a reason of bounded length, so that it fits the message that carries
    /// it.
    pub fn shortened(mut self) -> Self {
        if let Self::CalleeFailed { reason }
        | Self::BadArguments { reason }
        | Self::BadResult { reason }
        | Self::InstanceLost { reason }
        | Self::LinkRejected { reason, .. }
        | Self::StoreUnavailable { reason }
        | Self::LimitExceeded { reason, .. }
        | Self::StaleHandle { reason, .. }
        | Self::WormholeClosed { reason, .. }
        | Self::Unrecognised {
            message: reason, ..
        } = &mut self
        {
            shorten(reason);
        }
        self
    }

    /// Returns [`NotExported`](Self::NotExported) for this function.
    pub fn not_exported(
        component: &ComponentId,
        interface: &InterfaceName,
        function: &FunctionName,
    ) -> Self {
        Self::NotExported {
            component: component.clone(),
            interface: interface.to_string(),
            function: function.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_without_a_bus_says_whether_to_call_again() {
        let text = |ran| CallError::Disconnected { ran }.to_string();
        assert_eq!(
            text(Ran::No),
            "the bus is out of reach; the call did not run; call again when the bus is back"
        );
        assert_eq!(
            text(Ran::Maybe),
            "the bus is out of reach; the call may have run; when the bus is back, call again only if running twice does no harm"
        );
    }
}
