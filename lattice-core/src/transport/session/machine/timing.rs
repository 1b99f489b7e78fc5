//! The times of sessions.

use std::time::Duration;

/// The shortest time for which a sender waits for an acknowledgement before it sends again: longer
/// than the time for which a receiver collects acknowledgements. On a way that takes longer, it
/// waits as long as the estimate of the round trip says.
pub(crate) const RESEND: Duration = Duration::from_millis(250);
/// The longest time for which it waits.
pub(super) const SLOWEST_RESEND: Duration = Duration::from_secs(8);
/// The longest time for which it waits before anything was acknowledged. A peer may have taken long
/// to open a channel for other reasons.
pub(super) const MOST_HINTED: Duration = Duration::from_secs(4);
/// While nothing is acknowledged, the pauses between resends double up to four of the first ones.
/// What is slow shouldn't be slowed further, and an interruption of seconds is noticed to be over.
pub(super) const MOST_DOUBLED: u32 = 4;
/// How long a receiver collects acknowledgements.
pub(super) const COLLECTED: Duration = Duration::from_millis(50);
/// How long nothing may be acknowledged. A host that is gone is noticed long before.
pub(super) const STALLED: Duration = Duration::from_secs(5);
/// On a slow way, so many timeouts instead: as many as a lossy one needs.
pub(super) const STALLED_TIMEOUTS: u32 = 6;
/// The same for a channel of a peer that acknowledges others.
pub(super) const STALLED_BESIDE: Duration = Duration::from_mins(1);
/// How long a receiver waits for a chunk before it repeats its credit; then twice as long each
/// time.
pub(super) const REPEAT: Duration = Duration::from_millis(250);
/// The longest pause between two repeated credits.
pub(super) const SLOWEST_REPEAT: Duration = Duration::from_secs(2);
/// How long a sender without anything in flight waits for a credit before it asks: longer than a
/// receiver that has granted one waits before it repeats it. Then twice as long each time.
pub(super) const ASK: Duration = Duration::from_secs(4);
/// The longest pause between two questions.
pub(super) const SLOWEST_ASK: Duration = Duration::from_secs(15);
/// How long an end that is over acknowledges late chunks: longer than their sender repeats them.
pub(super) const LINGER: Duration = Duration::from_secs(10);
