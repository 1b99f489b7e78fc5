//! Runs the components that desired state assigns to a host: actors from images, and providers by
//! name or in processes of their own.

use super::launcher::{Launcher, serve_limits};
use crate::{
    actor::Actor,
    artifact::{
        Artifact, Artifacts, FetchError,
        exchange::{ExchangeClient, ExchangeError},
    },
    guest::Instances,
    limits::{ByteSize, Limits, Reuse},
};
#[cfg(feature = "process")]
use crate::{
    guest::ActorLog,
    process::{Installed, ProcessService, ProcessSettings, Program, ProgramSettings, Programs},
};
use bytes::Bytes;
use futures_util::future::{BoxFuture, Either, select};
use lattice_core::{
    agent::{Prepared, Runtime, RuntimeError, Work, WorkItem},
    desired::{Image, ImageDigest, InstanceMode, LimitOverrides, ProviderKind},
    name::ComponentId,
    serve::Service,
};
use lattice_provider_sdk::{Access, read_places};
use std::{
    collections::BTreeMap,
    num::{NonZeroU32, NonZeroUsize},
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::time::timeout;

/// When fetching an image takes longer than this, the host also requests it from other hosts.
const SLOW: Duration = Duration::from_secs(3);

/// How long a start waits for its image. This is shorter than the agent's limit for a start, so
/// that an unavailable image is distinguished from a component that fails to start.
const FETCH_WITHIN: Duration = Duration::from_secs(270);

/// Creates a provider from its configuration.
pub(super) type ProviderFactory =
    Arc<dyn Fn(&BTreeMap<String, String>) -> Result<Arc<dyn Service>, RuntimeError> + Send + Sync>;

/// Providers that desired state can name.
pub(super) struct Builtins {
    pub(super) factories: BTreeMap<String, ProviderFactory>,
    /// What of the machine the settings of providers may name, also of those in processes, and
    /// the configs of actors.
    pub(super) access: Access,
}

/// Creates the services that desired state declares.
pub(super) struct HostRuntime {
    pub(super) launcher: Launcher,
    pub(super) artifacts: Artifacts,
    /// Fetches images from other hosts.
    pub(super) exchange: ExchangeClient,
    pub(super) builtins: Builtins,
    /// Programs that desired state can name.
    #[cfg(feature = "process")]
    pub(super) programs: Arc<ProgramSettings>,
}

impl Runtime for HostRuntime {
    fn prepare(&self, job: Arc<WorkItem>) -> BoxFuture<'_, Result<Prepared, RuntimeError>> {
        Box::pin(async move {
            match &job.work {
                Work::Actor { .. } => self.actor(&job).await,
                Work::Provider { kind, digest } => self.provider(&job, kind, *digest).await,
                _ => Err(RuntimeError::new(
                    "this host does not know this kind of component; update it",
                )),
            }
        })
    }
}

impl HostRuntime {
    async fn actor(&self, job: &WorkItem) -> Result<Prepared, RuntimeError> {
        let Work::Actor {
            image,
            digest,
            limits,
            instance,
        } = &job.work
        else {
            return Err(RuntimeError::new("it isn't an actor"));
        };
        let fetch = self.bytes(&job.component, image, *digest);
        let late = || {
            let reason = format!(
                "{image} was not fetched within {FETCH_WITHIN:?}; check the network and the image's source"
            );
            RuntimeError::new(reason).image_away()
        };
        let fetched = timeout(FETCH_WITHIN, fetch).await;
        let bytes = fetched.unwrap_or_else(|_| Err(late()))?;
        let host = self.launcher.node.host_id().as_str();
        let mut actor = Actor::from_bytes(bytes)
            .env("LATTICE_HOST", host)
            .limits(with(self.launcher.limits, limits))
            .instances(match instance {
                InstanceMode::Warm => Instances::warm(),
                _ => Instances::Fresh,
            });
        for (key, value) in self.config_of(job).await? {
            actor = actor.config(key, value);
        }
        let prepared = self.launcher.prepare(job.component.clone(), actor).await;
        let (service, limits) = prepared
            .map_err(|error| RuntimeError::of(&error))?
            .into_service();
        Ok(Prepared { service, limits })
    }

    /// Returns the config of an actor, with the texts of the files and variables that it names.
    async fn config_of(&self, job: &WorkItem) -> Result<BTreeMap<String, String>, RuntimeError> {
        let (config, access) = (job.config.clone(), self.builtins.access.clone());
        let read = move || access.scope(|| read_places(&config));
        let read = tokio::task::spawn_blocking(read).await;
        let read = read.map_err(|error| RuntimeError::of(&error))?;
        read.map_err(|refusal| RuntimeError::new(refusal.reason()))
    }

    async fn provider(
        &self,
        job: &WorkItem,
        kind: &ProviderKind,
        digest: Option<ImageDigest>,
    ) -> Result<Prepared, RuntimeError> {
        let name = match kind {
            ProviderKind::Builtin(name) => name,
            ProviderKind::Image(image) => return self.process(job, image, digest).await,
            _ => {
                return Err(RuntimeError::new(
                    "this host does not know this kind of provider; update it",
                ));
            }
        };
        let Some(make) = self.builtins.factories.get(name) else {
            let known: Vec<&str> = self.builtins.factories.keys().map(String::as_str).collect();
            let known = known.join("`, `");
            let known = if known.is_empty() {
                "it has none".to_owned()
            } else {
                format!("it has `{known}`")
            };
            return Err(RuntimeError::new(format!(
                "this host has no provider called `{name}`: {known}; add it with `HostBuilder::builtin`, or keep it off this host with labels"
            )));
        };
        Ok(Prepared {
            service: self.builtins.access.scope(|| make(&job.config))?,
            limits: serve_limits(&self.launcher.limits),
        })
    }

    /// A provider in a process of its own.
    #[cfg(feature = "process")]
    async fn process(
        &self,
        job: &WorkItem,
        image: &Image,
        digest: Option<ImageDigest>,
    ) -> Result<Prepared, RuntimeError> {
        let failed = |error: &dyn std::error::Error| RuntimeError::of(error);
        let (settings, named) = (self.programs.clone(), image.clone());
        let allowed = move || Programs::allowed(&settings.allowed, named);
        let allowed = tokio::task::spawn_blocking(allowed).await;
        let Some(image) = allowed.ok().flatten() else {
            return Err(RuntimeError::new(format!(
                "this host may not run `{image}`, or has no such file; name its folder or registry with `lattice up --programs` or `HostBuilder::programs`, or keep the provider off this host with labels"
            )));
        };
        let mut settings = job.config.clone();
        let program = match &image {
            Image::File(path) => Program::named(path, digest, &mut settings).await,
            Image::Oci(reference) => {
                let pinned = digest.map(|digest| reference.pinned(digest));
                let reference = pinned.as_ref().unwrap_or(reference);
                let fetch = self.artifacts.fetch_program(reference);
                let fetched = fetch
                    .await
                    .map_err(|error| not_fetched(&error, failed(&error)))?;
                let folder = self.programs.folder.clone();
                let installed = Installed::new(fetched.bytes, fetched.digest, folder).await;
                installed.and_then(|installed| Program::installed(installed, &mut settings))
            }
            _ => {
                return Err(RuntimeError::new(format!(
                    "a host can't run a provider from `{image}`; name its program as `file:/path`, or its image in a registry"
                )));
            }
        };
        let program = program.map_err(|error| failed(&error))?;
        let node = &self.launcher.node;
        let (component, host) = (job.component.clone(), node.host_id().clone());
        let limits = serve_limits(&self.launcher.limits);
        let service = ProcessService::new(ProcessSettings {
            program,
            settings,
            access: self.builtins.access.clone(),
            limits,
            log: Arc::new(ActorLog::new(component, host, node.log_sink())),
        });
        Ok(Prepared {
            service: Arc::new(service),
            limits,
        })
    }

    #[cfg(not(feature = "process"))]
    #[expect(
        clippy::unused_async,
        clippy::unused_self,
        reason = "it does something with the feature"
    )]
    async fn process(
        &self,
        _: &WorkItem,
        image: &Image,
        _: Option<ImageDigest>,
    ) -> Result<Prepared, RuntimeError> {
        Err(RuntimeError::new(format!(
            "this host can't run a provider from an image such as `{image}`; build the host with the feature `process` of `lattice-mesh-host`, or the provider into it with `HostBuilder::builtin`"
        )))
    }

    async fn bytes(
        &self,
        component: &ComponentId,
        image: &Image,
        digest: Option<ImageDigest>,
    ) -> Result<Bytes, RuntimeError> {
        let named = digest.or_else(|| image.digest());
        let (image, expected) = match (image, named) {
            // Desired state has the digest of the manifest, as registries do.
            (Image::Oci(reference), Some(manifest)) => {
                (Image::Oci(reference.pinned(manifest)), None)
            }
            (Image::Oci(_), None) => (image.clone(), None),
            (image, named) => (image.clone(), named),
        };
        let fetched = self.artifacts.fetch(&image, expected);
        match named {
            Some(digest) => self.fetched_or_exchanged(component, digest, fetched).await,
            None => fetched
                .await
                .map(|artifact| artifact.bytes)
                .map_err(|error| not_fetched(&error, RuntimeError::of(&error))),
        }
    }

    /// Waits for `fetched`, or fetches the image from another host when that fails or takes long.
    async fn fetched_or_exchanged(
        &self,
        component: &ComponentId,
        digest: ImageDigest,
        fetched: impl Future<Output = Result<Artifact, FetchError>>,
    ) -> Result<Bytes, RuntimeError> {
        let mut fetched = pin!(fetched);
        let others = pin!(self.get_elsewhere(component, digest));
        let (first, second) = match timeout(SLOW, &mut fetched).await {
            Ok(Ok(artifact)) => return Ok(artifact.bytes),
            Ok(Err(error)) => (error, others.await),
            Err(_) => match select(fetched, others).await {
                Either::Left((Ok(artifact), _)) => return Ok(artifact.bytes),
                Either::Left((Err(error), others)) => (error, others.await),
                Either::Right((Ok(bytes), _)) => return Ok(bytes),
                Either::Right((Err(other), fetched)) => match fetched.await {
                    Ok(artifact) => return Ok(artifact.bytes),
                    Err(error) => (error, Err(other)),
                },
            },
        };
        second.map_err(|other| {
            let error = RuntimeError::new(format!("{first}; {other}"));
            not_fetched(&first, error)
        })
    }

    /// Fetches the image from another host, and keeps it in the cache.
    async fn get_elsewhere(
        &self,
        component: &ComponentId,
        image: ImageDigest,
    ) -> Result<Bytes, ExchangeError> {
        let mut last = Bytes::new();
        for bytes in self.exchange.component(component, image).await? {
            last = self.artifacts.keep(bytes).await.bytes;
        }
        tracing::info!(%component, %image, "fetched a component from another host");
        Ok(last)
    }
}

/// Marks the error of a start that failed because its image was unavailable. An image that was
/// fetched and can't be used counts as a failure of the component.
fn not_fetched(why: &FetchError, error: RuntimeError) -> RuntimeError {
    match why {
        FetchError::NotWasm { .. }
        | FetchError::Manifest { .. }
        | FetchError::Platforms { .. }
        | FetchError::TooLarge { .. } => error,
        _ => error.image_away(),
    }
}

/// Returns the host's limits with the app's overrides.
fn with(host: Limits, app: &LimitOverrides) -> Limits {
    let count = |count: NonZeroU32| NonZeroUsize::try_from(count).unwrap_or(NonZeroUsize::MAX);
    Limits {
        memory: app.memory.map_or(host.memory, ByteSize::bytes),
        cpu: app.cpu.or(host.cpu),
        wall: app.wall.or(host.wall),
        concurrent: app.concurrent.map_or(host.concurrent, count),
        queued: app.queued.map_or(host.queued, |queued| queued as usize),
        result: app.result.map_or(host.result, ByteSize::bytes),
        table_elements: app
            .table_elements
            .map_or(host.table_elements, |elements| elements as usize),
        outgoing: app.outgoing.map_or(host.outgoing, count),
        outgoing_bytes: app
            .outgoing_bytes
            .map_or(host.outgoing_bytes, ByteSize::bytes),
        handles: app.handles.map_or(host.handles, count),
        kept: app.kept.unwrap_or(host.kept),
        reuse: Reuse {
            concurrent: app.reuse.concurrent.map(count).or(host.reuse.concurrent),
            requests: app.reuse.requests.map(count).or(host.reuse.requests),
            idle: app.reuse.idle.or(host.reuse.idle),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_overrides_the_limits_that_it_sets() {
        let host = Limits::default().kept(Duration::from_secs(7));
        let mut app = LimitOverrides::default();
        assert_eq!(with(host, &app), host);
        app.handles = NonZeroU32::new(3);
        let three = with(host, &app);
        assert_eq!(
            three,
            host.handles(NonZeroUsize::MIN.saturating_add(2)),
            "only that one"
        );
        app.kept = Some(Duration::from_secs(90));
        let kept = three.kept(Duration::from_secs(90));
        assert_eq!(with(host, &app), kept);
        let host = host.reuse(host.reuse.requests(NonZeroUsize::new(5)));
        app.reuse.concurrent = NonZeroU32::new(2);
        app.reuse.idle = Some(Duration::from_secs(4));
        let reuse = Reuse::default().concurrent(NonZeroUsize::MIN.saturating_add(1));
        let reuse = reuse.requests(NonZeroUsize::new(5));
        let reuse = reuse.idle(Duration::from_secs(4));
        assert_eq!(with(host, &app), kept.reuse(reuse));
        app.reuse.requests = NonZeroU32::new(6);
        let reuse = reuse.requests(NonZeroUsize::new(6));
        assert_eq!(with(host, &app), kept.reuse(reuse));
    }

    #[test]
    fn only_an_available_image_counts_against_its_version() {
        let image = || "file:a.wasm".to_owned();
        let is_away =
            |error: &FetchError| not_fetched(error, RuntimeError::of(error)).is_image_away();
        let digest = ImageDigest::of(b"");
        for away in [
            FetchError::NotHere { image: image() },
            FetchError::Deadline {
                image: image(),
                after: SLOW,
            },
            FetchError::Mismatch {
                image: image(),
                expected: digest,
                found: digest,
            },
        ] {
            assert!(is_away(&away), "{away}");
        }
        let found = "a text".to_owned();
        let wrong = FetchError::NotWasm {
            image: image(),
            found,
        };
        assert!(!is_away(&wrong), "{wrong}");
    }
}
