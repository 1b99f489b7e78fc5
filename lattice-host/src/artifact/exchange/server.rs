//! Delivers artifacts to other hosts.

use super::{ExchangeRequest, Functions, MAX_DOCUMENTS, named_by};
use crate::{
    artifact::{Artifacts, ImageDigest, ranges::RangeMap},
    limits::ByteSize,
};
use bytes::Bytes;
use futures_util::FutureExt as _;
use lattice_core::{
    Lattice, Watch,
    call::CallError,
    desired::{ActorSpec, Image},
    name::{ComponentId, HostId, NameError},
    node::Node,
    place::Assignment,
    serve::{Answer, Request, Service},
    server::ServeLimits,
    sync::Mutex,
    types::{ComponentTypes, InterfaceTypes},
    value::{from_bytes, to_bytes},
    wire::Source,
};
use serde::Serialize;
use std::{collections::VecDeque, num::NonZeroUsize, sync::Arc, time::Duration};
use tokio::{task::spawn_blocking, time::sleep};
use tokio_util::task::AbortOnDropHandle;

/// How long maps are kept after the last request.
const KEPT_FOR: Duration = Duration::from_secs(10);
/// Maps that are kept. Each has at most 32 KiB.
const MAX_RECENT: usize = 64;
/// The largest document of a registry.
const MAX_DOCUMENT: ByteSize = ByteSize::mib(4);
/// Ranges that may be read concurrently, and ranges that may wait.
const AT_ONCE: NonZeroUsize = NonZeroUsize::new(8).expect("eight");
const QUEUED: usize = 256;

/// Delivers artifacts to hosts that are assigned a component made of them.
pub(crate) struct ArtifactServer {
    lattice: Lattice,
    assignment: Watch<Arc<Assignment>>,
    artifacts: Artifacts,
    functions: Functions,
    /// The maps of the artifacts that were requested last.
    recent: Arc<tokio::sync::Mutex<VecDeque<Arc<RangeMap>>>>,
    /// Drops `recent` later.
    expiry: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl ArtifactServer {
    /// Serves other hosts for as long as `node` lives.
    pub(crate) fn start(
        node: &Node,
        lattice: Lattice,
        assignment: Watch<Arc<Assignment>>,
        artifacts: Artifacts,
    ) -> Result<(), NameError> {
        let server = Self {
            lattice,
            assignment,
            artifacts,
            functions: Functions::new()?,
            recent: Arc::default(),
            expiry: Mutex::default(),
        };
        let limits = ServeLimits::default()
            .concurrent(AT_ONCE)
            .queued(QUEUED)
            .result(ByteSize::mib(1));
        let name = ComponentId::new("artifacts")?;
        node.serve_host_rpc(name, Arc::new(ExchangeService(Arc::new(server))), limits);
        Ok(())
    }

    /// Returns the map of the artifact, and the actor that is made of it, if this host has the
    /// artifact and the actor is assigned to the requesting host.
    async fn find(
        &self,
        from: &HostId,
        request: &ExchangeRequest,
    ) -> Option<(Arc<RangeMap>, Image)> {
        let slots = self.assignment.current();
        if !slots.slots(&request.component).any(|host| host == from) {
            tracing::debug!(host = %from, component = %request.component, "an artifact was not sent: the component is not assigned to the requesting host");
            return None;
        }
        let desired = self.lattice.desired();
        let spec = &desired.actors.get(&request.component)?.spec;
        for spec in [Some(spec), spec.previous.as_deref()].into_iter().flatten() {
            if let Some(map) = self.made_of(spec, request.digest).await {
                return Some((map, spec.image.clone()));
            }
        }
        None
    }

    /// Returns the map of the bytes with this digest, if the actor is made of them.
    async fn made_of(&self, spec: &ActorSpec, wanted: ImageDigest) -> Option<Arc<RangeMap>> {
        let mut digest = spec.digest.or_else(|| spec.image.digest())?;
        for _ in 0..=MAX_DOCUMENTS {
            if digest == wanted {
                return self.map(spec, digest).await;
            }
            // Anything larger is the component itself, which names no other artifact.
            let document = self.artifacts.cached_small(digest, MAX_DOCUMENT).await?;
            digest = named_by(&document)?;
        }
        None
    }

    /// Returns the map of the artifact, and keeps it for some time, because requests for its ranges
    /// will follow. The whole artifact is read only when there is no map of it.
    async fn map(&self, spec: &ActorSpec, digest: ImageDigest) -> Option<Arc<RangeMap>> {
        self.expire_later();
        // One at a time, so that many requests don't read many artifacts at once, or one artifact
        // many times.
        let mut recent = self.recent.lock().await;
        if let Some(map) = recent.iter().find(|map| map.digest == digest) {
            return Some(map.clone());
        }
        let bytes = match self.artifacts.cached(digest).await {
            Some(artifact) => artifact.bytes,
            None => self.read_file(&spec.image, digest).await?,
        };
        let map = Arc::new(spawn_blocking(move || RangeMap::of(&bytes)).await.ok()?);
        if recent.len() == MAX_RECENT {
            recent.pop_front();
        }
        recent.push_back(map.clone());
        Some(map)
    }

    /// Returns a range of an artifact, or `None` if its file has changed since the map was made.
    async fn range(&self, map: &RangeMap, image: &Image, range: u32) -> Option<Bytes> {
        let digest = map.digests.get(usize::try_from(range).ok()?)?;
        let part = self.artifacts.part(image, map.digest, map.span(range)?);
        let bytes = part.await?;
        (blake3::hash(&bytes).as_bytes() == digest).then_some(bytes)
    }

    /// Reads the artifact from its file, because a host may have it only there.
    async fn read_file(&self, image: &Image, digest: ImageDigest) -> Option<Bytes> {
        let Image::File(path) = image else {
            return None;
        };
        let file = Image::File(path.clone());
        let artifact = self.artifacts.fetch(&file, digest).await.ok()?;
        Some(artifact.bytes)
    }

    fn expire_later(&self) {
        let recent = self.recent.clone();
        let later = tokio::spawn(async move {
            sleep(KEPT_FOR).await;
            recent.lock().await.clear();
        });
        let mut expiry = self.expiry.lock();
        *expiry = Some(AbortOnDropHandle::new(later));
    }
}

/// The service that other hosts call.
struct ExchangeService(Arc<ArtifactServer>);

impl Service for ExchangeService {
    fn types(&self) -> Arc<ComponentTypes> {
        let Functions { map, range } = &self.0.functions;
        let mut functions = InterfaceTypes::default();
        for function in [map, range] {
            let text = function.signature().to_owned();
            functions
                .functions
                .insert(function.function().clone(), text);
        }
        let mut types = ComponentTypes::default();
        types.exports.insert(map.interface().clone(), functions);
        Arc::new(types)
    }

    fn errors_are_its_own(&self) -> bool {
        true
    }

    fn call(&self, request: Request) -> Answer {
        let server = self.0.clone();
        let answer = async move {
            let arguments = from_bytes(&request.args);
            let (wanted,): (ExchangeRequest,) =
                arguments.map_err(|error| CallError::BadArguments {
                    reason: error.to_string(),
                })?;
            let found = match &request.source {
                Source::Host(from) => server.find(from, &wanted).await,
                _ => None,
            };
            let Some(range) = wanted.range else {
                let map = found.map(|(map, _)| map);
                return encoded(&map.as_deref());
            };
            let bytes = match found {
                Some((map, image)) => server.range(&map, &image, range).await,
                None => None,
            };
            encoded(&bytes)
        };
        Answer::Later(answer.boxed())
    }
}

fn encoded<T: Serialize>(result: &T) -> Result<Bytes, CallError> {
    to_bytes(result).map_err(|error| CallError::BadResult {
        reason: error.to_string(),
    })
}
