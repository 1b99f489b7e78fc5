//! The side that takes.

use super::{Ask, DOCUMENTS, Functions, named_by};
use crate::{
    ByteSize,
    artifact::{
        ImageDigest, WasmKind,
        ranges::{Assembly, AssemblyError, RangeMap},
    },
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
use std::time::{Duration, Instant};

/// Hosts that are asked whether they have it, at once.
const HOSTS: usize = 8;
/// How long each has for its map: it may have to read and digest the artifact first.
const MAP_WITHIN: Duration = Duration::from_secs(5);
/// How long one has for a range.
const RANGE_WITHIN: Duration = Duration::from_secs(5);

/// Gets artifacts from other hosts.
pub(crate) struct Exchange {
    node: Node,
    lattice: Lattice,
    functions: Functions,
    limit: ByteSize,
}

/// Why no other host gave it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum GetError {
    /// Nobody has it.
    #[error("none of the {asked} other hosts asked gave {digest}")]
    Nobody {
        /// What was asked for.
        digest: ImageDigest,
        /// How many were asked.
        asked: usize,
    },
    /// Those who had it went away, or sent something else.
    #[error("other hosts gave only a part of {digest}, or something else: {reason}")]
    Broken {
        /// What was asked for.
        digest: ImageDigest,
        /// What was wrong with it.
        reason: String,
    },
    /// It came whole, and is no component.
    #[error("{digest} is no WebAssembly component")]
    NotWasm {
        /// What was asked for.
        digest: ImageDigest,
    },
}

/// A range that was asked for.
type Asked = (Origin, u32, Result<Bytes, CallError>);

impl Exchange {
    pub(crate) fn new(node: Node, lattice: Lattice, limit: ByteSize) -> Result<Self, NameError> {
        Ok(Self {
            node,
            lattice,
            functions: Functions::new()?,
            limit,
        })
    }

    /// The bytes of a component, by the digest that desired state has of its image, and every document on the way to them.
    pub(crate) async fn component(
        &self,
        component: &ComponentId,
        image: ImageDigest,
    ) -> Result<Vec<Bytes>, GetError> {
        let (mut digest, mut found) = (image, Vec::new());
        for _ in 0..=DOCUMENTS {
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
        Err(GetError::NotWasm { digest })
    }

    async fn get(&self, component: &ComponentId, digest: ImageDigest) -> Result<Bytes, GetError> {
        let mut maps = self.maps(component, digest).await.into_iter();
        let nobody = GetError::Nobody {
            digest,
            asked: self.others(component).len(),
        };
        let (first, map) = maps.next().ok_or(nobody)?;
        let broken = |reason: String| GetError::Broken { digest, reason };
        let mut assembly = Assembly::new(digest, map.clone(), first, self.limit)
            .map_err(|error| broken(error.to_string()))?;
        for (host, other) in maps {
            if other == map {
                assembly.add(host);
            }
        }
        self.fill(&mut assembly, component, digest).await?;
        // Away from the threads that answer calls.
        let finished = tokio::task::spawn_blocking(|| assembly.finish()).await;
        let finished: Result<Bytes, AssemblyError<Origin>> =
            finished.map_err(|lost| broken(lost.to_string()))?;
        finished.map_err(|error| broken(error.to_string()))
    }

    /// Asks for ranges until all are there, or nobody is left to ask.
    async fn fill(
        &self,
        assembly: &mut Assembly<Origin>,
        component: &ComponentId,
        digest: ImageDigest,
    ) -> Result<(), GetError> {
        let mut under_way: FuturesUnordered<BoxFuture<'_, Asked>> = FuturesUnordered::new();
        let mut last = "nobody is left to ask".to_owned();
        loop {
            for ask in assembly.ask(Instant::now()) {
                under_way.push(self.range(component, digest, ask.of, ask.range).boxed());
            }
            if assembly.is_complete() {
                return Ok(());
            }
            // Each ends within its deadline; whoever fails is asked no more.
            let Some((host, range, answer)) = under_way.next().await else {
                return Err(GetError::Broken {
                    digest,
                    reason: last,
                });
            };
            let taken = match answer {
                Ok(bytes) => assembly
                    .take(&host, range, &bytes)
                    .map(drop)
                    .map_err(|error| error.to_string()),
                Err(error) => {
                    assembly.remove(&host);
                    Err(error.to_string())
                }
            };
            if let Err(reason) = taken {
                tracing::debug!(host = %host.host, range, reason, "a range of an artifact was not given");
                last = reason;
            }
        }
    }

    /// The maps of those who have it, whoever answered first before the others.
    async fn maps(&self, component: &ComponentId, digest: ImageDigest) -> Vec<(Origin, RangeMap)> {
        let asking = self.others(component).into_iter().map(|host| async move {
            let map: Option<RangeMap> = self.ask(&host, component, digest, None).await.ok()?;
            map.filter(|map| map.check(digest, self.limit).is_ok())
                .map(|map| (host, map))
        });
        let mut asking: FuturesUnordered<_> = asking.collect();
        let mut maps = Vec::new();
        while let Some(answer) = asking.next().await {
            maps.extend(answer);
            // The others may be slow: one is enough to begin with, and ranges come from whoever has answered by now.
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
    ) -> Asked {
        let answer = self.ask(&host, component, digest, Some(range)).await;
        let bytes = answer.and_then(|bytes: Option<Bytes>| {
            bytes.ok_or_else(|| CallError::NotServed {
                component: component.clone(),
            })
        });
        (host, range, bytes)
    }

    async fn ask<T: Decode>(
        &self,
        host: &Origin,
        component: &ComponentId,
        digest: ImageDigest,
        range: Option<u32>,
    ) -> Result<T, CallError> {
        let ask = Ask {
            component: component.clone(),
            digest,
            range,
        };
        let (function, within) = match range {
            None => (&self.functions.map, MAP_WITHIN),
            Some(_) => (&self.functions.range, RANGE_WITHIN),
        };
        let args = to_bytes(&(ask,)).map_err(|error| CallError::BadArguments {
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

    /// Whom to ask: those who run it first.
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
