//! Sessions: what doesn't fit one message, or isn't complete yet, between this node and a peer.
//!
//! A session has channels. Each has one direction, and carries chunks of bytes in order. Each end
//! numbers the channels in which it sends. A call or a reply opens a session
//! ([`Opening`](crate::wire::Opening)), so it belongs to one boot of a host and to one call.
//!
//! ```text
//!  sender of a channel                                 receiver
//!     │ ◄──────────────── credit: 0 received, 1 MiB ──────│  it has a reader, and room
//!     │── chunk 0, chunk 1, … end ──────────────────────► │  as far as the credit goes
//!     │ ◄──────────────── credit: 17 received, 2 MiB ─────│
//! ```
//! States of a channel: *granted* (after the first credit) → *ended* (all was sent, and then
//! acknowledged) or *broken*. A reader gets `None` only after the end, and after a break always an
//! error. A channel that was received to its end is whole, and stays so when its session breaks
//! afterwards. A session is *over* once all of its channels and handles are gone. An end that is
//! over still acknowledges late chunks for a while. A session can have any number of channels one
//! after the other, and a thousand at once in each direction. What is remembered of those that are
//! gone is bounded.
//!
//! # Loss
//!
//! The bus may lose, double and reorder frames. Chunks are numbered. A receiver takes only the next
//! one, and drops the others. A sender keeps what was not acknowledged, and sends all of it again
//! (go-back-N) when the receiver reports a gap. After a timeout, it sends only the first part
//! again, and the rest once that is known to be lost as well. The timeout is estimated for each
//! peer as TCP's is (RFC 6298), from 250 ms to 8 s. The time for which a part waits in this node,
//! behind parts for any peer, doesn't count: what any peer acknowledges shows how far that queue
//! has come.
//!
//! So a lost frame delays a session and doesn't end it. Breaking at the first loss would be
//! simpler, but a bulk transfer would then fail for each frame that a full subscription drops. What
//! ends a session is the loss of its peer, which `failure_detector` notices, or 5 s without an
//! acknowledgement, or six timeouts if they are longer.
//!
//! Credits are totals and are repeated while nothing arrives. They also say what the receiver's
//! user has taken, of chunks with something in them that one of both ends has to drop. Cancels are
//! repeated in reply to what arrives for a channel or session that is gone. A sender that has
//! nothing in flight, and hears nothing of its receiver for 4 to 15 s, asks it. So the loss of any
//! of them heals as well, and both ends learn that the other one has forgotten the session.
//!
//! # Chunks
//!
//! A chunk has at most 32 KiB, and travels in a frame of its own in [`Lane::Bulk`]; credits and
//! cancels travel in [`Lane::Small`]. Chunks have a subscription and a task of their own at the
//! receiver, so small calls never wait for more than the chunk that is being written. While this
//! node makes small calls, at most 128 KiB of chunks to a peer are unacknowledged, as for bulk
//! calls (`flow_control`).
//!
//! | file | what it does |
//! | --- | --- |
//! | `machine` | the rules: pure, with the time passed in |
//! | `peer` | all sessions with one peer: a lock around the machine, and two send queues |
//! | `shares` | how many sessions each component may have |
//! | `handle` | what a user of a session holds |
//! | `reader` | the task that receives |
//! | `alone` | one end without a bus, for the simulator and for fuzzing |
//!
//! [`Lane::Bulk`]: crate::wire::Lane::Bulk
//! [`Lane::Small`]: crate::wire::Lane::Small

pub mod alone;
mod broken;
mod handle;
mod machine;
mod peer;
pub(crate) mod reader;
mod shares;
#[cfg(test)]
mod tests;

pub(crate) use broken::{Broken, Refused};
pub(crate) use handle::{RecvHalf, SendHalf, Session};
pub(crate) use machine::{MAX_CHUNK, Place, RESEND, Ranges, Seen, Taken, Terms, Window};
pub(crate) use peer::PeerSessions;
pub(super) use peer::{LazySessions, SessionCount};
