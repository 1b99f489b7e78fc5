//! Chunks, and what they count for.

use bytes::Bytes;

/// Most bytes of a chunk: as much as a frame of coalesced calls has, so that a small call waits no
/// longer behind a chunk than behind other calls.
pub(crate) const MAX_CHUNK: usize = 32 * 1024;
/// Bytes that a chunk counts for in addition to its own. It bounds the number of chunks in memory,
/// for a sender of very small ones.
pub(super) const CHUNK_COST: u64 = 128;

/// A part of what a channel carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) bytes: Bytes,
    /// How many elements are in it. The layers above give elements their meaning.
    pub(crate) elements: u32,
}

impl Chunk {
    /// A chunk that was received. It is copied unless it fills its frame: a slice would keep all of
    /// the frame in memory, with whatever else is in it, and only its own bytes would be counted.
    pub(super) fn received(bytes: Bytes, elements: u32) -> Self {
        let bytes = if bytes.len() < MAX_CHUNK {
            Bytes::copy_from_slice(&bytes)
        } else {
            bytes
        };
        Self { bytes, elements }
    }

    /// What it counts for.
    pub(super) fn cost(&self) -> Totals {
        Totals {
            bytes: self.bytes.len() as u64 + CHUNK_COST,
            elements: u64::from(self.elements),
        }
    }
}

/// A number of bytes and of elements, since a channel began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Totals {
    pub(crate) bytes: u64,
    pub(crate) elements: u64,
}

impl Totals {
    /// What the largest chunk counts for.
    pub(super) const LARGEST: u64 = MAX_CHUNK as u64 + CHUNK_COST;

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            elements: self.elements.saturating_add(other.elements),
        }
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(other.bytes),
            elements: self.elements.saturating_sub(other.elements),
        }
    }

    /// The greater of each.
    pub(super) fn max(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.max(other.bytes),
            elements: self.elements.max(other.elements),
        }
    }

    /// Whether neither is greater.
    pub(super) fn is_within(self, limit: Self) -> bool {
        self.bytes <= limit.bytes && self.elements <= limit.elements
    }
}
