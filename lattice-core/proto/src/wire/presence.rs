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
    value::{self, bounded},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// Most components in one beat, or in one part of one.
const MAX_COMPONENTS: usize = 4096;
/// Most parts of one beat.
const MAX_PARTS: u16 = 1_024;
/// Most bytes of the text that says what a beat lacks.
const MAX_UNSAID: usize = 512;
/// An upper bound for the bytes of a part in addition to its labels and components.
const PART_HEAD: usize = 64;
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
    /// The number of [the store that it follows](Self::follows); zero while it follows none, or
    /// may not write leases there.
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

/// One part of a heartbeat that doesn't fit one message.
///
/// A heartbeat that fits is sent as a [`Beat`]. The parts of another one travel in frames of their
/// own kind, so that a receiver which doesn't know them never takes a part for the whole: it sees
/// nothing of that host. `sent_ms` is the same in all parts of one heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeatPart {
    /// Its number, from 0.
    pub part: u16,
    /// How many parts the heartbeat has.
    pub parts: u16,
    /// What the host can't say, and why. Empty if the parts say everything.
    pub unsaid: String,
    /// The heartbeat, with some of the labels and components. The rest is the same in each part.
    pub beat: Beat,
}

/// A host's heartbeat when nothing has changed, used in place of a beat when there are many hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepAlive {
    /// `sent_ms` of the beat that it repeats. A receiver that has missed that beat waits for the
    /// next one.
    pub of_ms: u64,
    /// The time until the next one, in milliseconds.
    pub interval_ms: u32,
    /// As in the beat: zero while the host follows no store.
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

impl Served {
    /// The digest of a component that a process of its own serves, which the host looks after: the
    /// process is another node, and says itself what it serves. The host counts its replicas, and
    /// takes no calls for it. A version that doesn't know this digest sends calls to the host, is
    /// told that they weren't run, and tries the process.
    pub const ELSEWHERE: Digest = Digest([0; 32]);
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
    /// Most components that one host can announce.
    pub const MAX_SERVED: usize = 16_384;

    /// Returns the parts of a heartbeat that doesn't fit one message, each of at most `largest`
    /// bytes. Returns `None` if there is no such division.
    pub fn parts(&self, largest: usize) -> Option<Vec<BeatPart>> {
        if self.components.len() > Self::MAX_SERVED {
            return None;
        }
        let room = largest.checked_sub(PART_HEAD)?;
        let head = Self {
            labels: BTreeMap::new(),
            components: Vec::new(),
            ..self.clone()
        };
        let (mut beats, mut used) = (vec![head.clone()], 0);
        let mut next = |beats: &mut Vec<Self>, size: usize| {
            let is_full = beats
                .last()
                .is_some_and(|last| used + size > room || last.components.len() == MAX_COMPONENTS);
            if is_full && used > 0 {
                beats.push(head.clone());
                used = 0;
            }
            used += size;
            size <= room
        };
        for (name, value) in &self.labels {
            let size = value::to_bytes(&(name, value)).ok()?.len();
            if !next(&mut beats, size) {
                return None;
            }
            let last = beats.last_mut()?;
            last.labels.insert(name.clone(), value.clone());
        }
        for served in &self.components {
            let size = value::to_bytes(served).ok()?.len();
            if !next(&mut beats, size) {
                return None;
            }
            beats.last_mut()?.components.push(served.clone());
        }
        let count = u16::try_from(beats.len()).ok()?;
        let parts = (0..).zip(beats).map(|(part, beat)| BeatPart {
            part,
            parts: count,
            unsaid: String::new(),
            beat,
        });
        (count <= MAX_PARTS).then(|| parts.collect())
    }

    /// Returns the heartbeat of a host that can't say what it serves: that it lives, and why it
    /// can't.
    pub fn without_contents(&self, why: &str) -> BeatPart {
        let mut end = why.len().min(MAX_UNSAID);
        while !why.is_char_boundary(end) {
            end -= 1;
        }
        BeatPart {
            part: 0,
            parts: 1,
            unsaid: why[..end].to_owned(),
            beat: Self {
                labels: BTreeMap::new(),
                components: Vec::new(),
                ..self.clone()
            },
        }
    }

    /// Returns the time between two beats among this many hosts: a second for up to 200, then more
    /// in proportion.
    pub fn interval_among(hosts: usize) -> Duration {
        INTERVAL.mul_f64((hosts as f64 / CROWD as f64).max(1.0))
    }

    /// Returns the incarnation of the store that the host follows, if it follows one.
    pub fn follows(&self) -> Option<Incarnation> {
        (self.incarnation != Incarnation::default()).then_some(self.incarnation)
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
/// Until its calls have ended, it repeats this as often as it sent beats.
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

impl BeatPart {
    /// Returns whether its numbers make sense.
    pub fn is_valid(&self) -> bool {
        self.part < self.parts && self.parts <= MAX_PARTS && self.unsaid.len() <= MAX_UNSAID
    }
}

impl Body for BeatPart {
    const KIND: Kind = Kind::BeatPart;
    const SMALLEST_ELEMENT: usize = Beat::SMALLEST_ELEMENT;

    fn check(&self) -> Result<(), EnvelopeError> {
        self.beat.check()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(components: usize, labels: usize) -> Beat {
        let served = |at| Served {
            id: ComponentId::new(&format!("component-{at}-{}", "x".repeat(40))).expect("an id"),
            digest: Digest([1; 32]),
            fence: u64::MAX,
            replica_counts: Vec::new(),
        };
        Beat {
            sent_ms: u64::MAX,
            interval_ms: u32::MAX,
            versions: Versions::OURS,
            incarnation: Incarnation(u64::MAX),
            revision: Revision(u64::MAX),
            labels: (0..labels)
                .map(|at| (at.to_string(), "v".repeat(255)))
                .collect(),
            duty: Duty::Works,
            components: (0..components).map(served).collect(),
        }
    }

    #[test]
    fn parts_fit_and_are_the_whole_together() {
        for (components, labels, largest) in [
            (0, 0, 600),
            (1, 0, 600),
            (200, 64, 600),
            (900, 3, 4_000),
            (5_000, 0, 1 << 20),
        ] {
            let whole = beat(components, labels);
            let parts = whole.parts(largest).expect("they fit");
            let mut merged = beat(0, 0);
            for (at, part) in parts.iter().enumerate() {
                assert_eq!(
                    (usize::from(part.part), part.parts as usize),
                    (at, parts.len())
                );
                assert!(part.is_valid() && part.unsaid.is_empty());
                let encoded = part.encode().expect("in bounds");
                assert!(encoded.len() <= largest, "{} over {largest}", encoded.len());
                assert_eq!(BeatPart::decode(encoded).as_ref(), Ok(part));
                merged.labels.extend(part.beat.labels.clone());
                merged.components.extend(part.beat.components.clone());
            }
            assert_eq!(merged, whole);
        }
        assert_eq!(beat(1, 0).parts(150), None, "one component is too large");
        assert_eq!(beat(1, 0).parts(10), None);
        assert_eq!(beat(6_000, 0).parts(600), None, "too many parts");
    }

    #[test]
    fn a_heartbeat_without_contents_says_why_and_is_short() {
        let part = beat(500, 64).without_contents(&"é".repeat(1_000));
        assert!(part.is_valid());
        assert!(part.encode().expect("in bounds").len() <= MAX_UNSAID + PART_HEAD + 2);
    }
}
