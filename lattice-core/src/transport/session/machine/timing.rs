//! The times of sessions.

use std::time::Duration;

/// How long a sender waits for an acknowledgement before it sends again: far longer than a round
/// trip, and than the time for which a receiver collects acknowledgements.
pub(crate) const RESEND: Duration = Duration::from_millis(250);
/// The pauses between resends double up to this: what is slow shouldn't be slowed further.
pub(super) const SLOWEST_RESEND: Duration = Duration::from_secs(1);
/// The same for a channel of a peer that acknowledges others, or before which much waits in this
/// node: its own acknowledgement will come.
pub(super) const SLOWEST_RESEND_BESIDE: Duration = Duration::from_secs(8);
/// How long nothing may be acknowledged. A host that is gone is noticed long before.
pub(super) const STALLED: Duration = Duration::from_secs(5);
/// The same for a channel of a peer that acknowledges others.
pub(super) const STALLED_BESIDE: Duration = Duration::from_mins(1);
/// How long a receiver waits for a chunk before it repeats its credit; then twice as long each
/// time.
pub(super) const REPEAT: Duration = Duration::from_millis(250);
/// The longest pause between two repeated credits.
pub(super) const SLOWEST_REPEAT: Duration = Duration::from_secs(2);
/// How long an end that is over acknowledges late chunks: longer than their sender repeats them.
pub(super) const LINGER: Duration = Duration::from_secs(10);
