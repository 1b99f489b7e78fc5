//! Delivers artifacts to other hosts.

use super::{ExchangeRequest, Functions, MAX_DOCUMENTS, named_by};
use crate::{
    artifact::{Artifacts, ImageDigest, ranges::RangeMap},
    limits::ByteSize,
};
use bytes::Bytes;
use futures_util::FutureExt as _;
use lattice_core::{
    Lattice,
    call::CallError,
    desired::{ActorSpec, Image},
    name::{ComponentId, HostId, NameError},
    node::Node,
    place::Assignment,
    serve::{Answer, Request, Service},
    server::ServeLimits,
    types::{ComponentTypes, InterfaceTypes},
    value::{from_bytes, to_bytes},
    wire::Source,
};
use serde::Serialize;
use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, task::spawn_blocking, time::sleep};
use tokio_util::task::AbortOnDropHandle;

/// How long an artifact stays in memory after a request for it.
const KEPT_FOR: Duration = Duration::from_secs(10);
/// Ranges that may be read concurrently, and ranges that may wait.
const AT_ONCE: NonZeroUsize = NonZeroUsize::new(8).expect("eight");
const QUEUED: usize = 256;

/// Delivers artifacts to hosts that are assigned a component made of them.
pub(crate) struct ArtifactServer {
    lattice: Lattice,
    assignment: watch::Receiver<Arc<Assignment>>,
    artifacts: Artifacts,
    functions: Functions,
    recent: Arc<Mutex<Option<RecentArtifact>>>,
    /// Drops `recent` later.
    expiry: Mutex<Option<AbortOnDropHandle<()>>>,
}

/// The artifact that was requested last.
struct RecentArtifact {
    map: Arc<RangeMap>,
    bytes: Bytes,
}

impl ArtifactServer {
    /// Serves other hosts for as long as `node` lives.
    pub(crate) fn start(
        node: &Node,
        lattice: Lattice,
        assignment: watch::Receiver<Arc<Assignment>>,
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

    /// Returns the artifact if it is here and the requesting host is to run it.
    async fn find(
        &self,
        from: &HostId,
        request: &ExchangeRequest,
    ) -> Option<(Arc<RangeMap>, Bytes)> {
        let slots = self.assignment.borrow().clone();
        if !slots.slots(&request.component).any(|host| host == from) {
            tracing::debug!(host = %from, component = %request.component, "an artifact was not sent: the component is not assigned to the requesting host");
            return None;
        }
        let desired = self.lattice.desired();
        let spec = &desired.actors.get(&request.component)?.spec;
        for spec in [Some(spec), spec.previous.as_deref()].into_iter().flatten() {
            if let Some(found) = self.made_of(spec, request.digest).await {
                return Some(found);
            }
        }
        None
    }

    /// Returns the bytes with this digest, if the actor is made of them.
    async fn made_of(
        &self,
        spec: &ActorSpec,
        wanted: ImageDigest,
    ) -> Option<(Arc<RangeMap>, Bytes)> {
        let pinned = spec.digest.or_else(|| spec.image.digest())?;
        let mut digest = pinned;
        for _ in 0..=MAX_DOCUMENTS {
            if digest == wanted {
                return self.load(spec, digest).await;
            }
            digest = named_by(&self.artifacts.cached(digest).await?.bytes)?;
        }
        None
    }

    /// Loads the artifact and keeps it in memory for a while, because more of its ranges will be
    /// requested.
    async fn load(&self, spec: &ActorSpec, digest: ImageDigest) -> Option<(Arc<RangeMap>, Bytes)> {
        self.expire_later();
        if let Some(recent) = &*self.recent.lock().unwrap_or_else(PoisonError::into_inner)
            && recent.map.digest == digest
        {
            return Some((recent.map.clone(), recent.bytes.clone()));
        }
        let bytes = match self.artifacts.cached(digest).await {
            Some(artifact) => artifact.bytes,
            None => self.read_file(&spec.image, digest).await?,
        };
        let read = bytes.clone();
        let map = Arc::new(spawn_blocking(move || RangeMap::of(&read)).await.ok()?);
        let recent = RecentArtifact {
            map: map.clone(),
            bytes: bytes.clone(),
        };
        *self.recent.lock().unwrap_or_else(PoisonError::into_inner) = Some(recent);
        Some((map, bytes))
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
            *recent.lock().unwrap_or_else(PoisonError::into_inner) = None;
        });
        let mut expiry = self.expiry.lock().unwrap_or_else(PoisonError::into_inner);
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
            let range = found.and_then(|(map, bytes)| Some(bytes.slice(map.span(range)?)));
            encoded(&range)
        };
        Answer::Later(answer.boxed())
    }
}

fn encoded<T: Serialize>(result: &T) -> Result<Bytes, CallError> {
    to_bytes(result).map_err(|error| CallError::BadResult {
        reason: error.to_string(),
    })
}
