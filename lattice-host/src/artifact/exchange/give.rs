//! The side that gives.

use super::{Ask, DOCUMENTS, Functions, named_by};
use crate::{
    ByteSize,
    artifact::{Artifacts, ImageDigest, ranges::RangeMap},
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

/// How long an artifact stays in memory after somebody has asked for a range of it.
const HELD: Duration = Duration::from_secs(10);
/// Ranges that may be read at once, and those that may wait.
const AT_ONCE: NonZeroUsize = NonZeroUsize::new(8).expect("eight");
const QUEUED: usize = 256;

/// Gives artifacts to hosts that are assigned what is made of them.
pub(crate) struct Giver {
    lattice: Lattice,
    assignment: watch::Receiver<Arc<Assignment>>,
    artifacts: Artifacts,
    functions: Functions,
    held: Arc<Mutex<Option<Held>>>,
    /// Lets go of what is held.
    lets_go: Mutex<Option<AbortOnDropHandle<()>>>,
}

/// The artifact that was asked for last.
struct Held {
    map: Arc<RangeMap>,
    bytes: Bytes,
}

impl Giver {
    /// Has a host answer others, for as long as it lives.
    pub(crate) fn start(
        node: &Node,
        lattice: Lattice,
        assignment: watch::Receiver<Arc<Assignment>>,
        artifacts: Artifacts,
    ) -> Result<(), NameError> {
        let giver = Self {
            lattice,
            assignment,
            artifacts,
            functions: Functions::new()?,
            held: Arc::default(),
            lets_go: Mutex::default(),
        };
        let limits = ServeLimits::default()
            .concurrent(AT_ONCE)
            .queued(QUEUED)
            .result(ByteSize::mib(1).as_usize());
        let name = ComponentId::new("artifacts")?;
        node.serve_host_rpc(name, Arc::new(Answers(Arc::new(giver))), limits);
        Ok(())
    }

    /// The artifact, if it is here and whoever asks is to run it.
    async fn given(&self, from: &HostId, ask: &Ask) -> Option<(Arc<RangeMap>, Bytes)> {
        let slots = self.assignment.borrow().clone();
        if !slots.slots(&ask.component).any(|host| host == from) {
            tracing::debug!(host = %from, component = %ask.component, "an artifact was not given: it asks for what is not assigned to it");
            return None;
        }
        let desired = self.lattice.desired();
        let spec = &desired.actors.get(&ask.component)?.spec;
        for spec in [Some(spec), spec.previous.as_deref()].into_iter().flatten() {
            if let Some(given) = self.made_of(spec, ask.digest).await {
                return Some(given);
            }
        }
        None
    }

    /// What has this digest, when the actor is made of it.
    async fn made_of(
        &self,
        spec: &ActorSpec,
        wanted: ImageDigest,
    ) -> Option<(Arc<RangeMap>, Bytes)> {
        let pinned = spec.digest.or_else(|| spec.image.digest())?;
        let mut digest = pinned;
        for _ in 0..=DOCUMENTS {
            if digest == wanted {
                return self.hold(spec, digest).await;
            }
            digest = named_by(&self.artifacts.cached(digest).await?.bytes)?;
        }
        None
    }

    /// Keeps it in memory for a while: more of its ranges will be asked for.
    async fn hold(&self, spec: &ActorSpec, digest: ImageDigest) -> Option<(Arc<RangeMap>, Bytes)> {
        self.let_go_later();
        if let Some(held) = &*self.held.lock().unwrap_or_else(PoisonError::into_inner)
            && held.map.digest == digest
        {
            return Some((held.map.clone(), held.bytes.clone()));
        }
        let bytes = match self.artifacts.cached(digest).await {
            Some(artifact) => artifact.bytes,
            None => self.read_file(&spec.image, digest).await?,
        };
        let read = bytes.clone();
        let map = Arc::new(spawn_blocking(move || RangeMap::of(&read)).await.ok()?);
        let held = Held {
            map: map.clone(),
            bytes: bytes.clone(),
        };
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
        Some((map, bytes))
    }

    /// A host that has the file may keep it nowhere else.
    async fn read_file(&self, image: &Image, digest: ImageDigest) -> Option<Bytes> {
        let Image::File(path) = image else {
            return None;
        };
        let file = Image::File(path.clone());
        let artifact = self.artifacts.fetch(&file, digest).await.ok()?;
        Some(artifact.bytes)
    }

    fn let_go_later(&self) {
        let held = self.held.clone();
        let later = tokio::spawn(async move {
            sleep(HELD).await;
            *held.lock().unwrap_or_else(PoisonError::into_inner) = None;
        });
        let mut lets_go = self.lets_go.lock().unwrap_or_else(PoisonError::into_inner);
        *lets_go = Some(AbortOnDropHandle::new(later));
    }
}

/// What other hosts call.
struct Answers(Arc<Giver>);

impl Service for Answers {
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

    fn call(&self, request: Request) -> Answer {
        let giver = self.0.clone();
        let answer = async move {
            let arguments = from_bytes(&request.args);
            let (ask,): (Ask,) = arguments.map_err(|error| CallError::BadArguments {
                reason: error.to_string(),
            })?;
            let given = match &request.source {
                Source::Host(from) => giver.given(from, &ask).await,
                _ => None,
            };
            let Some(range) = ask.range else {
                let map = given.map(|(map, _)| map);
                return encoded(&map.as_deref());
            };
            let range = given.and_then(|(map, bytes)| Some(bytes.slice(map.span(range)?)));
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
