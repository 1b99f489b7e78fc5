//! What a call carries from hop to hop.

use crate::wire::TraceContext;
use std::time::Duration;
use tokio::time::Instant;

/// How long a call may take when nobody says.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(2);
/// Longest chain of calls: a real one is a handful deep, a loop of links has no end.
pub const MAX_HOPS: u8 = 32;

/// Deadline, hops and trace of a call. Nested calls inherit it, so that a deadline only ever shrinks.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Context {
    /// When the answer stops being of use.
    pub deadline: Instant,
    /// How many calls deep this one is; 0 for the first.
    pub hops: u8,
    /// W3C trace context, when the caller has one.
    pub trace: Option<TraceContext>,
}

impl Context {
    /// The start of a chain: `timeout` from now, no trace.
    pub fn new(timeout: Duration) -> Self {
        Self {
            deadline: from_now(timeout),
            hops: 0,
            trace: None,
        }
    }

    /// The same with a deadline at most `timeout` from now.
    pub fn shrunk(mut self, timeout: Duration) -> Self {
        self.deadline = self.deadline.min(from_now(timeout));
        self
    }

    /// The context of a call made on behalf of this one.
    pub fn nested(mut self) -> Self {
        self.hops = self.hops.saturating_add(1);
        self
    }

    /// Time left; zero when the deadline has passed.
    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// The longest deadline that fits a frame; nobody waits longer.
const LONGEST: Duration = Duration::from_hours(49 * 24);

fn from_now(timeout: Duration) -> Instant {
    Instant::now() + timeout.min(LONGEST)
}

impl Default for Context {
    fn default() -> Self {
        Self::new(DEFAULT_DEADLINE)
    }
}
