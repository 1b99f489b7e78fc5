//! How many of a thing run, and on which hosts.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use std::collections::BTreeMap;

/// How many replicas of one component run, and which hosts they may run on.
///
/// The default is one replica on any host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// How many.
    pub replicas: Replicas,
    /// A host needs each of these labels with that value.
    pub require: BTreeMap<String, String>,
    /// A host with any of these labels with that value is out.
    pub exclude: BTreeMap<String, String>,
    /// Evenly over the values of a label, the first rule first.
    pub spread: Vec<SpreadRule>,
}

/// How many replicas run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Replicas {
    /// That many in the whole lattice, on as many different hosts as there are; [`MAX`](Self::MAX) at most.
    Exactly(#[serde(deserialize_with = "count")] u32),
    /// One on each host that the rules allow.
    PerHost,
}

impl Replicas {
    /// Most replicas of one component: a slip of a key should not make every host compute for minutes.
    pub const MAX: u32 = 100_000;
}

/// A record that asks for more is refused whole.
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

/// Replicas are divided over the values of one label, such as `zone`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpreadRule {
    /// The label.
    pub label: String,
    /// The share of each value. Empty: every value that an allowed host carries weighs 1. Otherwise a value that is not
    /// named here gets nothing.
    pub weights: BTreeMap<String, u32>,
}
