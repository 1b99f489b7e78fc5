//! Questions between hosts, and their answers: who serves a component, and are you there.
//!
//! Bodies as in `body.rs`; the fields of each struct below, in order.

use super::{
    EnvelopeError, Kind, Origin,
    body::{self, Body},
};
use crate::{name::ComponentId, types::Digest, value::bounded};
use serde::{Deserialize, Serialize};

/// Most hosts in one answer: the asker picks two of them, more than this tells it nothing.
const MAX_HOSTS: usize = 1024;

/// "Who serves this?"
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discover {
    /// What the answer will be told by; the asker picks it.
    pub id: u64,
    /// The component.
    pub component: ComponentId,
}

/// Who does, as far as the host that answers knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discovered {
    /// The id of the question.
    pub id: u64,
    /// The component.
    pub component: ComponentId,
    /// The hosts that serve it, each with the digest of the types that it has there.
    #[serde(deserialize_with = "hosts")]
    pub hosts: Vec<(Origin, Digest)>,
}

/// "Are you there?"
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Random; the answer repeats it.
    pub nonce: u64,
}

/// "I am."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeAck {
    /// That of the probe.
    pub nonce: u64,
    /// The epoch in which the host lives now.
    pub epoch: u64,
}

impl Body for Discover {
    const KIND: Kind = Kind::Discover;
}

impl Body for Discovered {
    const KIND: Kind = Kind::Discovered;
    /// A host's id of one character, with its length, an epoch and a digest.
    const SMALLEST_ELEMENT: usize = 2 + 1 + 32;

    fn check(&self) -> Result<(), EnvelopeError> {
        body::at_most("hosts", self.hosts.len(), MAX_HOSTS)
    }
}

impl Body for Probe {
    const KIND: Kind = Kind::Probe;
}

impl Body for ProbeAck {
    const KIND: Kind = Kind::ProbeAck;
}

fn hosts<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<(Origin, Digest)>, D::Error> {
    bounded::list::<_, _, MAX_HOSTS>(from)
}
