//! How many of a thing run, and on which hosts.

use serde::{Deserialize, Serialize};
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
    pub spread: Vec<Spread>,
}

/// How many replicas run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Replicas {
    /// That many in the whole lattice, on as many different hosts as there are.
    Exactly(u32),
    /// One on each host that the rules allow.
    PerHost,
}

impl Default for Replicas {
    fn default() -> Self {
        Self::Exactly(1)
    }
}

/// Replicas are divided over the values of one label, such as `zone`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// The label.
    pub label: String,
    /// The share of each value. Empty: every value that an allowed host carries weighs 1. Otherwise a value that is not
    /// named here gets nothing.
    pub weights: BTreeMap<String, u32>,
}
