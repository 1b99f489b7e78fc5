//! Beats, keep-alives and goodbyes, which a host sends to all members.
//!
//! Bodies as in `body.rs`, with the fields of each struct below, in order.

use super::{
    EnvelopeError, Kind,
    body::{self, Body},
};
use crate::{
    id::{Incarnation, Revision},
    name::ComponentId,
    types::Digest,
    value::bounded,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// Most components in one beat. A beat is sent every second to all members, so more would load the
/// bus too much.
const MAX_COMPONENTS: usize = 4096;
/// Most generations of one component on one host: the old one, the new one, and some that drain.
const MAX_TALLIES: usize = 16;
/// Most labels of one host.
const MAX_LABELS: usize = 64;

/// A host's heartbeat. The host and its epoch are the sender of the frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// When it was sent, by the sender's clock, in milliseconds since 1970. For people only, since
    /// clocks disagree.
    pub sent_ms: u64,
    /// The time until the next one, in milliseconds.
    pub interval_ms: u32,
    /// The versions of frames that the host reads.
    pub versions: Versions,
    /// The incarnation of the store that the host sees.
    pub incarnation: Incarnation,
    /// The last write of that store that the host has seen.
    pub revision: Revision,
    /// The host's labels, for placement.
    #[serde(deserialize_with = "labels")]
    pub labels: BTreeMap<String, String>,
    /// Whether the host takes more replicas.
    pub duty: Duty,
    /// The components that the host serves.
    #[serde(deserialize_with = "components")]
    pub components: Vec<Served>,
}

/// A host's heartbeat when nothing has changed, used in place of a beat when there are many hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepAlive {
    /// `sent_ms` of the beat that it repeats. A receiver that has missed that beat waits for the
    /// next one.
    pub of_ms: u64,
    /// The time until the next one, in milliseconds.
    pub interval_ms: u32,
    /// The incarnation of the store that the host sees.
    pub incarnation: Incarnation,
    /// The last write of that store that the host has seen.
    pub revision: Revision,
}

/// Whether a host takes replicas that are placed on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Duty {
    /// It takes replicas.
    Works,
    /// It is about to leave, and others take over its replicas.
    Leaves,
    /// It takes no part in placement: nothing on it starts what desired state asks for.
    Apart,
}

/// A component that a host serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// The component.
    pub id: ComponentId,
    /// The digest of its published types.
    pub digest: Digest,
    /// The fence of the lease under which it is served; 0 if it needs none.
    pub fence: u64,
    /// Its replicas that desired state asks for, by generation. Replicas that a person started
    /// aren't counted.
    #[serde(deserialize_with = "replica_counts")]
    pub replica_counts: Vec<ReplicaCount>,
}

/// Replicas of one generation of a component on one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaCount {
    /// The generation.
    pub generation: u64,
    /// Replicas that serve.
    pub serving: u32,
    /// How many of those the host will keep, because they are its own share. Other hosts rely only
    /// on these.
    pub kept: u32,
}

/// The versions of the frame format that a host reads: all from `min` to `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// The oldest.
    pub min: u8,
    /// The newest.
    pub max: u8,
}

impl Versions {
    /// The versions that this crate reads.
    pub const OURS: Self = Self {
        min: super::VERSION,
        max: super::VERSION,
    };

    /// Returns the newest version that both read, if there is one.
    pub fn common(self, other: Self) -> Option<u8> {
        let newest = self.max.min(other.max);
        (newest >= self.min && newest >= other.min).then_some(newest)
    }
}

/// The time between two beats of a host.
const INTERVAL: Duration = Duration::from_secs(1);
/// Beyond this many hosts each beats more slowly, so that the total rate of beats stays the same.
const CROWD: usize = 200;

impl Beat {
    /// Returns the time between two beats among this many hosts: a second for up to 200, then more
    /// in proportion.
    pub fn interval_among(hosts: usize) -> Duration {
        INTERVAL.mul_f64((hosts as f64 / CROWD as f64).max(1.0))
    }

    /// Returns the time until the next beat.
    pub fn interval(&self) -> Duration {
        Duration::from_millis(u64::from(self.interval_ms))
    }
}

impl KeepAlive {
    /// How many keep-alives may follow one beat before the beat is sent again.
    pub const BETWEEN_BEATS: u32 = 7;

    /// Returns a keep-alive that can replace the beat `now`, after `beat` was the last one sent.
    /// Returns `None` if anything has changed that a keep-alive doesn't have.
    pub fn repeats(beat: &Beat, now: &Beat) -> Option<Self> {
        let keep_alive = Self {
            of_ms: beat.sent_ms,
            interval_ms: now.interval_ms,
            incarnation: now.incarnation,
            revision: now.revision,
        };
        let (stands_for, _) = keep_alive.of(beat);
        let now = Beat {
            sent_ms: beat.sent_ms,
            ..now.clone()
        };
        (stands_for == now).then_some(keep_alive)
    }

    /// Returns the beat that it replaces, given the last one received, and whether that last one is
    /// the beat that it repeats.
    pub fn of(&self, last: &Beat) -> (Beat, bool) {
        let beat = Beat {
            interval_ms: self.interval_ms,
            incarnation: self.incarnation,
            revision: self.revision,
            ..last.clone()
        };
        (beat, last.sent_ms == self.of_ms)
    }
}

/// Announces that a host leaves: it takes no new calls, and sends no more beats under this epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goodbye {
    /// How long it lets running calls finish, in milliseconds.
    pub grace_ms: u32,
}

impl Body for Beat {
    const KIND: Kind = Kind::Beat;
    /// An id of one character with its length, a digest, no fence, and no replicas.
    const SMALLEST_ELEMENT: usize = 2 + 32 + 1 + 1;

    fn check(&self) -> Result<(), EnvelopeError> {
        body::at_most("components", self.components.len(), MAX_COMPONENTS)?;
        body::at_most("labels", self.labels.len(), MAX_LABELS)
    }
}

impl Body for KeepAlive {
    const KIND: Kind = Kind::KeepAlive;
}

impl Body for Goodbye {
    const KIND: Kind = Kind::Goodbye;
}

fn labels<'de, D: serde::Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    bounded::map::<_, MAX_LABELS>(from)
}

fn components<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<Served>, D::Error> {
    bounded::list::<_, _, MAX_COMPONENTS>(from)
}

fn replica_counts<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<Vec<ReplicaCount>, D::Error> {
    bounded::list::<_, _, MAX_TALLIES>(from)
}
