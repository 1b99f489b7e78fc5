//! Values that flow: streams, futures and resources, as they pass between two components.
//!
//! A [`Body`] is the encoded value of a call with the [`Handle`]s that are in it, in the order in
//! which a walk over the value meets their places. A place takes one byte of the value, which is
//! zero, so that the length of a list stays bounded by the bytes that it has. Values without
//! handles are encoded as if there were none.
//!
//! | handle | is |
//! | --- | --- |
//! | [`Owned`] | the one right to a resource: it moves, and dropping it drops the resource at its owner |
//! | [`ResourceRef`], lent | the right to use a resource until the call ends |
//! | [`Reader`] of a stream or a future | the end of a [`channel`] that elements come out of |
//!
//! An [`Owner`] keeps record of who holds what. A component can use only the handles that it was
//! given or lent, even if it knows the names of others. Between hosts, a ledger keeps the same
//! record (`remote`).
//!
//! A resource may be *portable*: its owner returns a [token](Owner::token) of it, from which
//! another replica [makes it anew](crate::serve::Service::restore) when the owner is gone. The
//! holder keeps its handle.
//!
//! Nothing here does I/O. Both ends of a channel are polled, so that a session over the network can
//! stand for either of them.

mod body;
mod channel;
mod handle;
mod instance;
pub(crate) mod remote;

pub use body::Body;
pub(crate) use body::{discard, pass, pass_back, unplaced_arguments, unplaced_result};
pub(crate) use channel::Demand;
pub use channel::{Broken, Chunk, NotSent, Reader, Writer, channel};
pub use handle::{Handle, Handles, Holder, InstanceRef, Owned, Owner, ResourceRef, Stale};
pub use instance::next_instance;
pub(crate) use remote::{Batch, Claim, Ledger, Life, Requests};
