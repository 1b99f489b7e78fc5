use super::{RangeMap, RangeMapError};
use crate::{artifact::ImageDigest, limits::ByteSize};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    fmt::Debug,
    time::{Duration, Instant},
};

/// Ranges in flight from one host: enough for 20 MB/s over a round trip of 50 ms.
const MAX_IN_FLIGHT: usize = 4;
/// Hosts that are used at most. More don't make it faster, and each has a small cost.
const HOSTS: usize = 16;
/// Far longer than needed: a range takes a hundredth of this, even over a slow connection.
const RANGE_TIMEOUT: Duration = Duration::from_secs(5);
/// Overdue ranges after which a host is no longer used.
const MAX_OVERDUE: u32 = 3;

/// An artifact that is assembled from ranges of several hosts, in any order.
///
/// A range is *missing*, then *requested* from one host until it is overdue, then *here*. The
/// memory use is the size of the artifact.
#[derive(Debug)]
pub struct Assembly<H> {
    map: RangeMap,
    /// The host that sent the map.
    mapper: H,
    bytes: Vec<u8>,
    ranges: Vec<RangeState<H>>,
    here: usize,
    hosts: BTreeMap<H, HostState>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum RangeState<H> {
    Missing,
    Asked { of: H, until: Instant },
    Here,
}

#[derive(Debug, Default)]
struct HostState {
    asked: usize,
    overdue: u32,
}

/// A range to request from a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeRequest<H> {
    /// The host to send it to.
    pub of: H,
    /// Number of the range.
    pub range: u32,
}

/// The outcome of a valid range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Received {
    /// It was missing.
    New,
    /// It was here already.
    Duplicate,
}

/// Why a range was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RangeError<H: Debug> {
    /// Its bytes don't match the map. The host is no longer used.
    #[error(
        "host {from:?} sent wrong bytes for range {range}: it is no longer used; check its disk"
    )]
    Wrong {
        /// The host that sent it.
        from: H,
        /// Number of the range.
        range: u32,
    },
    /// The artifact has no range with this number. The host is no longer used.
    #[error(
        "host {from:?} sent range {range}, which the artifact doesn't have: it is no longer used"
    )]
    NoSuchRange {
        /// Who sent it.
        from: H,
        /// Number of the range.
        range: u32,
    },
    /// It came from a host that isn't used, because it was never added or has been removed.
    #[error("host {from:?} sent range {range}, but isn't used for this artifact")]
    Uninvited {
        /// Who sent it.
        from: H,
        /// Number of the range.
        range: u32,
    },
}

/// Why an artifact could not be assembled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AssemblyError<H: Debug> {
    /// Ranges are missing.
    #[error(
        "{missing} ranges of {digest} are missing: request them, or fetch it from its registry"
    )]
    Incomplete {
        /// The artifact.
        digest: ImageDigest,
        /// How many.
        missing: usize,
    },
    /// All ranges match the map, but the whole doesn't match the digest, so the map was wrong.
    #[error(
        "the map of {expected} that host {mapper:?} sent is of {found}: don't use this host, and start again with another"
    )]
    WrongMap {
        /// The artifact that was wanted.
        expected: ImageDigest,
        /// The digest of the assembled bytes.
        found: ImageDigest,
        /// The host that sent the map.
        mapper: H,
    },
}

impl<H: Clone + Ord + Debug> Assembly<H> {
    /// Starts to assemble the artifact with this digest, using a map from `mapper`, which is also
    /// the first host to use. Fails when the map is of another artifact, malformed, or of more than
    /// `limit` bytes.
    pub fn new(
        wanted: ImageDigest,
        map: RangeMap,
        mapper: H,
        limit: ByteSize,
    ) -> Result<Self, RangeMapError> {
        map.check(wanted, limit)?;
        let mut assembly = Self {
            bytes: vec![0; usize::try_from(map.size).unwrap_or(usize::MAX)],
            ranges: vec![RangeState::Missing; map.digests.len()],
            here: 0,
            hosts: BTreeMap::new(),
            mapper: mapper.clone(),
            map,
        };
        assembly.add(mapper);
        Ok(assembly)
    }

    /// Adds a host that has the artifact. At most 16 are used.
    pub fn add(&mut self, host: H) {
        if self.hosts.len() < HOSTS {
            self.hosts.entry(host).or_default();
        }
    }

    /// Removes a host that can no longer be used. Its ranges are requested from others.
    pub fn remove(&mut self, host: &H) {
        self.hosts.remove(host);
        for range in &mut self.ranges {
            if matches!(range, RangeState::Asked { of, .. } if of == host) {
                *range = RangeState::Missing;
            }
        }
    }

    /// Returns the number of hosts that are used. When there are none and the artifact isn't
    /// complete, more have to be added.
    pub fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// Returns whether every range has been received.
    pub fn is_complete(&self) -> bool {
        self.here == self.ranges.len()
    }

    /// Returns the requests to send now, so that every host has enough work. Each range is
    /// requested once, until it is overdue.
    pub fn requests(&mut self, now: Instant) -> Vec<RangeRequest<H>> {
        self.expire(now);
        let mut asks = Vec::new();
        let missing = self
            .ranges
            .iter_mut()
            .enumerate()
            .filter(|(_, state)| **state == RangeState::Missing);
        for (range, state) in missing {
            // The host with the fewest requests in flight and the fewest overdue ranges.
            let free = self
                .hosts
                .iter_mut()
                .filter(|(_, host)| host.asked < MAX_IN_FLIGHT);
            let Some((of, host)) = free.min_by_key(|(_, host)| (host.overdue, host.asked)) else {
                break;
            };
            host.asked += 1;
            *state = RangeState::Asked {
                of: of.clone(),
                until: now + RANGE_TIMEOUT,
            };
            asks.push(RangeRequest {
                of: of.clone(),
                range: range as u32,
            });
        }
        asks
    }

    /// Returns when to call [`requests`](Self::requests) again at the latest, even if no range
    /// arrives.
    pub fn next(&self) -> Option<Instant> {
        let until = self.ranges.iter().filter_map(|range| match range {
            RangeState::Asked { until, .. } => Some(*until),
            _ => None,
        });
        until.min()
    }

    /// Marks overdue ranges as missing, and stops using hosts that were late too often.
    fn expire(&mut self, now: Instant) {
        for range in &mut self.ranges {
            if let RangeState::Asked { of, until } = range
                && *until <= now
            {
                if let Some(host) = self.hosts.get_mut(of) {
                    host.asked = host.asked.saturating_sub(1);
                    host.overdue += 1;
                }
                *range = RangeState::Missing;
            }
        }
        let slow: Vec<_> = self
            .hosts
            .iter()
            .filter(|(_, host)| host.overdue >= MAX_OVERDUE)
            .map(|(id, _)| id.clone())
            .collect();
        for host in slow {
            self.remove(&host);
        }
    }

    /// Takes a range that a host sent. A valid one is accepted from any host in use, however late
    /// it is.
    ///
    /// # Errors
    ///
    /// Each error names the host. Its ranges are then requested from others.
    pub fn receive(
        &mut self,
        from: &H,
        range: u32,
        bytes: &[u8],
    ) -> Result<Received, RangeError<H>> {
        let Some(host) = self.hosts.get_mut(from) else {
            return Err(RangeError::Uninvited {
                from: from.clone(),
                range,
            });
        };
        let (Some(span), Some(digest)) =
            (self.map.span(range), self.map.digests.get(range as usize))
        else {
            self.remove(from);
            return Err(RangeError::NoSuchRange {
                from: from.clone(),
                range,
            });
        };
        let state = &mut self.ranges[range as usize];
        if *state == RangeState::Here {
            return Ok(Received::Duplicate);
        }
        if bytes.len() != span.len() || blake3::hash(bytes).as_bytes() != digest {
            self.remove(from);
            return Err(RangeError::Wrong {
                from: from.clone(),
                range,
            });
        }
        host.overdue = 0;
        if let RangeState::Asked { of, .. } = std::mem::replace(state, RangeState::Here)
            && let Some(asked) = self.hosts.get_mut(&of)
        {
            asked.asked = asked.asked.saturating_sub(1);
        }
        self.bytes[span].copy_from_slice(bytes);
        self.here += 1;
        Ok(Received::New)
    }

    /// Returns the artifact, checked against the expected digest.
    pub fn finish(self) -> Result<Bytes, AssemblyError<H>> {
        let expected = self.map.digest;
        if !self.is_complete() {
            return Err(AssemblyError::Incomplete {
                digest: expected,
                missing: self.ranges.len() - self.here,
            });
        }
        let found = ImageDigest::of(&self.bytes);
        if found != expected {
            return Err(AssemblyError::WrongMap {
                expected,
                found,
                mapper: self.mapper,
            });
        }
        Ok(self.bytes.into())
    }
}
