//! The context that a call carries from hop to hop.

use super::turns::Innermost;
use crate::id::TraceContext;
use std::time::Duration;
use tokio::time::Instant;

tokio::task_local! {
    /// The call that the code of this task serves.
    static CURRENT: Context;
}

/// How long a call may take by default.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(2);
/// Longest chain of calls: a real one is a handful deep, a loop of links has no end.
pub const MAX_HOPS: u8 = 32;

/// Deadline, hops and trace of a call. Nested calls inherit it, so that a deadline only ever
/// shrinks.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Context {
    /// When the result stops being of use.
    pub deadline: Instant,
    /// How many calls deep this one is; 0 for the first.
    pub hops: u8,
    /// Where the call is in a distributed trace, with the decision whether the trace is sampled;
    /// `None` if that isn't known. See [`trace`](crate::trace).
    pub trace: Option<TraceContext>,
    /// The last turn that a call of this chain has taken in this process.
    pub(super) turn: Innermost,
}

impl Context {
    /// Creates the start of a chain, with a deadline `timeout` from now and without a trace. Inside
    /// a call, use [`within`](Self::within), which counts its hops and keeps its deadline.
    pub fn new(timeout: Duration) -> Self {
        Self {
            deadline: from_now(timeout),
            hops: 0,
            trace: None,
            turn: Innermost::NONE,
        }
    }

    /// The context of a call that came from another process.
    pub(crate) fn received(deadline: Instant, hops: u8, trace: Option<TraceContext>) -> Self {
        Self {
            deadline,
            hops,
            trace,
            turn: Innermost::NONE,
        }
    }

    /// Returns the context of the call that the calling code serves, or `None` outside of any call.
    ///
    /// It is set while a [`Service`](crate::serve::Service) is called and while the future that it
    /// returned is polled, but not in tasks that it spawned.
    pub fn current() -> Option<Self> {
        CURRENT.try_get().ok()
    }

    /// Returns the context for a call made now, with a deadline at most `timeout` from now: nested
    /// in the [current](Self::current) call, or the start of a chain.
    pub fn within(timeout: Duration) -> Self {
        match Self::current() {
            Some(current) => current.nested().shrunk(timeout),
            None => Self::new(timeout),
        }
    }

    /// Runs `work` as part of the call that this is the context of: [`current`](Self::current)
    /// returns it until `work` returns. For services that forward calls to their own code.
    pub fn enter<T>(self, work: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self, work)
    }

    /// Returns this context with a deadline at most `timeout` from now.
    pub fn shrunk(mut self, timeout: Duration) -> Self {
        self.deadline = self.deadline.min(from_now(timeout));
        self
    }

    /// Returns the context of work that continues after its call has ended. It keeps the deadline
    /// and the hops, but no longer counts as part of the call's chain of turns.
    pub fn outlived(mut self) -> Self {
        self.turn = Innermost::NONE;
        self
    }

    /// Returns the context of a call made on behalf of this one.
    pub fn nested(mut self) -> Self {
        self.hops = self.hops.saturating_add(1);
        self
    }

    /// Returns the time left, which is zero when the deadline has passed.
    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// The longest deadline that fits a frame.
const LONGEST: Duration = Duration::from_hours(49 * 24);

fn from_now(timeout: Duration) -> Instant {
    Instant::now() + timeout.min(LONGEST)
}

/// The context for a call made now: nested in the [current](Context::current) call, or the start of
/// a chain with the default deadline of 2 s.
impl Default for Context {
    fn default() -> Self {
        Self::current().map_or_else(|| Self::new(DEFAULT_DEADLINE), Self::nested)
    }
}
