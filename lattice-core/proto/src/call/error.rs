//! What can become of a call that has no value to show.

use super::Limit;
use crate::name::{ComponentId, FunctionName, HostId, InterfaceName, LinkName};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Whether the callee's code ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Ran {
    /// Surely not: trying again can't do anything twice.
    No,
    /// It may have, wholly or in part: only an idempotent call may be tried again.
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

/// Why a call has no value. [`ran`](Self::ran) says whether the callee's code ran, [`is_retryable`](Self::is_retryable)
/// whether the same call may succeed later without anyone changing anything.
///
/// The order of the variants is the wire format: new ones go to the end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CallError {
    /// The caller has no link that grants this. Did not run.
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
    /// The target refused the link: its provider did not accept the configuration. Did not run.
    #[error(
        "the target refused link `{link}` of `{source_id}`: {reason}; correct the link's config and put it again"
    )]
    LinkRejected {
        /// The calling component.
        source_id: ComponentId,
        /// The link's name.
        link: LinkName,
        /// What the target said.
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
    /// The target's queue is full. Did not run; try again after a moment, or add replicas.
    #[error(
        "component `{component}` has a full queue; try again after a moment, add replicas or raise its limits"
    )]
    Overloaded {
        /// The component that was called.
        component: ComponentId,
    },
    /// Arguments or result are over a size limit. Arguments: did not run. A result: ran and failed.
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
        /// `No` when it was still queued, else `Maybe`.
        ran: Ran,
    },
    /// The chain of calls is longer than the limit: most likely a loop of links. Did not run.
    #[error("a chain of calls is longer than {limit} hops; look for a loop in the links")]
    TooManyHops {
        /// The limit.
        limit: u8,
    },
    /// The arguments are not of the function's type. Did not run.
    #[error("the arguments do not fit the function: {reason}")]
    BadArguments {
        /// What is wrong with them.
        reason: String,
    },
    /// The answer is not of the function's type. It ran.
    #[error(
        "the result does not fit the function: {reason}; build both sides against the same WIT"
    )]
    BadResult {
        /// What is wrong with it.
        reason: String,
    },
    /// The callee's code failed: a trap in an actor, a panic in a provider. It ran.
    #[error("the callee failed: {reason}")]
    CalleeFailed {
        /// What it said.
        reason: String,
    },
    /// The callee's instance was lost for a reason that was not this call. May have run.
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
    /// The host was gone before the call reached it. Did not run.
    #[error(
        "host `{host}` is gone and the call did not reach it; try again, another host may serve it"
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
    /// The bus is out of reach.
    #[error("the bus is out of reach; the call {ran}")]
    Disconnected {
        /// `No` when the call had not left, else `Maybe`.
        ran: Ran,
    },
    /// Calls in the name of nobody are switched off in this lattice. Did not run.
    #[error("operator calls are switched off; call through a link")]
    OperatorDenied,
    /// The store could not answer something that the call needed. Did not run.
    #[error("the store could not be read for the call: {reason}; try again")]
    StoreUnavailable {
        /// What it said.
        reason: String,
    },
    /// A name breaks its rule. Did not run.
    #[error(transparent)]
    InvalidName(#[from] crate::name::NameError),
    /// An error of a newer version than this one.
    #[error(
        "the callee answered with an error that this version does not know: {message}; the call {ran}"
    )]
    Unrecognised {
        /// Whether it ran, as the other side says.
        ran: Ran,
        /// Its text there.
        message: String,
    },
    /// The callee used more than it may, and lost its instance. It ran; whether it had begun is not known when the limit
    /// is one of [`Limit::Wall`] time.
    #[error(
        "the callee went over its limit of {limit}: {reason}; do less in one call, or raise the limit where it is started"
    )]
    LimitExceeded {
        /// Which limit, and what it allows.
        limit: Limit,
        /// How the instance ended, and where in its code, when that is known.
        reason: String,
    },
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
    /// Whether the callee's code ran.
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

    /// Whether the same call may succeed later with nobody changing anything. Whether it may be *sent* again without
    /// doing something twice is [`ran`](Self::ran): after [`Ran::Maybe`], only when it is idempotent.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::NotServed { .. }
                | Self::Overloaded { .. }
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

    /// The same with a reason of bounded length, so that a long one doesn't sink the message that carries it.
    pub fn shortened(mut self) -> Self {
        if let Self::CalleeFailed { reason }
        | Self::BadArguments { reason }
        | Self::BadResult { reason }
        | Self::InstanceLost { reason }
        | Self::LinkRejected { reason, .. }
        | Self::StoreUnavailable { reason }
        | Self::LimitExceeded { reason, .. }
        | Self::Unrecognised {
            message: reason, ..
        } = &mut self
        {
            shorten(reason);
        }
        self
    }

    /// [`NotExported`](Self::NotExported) for this function.
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
