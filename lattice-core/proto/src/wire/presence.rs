//! Beat, pulse and goodbye: what a host tells everyone about itself.
//!
//! Bodies as in `body.rs`; the fields of each struct below, in order.

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

/// Most components in one beat. A beat is sent every second to everyone: more than this would be a flood.
const MAX_COMPONENTS: usize = 4096;
/// Most generations of one component on one host: the old and the new one, and some that drain.
const MAX_TALLIES: usize = 16;
/// Most labels of one host.
const MAX_LABELS: usize = 64;

/// A host's sign of life. Its sender, with its epoch, is the frame's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// When it was sent by the sender's clock, in milliseconds since 1970. For people: clocks disagree.
    pub sent_ms: u64,
    /// How long until the next one, in milliseconds.
    pub interval_ms: u32,
    /// Which versions of frames it reads.
    pub versions: Versions,
    /// The life of the store that it sees.
    pub incarnation: Incarnation,
    /// The last write of that store that it has seen.
    pub revision: Revision,
    /// What it says of itself, for placement.
    #[serde(deserialize_with = "labels")]
    pub labels: BTreeMap<String, String>,
    /// Whether it takes more replicas.
    pub duty: Duty,
    /// The components that it serves.
    #[serde(deserialize_with = "components")]
    pub components: Vec<Served>,
}

/// A host's sign of life when nothing has changed, for when there are many hosts: it stands for a beat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepAlive {
    /// `sent_ms` of the beat that it repeats. Who has not heard that one waits for the next.
    pub of_ms: u64,
    /// How long until the next one, in milliseconds.
    pub interval_ms: u32,
    /// The life of the store that it sees.
    pub incarnation: Incarnation,
    /// The last write of that store that it has seen.
    pub revision: Revision,
}

/// Whether a host takes replicas that desired state gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Duty {
    /// It does.
    Works,
    /// It is about to leave: others take over what it has.
    Leaves,
    /// It takes no part in placement: nobody here starts what desired state asks for.
    Apart,
}

/// A component that a host serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// The component.
    pub id: ComponentId,
    /// Its published types.
    pub digest: Digest,
    /// The fence of the lease that it is served under; 0 when it needs none.
    pub fence: u64,
    /// Replicas of it that desired state asks for, by generation; none of what a person started.
    #[serde(deserialize_with = "replica_counts")]
    pub replica_counts: Vec<ReplicaCount>,
}

/// Replicas of one generation of a component on one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaCount {
    /// Which generation.
    pub generation: u64,
    /// Replicas that serve.
    pub serving: u32,
    /// Those among them that the host means to keep: they are its own share. Others rely on no more than these.
    pub kept: u32,
}

/// Which versions of the frame format a host reads: all from `min` to `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// The oldest.
    pub min: u8,
    /// The newest.
    pub max: u8,
}

impl Versions {
    /// Those that this crate reads.
    pub const OURS: Self = Self {
        min: super::VERSION,
        max: super::VERSION,
    };

    /// The newest version that both read, if there is one.
    pub fn common(self, other: Self) -> Option<u8> {
        let newest = self.max.min(other.max);
        (newest >= self.min && newest >= other.min).then_some(newest)
    }
}

/// Between two beats of a host.
const INTERVAL: Duration = Duration::from_secs(1);
/// Hosts beyond which each beats more slowly, so that all of them together don't beat more often.
const CROWD: usize = 200;

impl Beat {
    /// How long to wait between two beats among so many hosts: a second up to 200, then more in proportion.
    pub fn interval_among(hosts: usize) -> Duration {
        INTERVAL.mul_f64((hosts as f64 / CROWD as f64).max(1.0))
    }

    /// Time until the next beat.
    pub fn interval(&self) -> Duration {
        Duration::from_millis(u64::from(self.interval_ms))
    }
}

impl KeepAlive {
    /// How many may stand for one beat before it is sent again.
    pub const BETWEEN_BEATS: u32 = 7;

    /// The sign of life of whoever sent `beat` last, when nothing of it has changed but what this one says.
    pub fn repeats(beat: &Beat, now: &Beat) -> Option<Self> {
        let pulse = Self {
            of_ms: beat.sent_ms,
            interval_ms: now.interval_ms,
            incarnation: now.incarnation,
            revision: now.revision,
        };
        let (stands_for, _) = pulse.of(beat);
        let now = Beat {
            sent_ms: beat.sent_ms,
            ..now.clone()
        };
        (stands_for == now).then_some(pulse)
    }

    /// The beat that it stands for, given the last one that was heard; and whether that is the one that it repeats.
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

/// A host is leaving: it takes no new calls and will not beat again under this epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goodbye {
    /// How long it still finishes what it has, in milliseconds.
    pub grace_ms: u32,
}

impl Body for Beat {
    const KIND: Kind = Kind::Beat;
    /// An id of one character, with its length, a digest, no fence and no replicas.
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
