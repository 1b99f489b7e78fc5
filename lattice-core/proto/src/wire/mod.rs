//! The bytes on the bus.
//!
//! A message is one [`Frame`]: a head, one or more envelopes of one [`Kind`], and a tag.
//!
//! | kind | envelope | file |
//! | --- | --- | --- |
//! | call, reply, cancel | [`CallEnvelope`] with [`ChainMark`]s, [`ReplyEnvelope`], [`Cancel`] | `call.rs`, `chain.rs`, `reply.rs`, `cancel.rs` |
//! | session | [`SessionItem`]; calls and replies have an [`Opening`] | `session` |
//! | in calls, replies and sessions | [`Passed`], a value with handles; [`Parcel`], a part of a stream | `passing.rs`, `session` |
//! | beat, goodbye | [`Beat`], [`Goodbye`] | `presence.rs` |
//! | discover, discovered, probe, probe ack | [`Discover`], [`Discovered`], [`Probe`], [`ProbeAck`] | `ask.rs` |
//! | report, report wanted | [`Report`], [`ReportWanted`] | `report.rs` |
//! | logs, logs wanted | [`Logs`], [`LogsWanted`] | `logs.rs` |
//! | in host RPC | [`HandleRequest`], [`HandleAnswer`]; [`FailedCalls`] | `handle.rs`, `failed.rs` |
//!
//! Integers are little endian. Names are length-prefixed text and are checked against their rule.
//! Decoders accept any bytes: they fail with a typed error, take memory for at most twice their
//! input and 64 KiB, and never panic.

mod ask;
mod body;
mod call;
mod cancel;
mod chain;
mod error;
mod failed;
mod frame;
mod handle;
mod kind;
mod logs;
mod names;
mod passing;
mod presence;
mod read;
mod reply;
mod report;
mod session;
mod status;
mod trace;
mod writer;

pub use ask::{Discover, Discovered, Probe, ProbeAck};
pub use body::Body;
pub use call::{CallEnvelope, CallParts};
pub use cancel::Cancel;
pub use chain::{ChainMark, MAX_MARKS};
pub use error::EnvelopeError;
pub use failed::{FailedCall, FailedCalls};
pub use frame::{Envelopes, Frame, FrameError, MAX_COALESCED, VERSION};
pub use handle::{HandleAnswer, HandleAsk, HandleRequest, ResourceName};
pub use kind::{Kind, Lane};
pub use logs::{LogLevel, LogLine, Logs, LogsWanted};
pub use names::Names;
pub use passing::{HandleName, MAX_HANDLES, Passed};
pub use presence::{Beat, BeatPart, Duty, Goodbye, KeepAlive, ReplicaCount, Served, Versions};
pub use reply::ReplyEnvelope;
pub use report::{
    ComponentReport, Latency, LinkCalls, MemoryUse, ProcessReport, Program, RecentCalls, Report,
    ReportWanted,
};
pub use session::{
    CancelReason, Fault, Item, Opening, Parcel, SessionItem, SessionName, WHOLE_SESSION,
};
pub use writer::{FrameFull, FrameWriter};

pub use status::{ComponentStatus, MAX_REASON, Phase, cut};

// Ids of the domain, re-exported where they are encoded.
pub use crate::id::{FunctionKey, Origin, Source, TraceContext};

use bytes::Bytes;

/// Returns the id of a call or reply envelope, which is its first field. So even an envelope that
/// can't be decoded gets a reply.
pub fn envelope_id(envelope: &Bytes) -> Option<u64> {
    let (id, _) = envelope.split_first_chunk()?;
    Some(u64::from_le_bytes(*id))
}
