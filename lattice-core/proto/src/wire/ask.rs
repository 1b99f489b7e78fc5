//! Discovery questions and probes between hosts, and the replies to them.
//!
//! Bodies as in `body.rs`, with the fields of each struct below, in order.

use super::{
    EnvelopeError, Kind, Origin,
    body::{self, Body},
};
use crate::{name::ComponentId, types::Digest, value::bounded};
use serde::{Deserialize, Serialize};

/// Most hosts in one answer. The asker picks two of them, so more would be of no use.
const MAX_HOSTS: usize = 1024;

/// Requests the hosts that serve a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discover {
    /// Identifies the question. The asker picks it, and the answer repeats it.
    pub id: u64,
    /// The component.
    pub component: ComponentId,
}

/// The hosts that serve a component, as far as the host that replies knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discovered {
    /// The id of the question.
    pub id: u64,
    /// The component.
    pub component: ComponentId,
    /// The hosts that serve the component, each with the digest of the component's types there.
    #[serde(deserialize_with = "hosts")]
    pub hosts: Vec<(Origin, Digest)>,
}

/// Checks that a host is still live: it replies at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Random; the answer repeats it.
    pub nonce: u64,
}

/// Answers a [`Probe`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeAck {
    /// The nonce of the probe.
    pub nonce: u64,
    /// The epoch of the host's current boot.
    pub epoch: u64,
}

impl Body for Discover {
    const KIND: Kind = Kind::Discover;
}

impl Body for Discovered {
    const KIND: Kind = Kind::Discovered;
    /// A host id of one character with its length, an epoch, and a digest.
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
