//! Rules for how many replicas of a component run, and on which hosts.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use std::collections::BTreeMap;

/// How many replicas of one component run, and which hosts they may run on.
///
/// The default is one replica on any host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// How many replicas run.
    pub replicas: Replicas,
    /// A host must have each of these labels with this value.
    pub require: BTreeMap<String, String>,
    /// A host must not have any of these labels with this value.
    pub exclude: BTreeMap<String, String>,
    /// Divides the replicas over the values of labels. The first rule is applied first.
    pub spread: Vec<SpreadRule>,
}

/// How many replicas run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Replicas {
    /// This many in the whole lattice, on as many different hosts as possible; [`MAX`](Self::MAX)
    /// at most.
    Exactly(#[serde(deserialize_with = "count")] u32),
    /// One on each host that the rules allow.
    PerHost,
}

impl Replicas {
    /// The most replicas of one component, so that a typing error can't keep every host busy for
    /// minutes.
    pub const MAX: u32 = 100_000;
}

/// Refuses a record that asks for more than [`Replicas::MAX`].
fn count<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let count = u32::deserialize(from)?;
    let fits = (count <= Replicas::MAX).then_some(count);
    fits.ok_or_else(|| D::Error::custom(too_many(count.into())))
}

pub(crate) fn too_many(count: u64) -> String {
    let most = Replicas::MAX;
    format!("{count} replicas are too many; write 0 to {most}, or `per-host`")
}

impl Default for Replicas {
    fn default() -> Self {
        Self::Exactly(1)
    }
}

/// Divides replicas over the values of one label, such as `zone`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpreadRule {
    /// The label.
    pub label: String,
    /// The share of each value. If it is empty, every value that an allowed host carries has the
    /// weight 1. Otherwise, a value that is not named gets nothing.
    pub weights: BTreeMap<String, u32>,
}
