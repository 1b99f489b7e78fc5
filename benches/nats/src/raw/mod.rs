//! The least that a call over NATS can cost: the text protocol over TCP, and nothing else. There
//! are no names, tags, grants or deadlines.
//!
//! Each call is a message, and each reply. All requests of the callers that run at the same time
//! are one write, and all replies to what one read has brought are one write too. The first bytes
//! of a message are the number of its call.

mod client;
mod connection;
mod protocol;
mod responder;

pub(crate) use client::Client;
pub(crate) use responder::Responder;

/// The subject of requests.
const REQUESTS: &str = "bench.raw";
/// The subject of replies.
const REPLIES: &str = "bench.raw.replies";
/// Room that a read has.
const READ: usize = 64 << 10;
