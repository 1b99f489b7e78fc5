//! Requests artifacts from other hosts.

use super::{ExchangeRequest, Functions, MAX_DOCUMENTS, named_by};
use crate::{
    artifact::{
        ImageDigest, WasmKind,
        ranges::{Assembly, AssemblyError, RangeMap},
    },
    limits::ByteSize,
};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use lattice_core::{
    Lattice,
    call::{CallError, Context},
    name::{ComponentId, NameError},
    node::Node,
    value::{Decode, from_bytes, to_bytes},
    wire::Origin,
};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// Hosts that the map is requested from concurrently.
const HOSTS: usize = 8;
/// How long each host has for its map. It may have to read and digest the artifact first.
const MAP_WITHIN: Duration = Duration::from_secs(5);
/// How long a host has for a range.
const RANGE_WITHIN: Duration = Duration::from_secs(5);

/// Fetches artifacts from other hosts.
pub(crate) struct ExchangeClient {
    node: Node,
    lattice: Lattice,
    functions: Functions,
    limit: ByteSize,
}

/// Why no other host delivered an artifact.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ExchangeError {
    /// No other host has it.
    #[error("none of the {asked} other hosts that received a request sent {digest}")]
    NoHost {
        /// The requested digest.
        digest: ImageDigest,
        /// Number of hosts that received the request.
        asked: usize,
    },
    /// The hosts that had it stopped responding, or sent other bytes.
    #[error("other hosts sent only a part of {digest}, or other bytes: {reason}")]
    Broken {
        /// What was requested.
        digest: ImageDigest,
        /// The problem.
        reason: String,
    },
    /// It arrived complete, but isn't a component.
    #[error("{digest} isn't a WebAssembly component")]
    NotWasm {
        /// What was requested.
        digest: ImageDigest,
    },
}

/// The reply to a request for a range.
type RangeReply = (Origin, u32, Result<Bytes, CallError>);

impl ExchangeClient {
    pub(crate) fn new(node: Node, lattice: Lattice, limit: ByteSize) -> Result<Self, NameError> {
        Ok(Self {
            node,
            lattice,
            functions: Functions::new()?,
            limit,
        })
    }

    /// Fetches the bytes of a component, given the digest that desired state has for its image, and
    /// every document that leads to them.
    pub(crate) async fn component(
        &self,
        component: &ComponentId,
        image: ImageDigest,
    ) -> Result<Vec<Bytes>, ExchangeError> {
        let (mut digest, mut found) = (image, Vec::new());
        for _ in 0..=MAX_DOCUMENTS {
            let bytes = self.get(component, digest).await?;
            let named = named_by(&bytes);
            let is_component = WasmKind::of(&bytes).is_ok();
            found.push(bytes);
            match named {
                _ if is_component => return Ok(found),
                Some(next) => digest = next,
                None => break,
            }
        }
        Err(ExchangeError::NotWasm { digest })
    }

    /// Fetches one artifact. A wrong map is only detected at the end. The hosts that sent it are
    /// then excluded, and the artifact is requested from the others.
    async fn get(
        &self,
        component: &ComponentId,
        digest: ImageDigest,
    ) -> Result<Bytes, ExchangeError> {
        let mut left_out = BTreeSet::new();
        let mut last = ExchangeError::NoHost {
            digest,
            asked: self.others(component).len(),
        };
        loop {
            let maps = self.maps(component, digest, &left_out).await;
            let Some((_, map)) = maps.first().cloned() else {
                return Err(last);
            };
            let same = maps.into_iter().filter(|(_, other)| *other == map);
            let hosts: Vec<Origin> = same.map(|(host, _)| host).collect();
            // Each round excludes at least one of a few hosts.
            left_out.extend(hosts.iter().cloned());
            match self.assemble(component, digest, map, hosts).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => {
                    tracing::warn!(%component, %digest, %error, "hosts that sent a wrong artifact are excluded");
                    last = error;
                }
            }
        }
    }

    /// Fetches an artifact from hosts that sent the same map.
    async fn assemble(
        &self,
        component: &ComponentId,
        digest: ImageDigest,
        map: RangeMap,
        hosts: Vec<Origin>,
    ) -> Result<Bytes, ExchangeError> {
        let broken = |reason: String| ExchangeError::Broken { digest, reason };
        let mut hosts = hosts.into_iter();
        let first = hosts.next();
        let first = first.ok_or_else(|| broken("no host sent its map".to_owned()))?;
        let mut assembly = Assembly::new(digest, map, first, self.limit)
            .map_err(|error| broken(error.to_string()))?;
        for host in hosts {
            assembly.add(host);
        }
        self.fill(&mut assembly, component, digest).await?;
        // Digests on a blocking thread, because the runtime's threads serve calls.
        let finished = tokio::task::spawn_blocking(|| assembly.finish()).await;
        let finished: Result<Bytes, AssemblyError<Origin>> =
            finished.map_err(|lost| broken(lost.to_string()))?;
        finished.map_err(|error| broken(error.to_string()))
    }

    /// Requests ranges until all have arrived, or no host is left.
    async fn fill(
        &self,
        assembly: &mut Assembly<Origin>,
        component: &ComponentId,
        digest: ImageDigest,
    ) -> Result<(), ExchangeError> {
        let mut in_flight: FuturesUnordered<BoxFuture<'_, RangeReply>> = FuturesUnordered::new();
        let mut last = "no host is left to send requests to".to_owned();
        loop {
            for request in assembly.requests(Instant::now()) {
                in_flight.push(
                    self.range(component, digest, request.of, request.range)
                        .boxed(),
                );
            }
            if assembly.is_complete() {
                return Ok(());
            }
            // Each ends within its deadline. A host that fails is no longer used.
            let Some((host, range, answer)) = in_flight.next().await else {
                return Err(ExchangeError::Broken {
                    digest,
                    reason: last,
                });
            };
            let taken = match answer {
                Ok(bytes) => assembly
                    .receive(&host, range, &bytes)
                    .map(drop)
                    .map_err(|error| error.to_string()),
                Err(error) => {
                    assembly.remove(&host);
                    Err(error.to_string())
                }
            };
            if let Err(reason) = taken {
                tracing::debug!(host = %host.host, range, reason, "a host did not send a range of an artifact");
                last = reason;
            }
        }
    }

    /// Returns the maps of the hosts that have it, in the order in which they replied.
    async fn maps(
        &self,
        component: &ComponentId,
        digest: ImageDigest,
        left_out: &BTreeSet<Origin>,
    ) -> Vec<(Origin, RangeMap)> {
        let others = self.others(component).into_iter();
        let others = others.filter(|other| !left_out.contains(other));
        let asking = others.map(|host| async move {
            let map: Option<RangeMap> = self.request(&host, component, digest, None).await.ok()?;
            map.filter(|map| map.check(digest, self.limit).is_ok())
                .map(|map| (host, map))
        });
        let mut asking: FuturesUnordered<_> = asking.collect();
        let mut maps = Vec::new();
        while let Some(answer) = asking.next().await {
            maps.extend(answer);
            // The others may be slow. One map is enough to start, and ranges are requested from the
            // hosts that have replied by now.
            if !maps.is_empty() {
                while let Some(Some(answer)) = asking.next().now_or_never() {
                    maps.extend(answer);
                }
                break;
            }
        }
        maps
    }

    async fn range(
        &self,
        component: &ComponentId,
        digest: ImageDigest,
        host: Origin,
        range: u32,
    ) -> RangeReply {
        let answer = self.request(&host, component, digest, Some(range)).await;
        let bytes = answer.and_then(|bytes: Option<Bytes>| {
            bytes.ok_or_else(|| CallError::NotServed {
                component: component.clone(),
            })
        });
        (host, range, bytes)
    }

    async fn request<T: Decode>(
        &self,
        host: &Origin,
        component: &ComponentId,
        digest: ImageDigest,
        range: Option<u32>,
    ) -> Result<T, CallError> {
        let request = ExchangeRequest {
            component: component.clone(),
            digest,
            range,
        };
        let (function, within) = match range {
            None => (&self.functions.map, MAP_WITHIN),
            Some(_) => (&self.functions.range, RANGE_WITHIN),
        };
        let args = to_bytes(&(request,)).map_err(|error| CallError::BadArguments {
            reason: error.to_string(),
        })?;
        let answer = self
            .node
            .call_host(host, function, args, Context::new(within))
            .await?;
        from_bytes(&answer).map_err(|error| CallError::BadResult {
            reason: error.to_string(),
        })
    }

    /// Returns the hosts to send requests to, those that run the component first.
    fn others(&self, component: &ComponentId) -> Vec<Origin> {
        let peers = self.lattice.peers();
        let mut others: Vec<Origin> = peers.serving(component).to_vec();
        for peer in peers.iter() {
            if !others.contains(&peer.origin) {
                others.push(peer.origin.clone());
            }
        }
        others.retain(|other| other != self.node.origin());
        others.truncate(HOSTS);
        others
    }
}
