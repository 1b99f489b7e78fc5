//! Splits an artifact into ranges, so that one host can fetch it from others.
//!
//! A registry names an artifact by the digest of all its bytes, which can't verify a part. The
//! serving host therefore sends a [`RangeMap`] first, with a digest for each range. The receiving
//! host requests ranges from several hosts, checks each as it arrives, and checks the whole against
//! the digest that it requested. A wrong range is detected immediately, and a wrong map at the end.
//!
//! This module does no I/O: the caller does the transfers, and passes in the time.
//!
//! ```
//! use lattice_host::{ByteSize, artifact::{ImageDigest, ranges::{Assembly, RangeMap}}};
//! use std::time::Instant;
//!
//! let artifact = vec![7; 1_000_000];
//! let map = RangeMap::of(&artifact);
//!
//! let wanted = ImageDigest::of(&artifact);
//! let mut assembly = Assembly::new(wanted, map.clone(), "one host", ByteSize::mib(256))?;
//! assembly.add("another");
//! while !assembly.is_complete() {
//!     for request in assembly.requests(Instant::now()) {
//!         let span = map.span(request.range).expect("a range of this map");
//!         assembly.receive(&request.of, request.range, &artifact[span])?;
//!     }
//! }
//! assert_eq!(assembly.finish()?, artifact);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod assembly;

pub use assembly::{Assembly, AssemblyError, RangeError, RangeRequest, Received};

use super::ImageDigest;
use crate::limits::ByteSize;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Bytes of a range. With its frame, a range is well under the 1 MiB that a bus carries by default.
/// An artifact of 256 MiB has 32 KiB of digests.
pub const RANGE_BYTES: u32 = 256 << 10;

/// Smallest and largest ranges that another host may choose. A map is at most a 128th of its
/// artifact.
const ACCEPTED: std::ops::RangeInclusive<u32> = 4 << 10..=768 << 10;

/// The digests of an artifact's ranges. A map from another host is untrusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeMap {
    /// Of all bytes.
    pub digest: ImageDigest,
    /// Of all bytes.
    pub size: u64,
    /// Bytes of each range but the last.
    pub range: u32,
    /// BLAKE3 of each range.
    pub digests: Vec<[u8; 32]>,
}

/// Why a map can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RangeMapError {
    /// The map is of another artifact.
    #[error("the map of ranges is of {found}, but {expected} was requested: use another host")]
    OtherArtifact {
        /// The artifact that was requested.
        expected: ImageDigest,
        /// The artifact of the map.
        found: ImageDigest,
    },
    /// The artifact is over the size limit.
    #[error("the artifact has {} bytes and the limit is {limit}: raise it with `max_size`", size.as_u64())]
    TooLarge {
        /// Its size.
        size: ByteSize,
        /// The limit.
        limit: ByteSize,
    },
    /// Its numbers contradict each other, or its ranges don't fit a message.
    #[error(
        "the map has {digests} digests for {size} bytes in ranges of {range}: use another host"
    )]
    Malformed {
        /// Size of the artifact.
        size: u64,
        /// Size of a range.
        range: u32,
        /// Number of ranges that it has digests of.
        digests: usize,
    },
}

impl RangeMap {
    /// Creates the map of this artifact. Reads it twice, which takes a quarter of a second for 100
    /// MiB.
    pub fn of(artifact: &[u8]) -> Self {
        let ranges = artifact.chunks(RANGE_BYTES as usize);
        Self {
            digest: ImageDigest::of(artifact),
            size: artifact.len() as u64,
            range: RANGE_BYTES,
            digests: ranges
                .map(|range| *blake3::hash(range).as_bytes())
                .collect(),
        }
    }

    /// Returns where this range is in the artifact; `None` if it has no such range.
    pub fn span(&self, range: u32) -> Option<Range<usize>> {
        let length = u64::from(self.range);
        let start = u64::from(range)
            .checked_mul(length)
            .filter(|start| *start < self.size)?;
        let end = start.saturating_add(length).min(self.size);
        Some(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
    }

    /// Checks that it is a valid map of this artifact.
    pub fn check(&self, expected: ImageDigest, limit: ByteSize) -> Result<(), RangeMapError> {
        if self.digest != expected {
            return Err(RangeMapError::OtherArtifact {
                expected,
                found: self.digest,
            });
        }
        let size = ByteSize::bytes(self.size);
        if size > limit {
            return Err(RangeMapError::TooLarge { size, limit });
        }
        let fits = ACCEPTED.contains(&self.range)
            && self.size.div_ceil(u64::from(self.range)) == self.digests.len() as u64
            && u32::try_from(self.digests.len()).is_ok()
            && usize::try_from(self.size).is_ok();
        if fits {
            return Ok(());
        }
        Err(RangeMapError::Malformed {
            size: self.size,
            range: self.range,
            digests: self.digests.len(),
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
