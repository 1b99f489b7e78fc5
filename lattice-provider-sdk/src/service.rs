//! Adapts a provider to the service that a node runs.

use crate::{
    bindings::{AttemptId, Bindings, Bound},
    config,
    flow::ResourceType,
    homes::{Arguments, Homes},
    provider::{Call, Dispatch, Instance, PortableTypes, Provider, Refusal, Restore, Wanted},
    schema::ConfigSchema,
    world::WitWorld as _,
};
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use lattice_core::{
    call::{CallError, Ran},
    id::{Origin, Source},
    link::{Link, LinkKey},
    name::ComponentId,
    serve::{Answer, Request, Service, Site},
    stream::{Body, Handle},
    types::ComponentTypes,
};
use std::{
    future,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// A value that a node can serve: every [`Provider`], and every [`Service`].
pub trait IntoService {
    /// Converts into the service that a node runs.
    fn into_service(self) -> Arc<dyn Service>;
}

impl<P: Provider> IntoService for P {
    fn into_service(self) -> Arc<dyn Service> {
        let portable = P::portable();
        let mut resources: Vec<ResourceType> = Vec::new();
        for resource in P::World::resources() {
            // Versions of an interface have the same names, and one type may stand for all of them.
            if !resources.iter().any(|known| known.is_same(&resource)) {
                resources.push(resource);
            }
        }
        portable.mark(&mut resources);
        let homes = Homes::new(resources, self.handles());
        let mut types = P::World::types();
        let schema = ConfigSchema::of::<P>(&mut types);
        Arc::new(ProviderService {
            portable,
            homes: Arc::new(homes),
            bound: Arc::new(BoundProvider {
                provider: Arc::new(self),
                bindings: Bindings::default(),
                started: AtomicUsize::new(0),
            }),
            types: Arc::new(types),
            schema,
        })
    }
}

impl IntoService for Arc<dyn Service> {
    fn into_service(self) -> Arc<dyn Service> {
        self
    }
}

struct ProviderService<P: Provider> {
    bound: Arc<BoundProvider<P>>,
    types: Arc<ComponentTypes>,
    schema: Option<ConfigSchema>,
    homes: Arc<Homes>,
    portable: PortableTypes<P>,
}

impl<P: Provider> Service for ProviderService<P> {
    fn types(&self) -> Arc<ComponentTypes> {
        self.types.clone()
    }

    /// Handlers return values, not errors of calls. Such errors come only from the arguments and
    /// the link, before the handler runs.
    fn errors_are_its_own(&self) -> bool {
        true
    }

    fn call(&self, request: Request) -> Answer {
        if let Some(schema) = &self.schema
            && let Some(answer) = schema.answer(request.function, &request.args)
        {
            return Answer::Ready(answer);
        }
        let provider = self.bound.provider.clone();
        let Some(link) = &request.link else {
            let call = unlinked_call(provider, self.homes.clone(), request);
            return Answer::Passing(call.boxed());
        };
        match self.bound.bindings.find(link) {
            Some(binding) => dispatch(provider, binding, &self.homes, request),
            None => Answer::Ready(Err(not_linked(link))),
        }
    }

    fn restores(&self) -> bool {
        !self.portable.is_empty()
    }

    fn restore(&self, resource: &str, request: Request) -> Answer {
        let rust = self.homes.rust_type(resource);
        let Some(restore) = rust.and_then(|rust| self.portable.restore(rust)) else {
            return Answer::Ready(Err(CallError::StaleHandle {
                resource: resource.to_owned(),
                reason: "it isn't portable at this replica of its provider".to_owned(),
                is_lost: true,
            }));
        };
        let binding = match &request.link {
            None => None,
            Some(link) => match self.bound.bindings.find(link) {
                Some(binding) => Some(binding),
                None => return Answer::Ready(Err(not_linked(link))),
            },
        };
        let restored = restored(
            Restoring {
                provider: self.bound.provider.clone(),
                homes: self.homes.clone(),
                resource: resource.to_owned(),
                binding,
                restore,
            },
            request,
        );
        Answer::Passing(restored.boxed())
    }

    fn placed(&self, component: &ComponentId, on: &Origin) {
        self.homes.add(component, on);
    }

    fn has_life(&self) -> bool {
        true
    }

    fn started(&self, site: &Site) -> BoxFuture<'static, Result<(), String>> {
        let (bound, instance) = (
            self.bound.clone(),
            Instance::new(site.clone(), self.homes.clone()),
        );
        // It may have stopped, and is served again.
        bound.bindings.reopen();
        let starting = async move {
            let started = bound.provider.start(&instance).await;
            if started.is_ok() {
                bound.started.fetch_add(1, Ordering::AcqRel);
            }
            started.map_err(|refusal| refusal.reason().to_owned())
        };
        starting.boxed()
    }

    /// It stops when it is served as no component any more.
    fn stopped(&self, site: &Site) -> BoxFuture<'static, ()> {
        let reason = "it was taken out of service";
        self.homes.end_of(site.component(), site.origin(), reason);
        if self.bound.started.fetch_sub(1, Ordering::AcqRel) > 1 {
            return future::ready(()).boxed();
        }
        for ended in self.bound.bindings.close() {
            self.bound.unlink_quietly(ended);
        }
        let bound = self.bound.clone();
        async move { bound.provider.stop().await }.boxed()
    }

    /// Which of them, its provider decides call by call.
    fn takes_replicas(&self) -> bool {
        true
    }

    fn has_health(&self) -> bool {
        true
    }

    fn health(&self) -> BoxFuture<'static, Result<(), String>> {
        let bound = self.bound.clone();
        let checking = async move {
            let found = bound.provider.health().await;
            found.map_err(|refusal| refusal.reason().to_owned())
        };
        checking.boxed()
    }

    fn linked(&self, link: Arc<Link>) -> BoxFuture<'static, Result<(), String>> {
        let attempt = Attempt::new(self.bound.clone(), link);
        async move { attempt.run().await }.boxed()
    }

    fn unlinked(&self, link: &LinkKey) {
        let ended = self.bound.bindings.end(link);
        self.bound.unlink(ended);
    }

    fn streams_ended(&self, component: &ComponentId) -> BoxFuture<'static, ()> {
        self.homes.streams_ended(component).boxed()
    }
}

impl<P: Provider> Drop for ProviderService<P> {
    fn drop(&mut self) {
        self.homes.end("it was taken out of service");
        for ended in self.bound.bindings.close() {
            self.bound.unlink_quietly(ended);
        }
    }
}

/// A provider and its bindings.
struct BoundProvider<P: Provider> {
    provider: Arc<P>,
    bindings: Bindings<P::Binding>,
    /// As how many components it was started.
    started: AtomicUsize,
}

impl<P: Provider> BoundProvider<P> {
    fn unlink(&self, ended: Option<Bound<P::Binding>>) {
        if let Some(Bound { link, binding }) = ended {
            self.provider.unlink(&link, &binding);
        }
    }

    /// Like `unlink`, for destructors: a panic in one may abort the process.
    fn unlink_quietly(&self, ended: Bound<P::Binding>) {
        let key = ended.link.key();
        let unlinked = std::panic::catch_unwind(AssertUnwindSafe(|| self.unlink(Some(ended))));
        if unlinked.is_err() {
            tracing::error!(link = %key, "the provider panicked in `unlink`");
        }
    }
}

/// One attempt to bind a link. Dropped before it succeeds (refused, out of time, panicked), it ends
/// the binding that the link had before it changed.
struct Attempt<P: Provider> {
    bound: Arc<BoundProvider<P>>,
    link: Arc<Link>,
    id: AttemptId,
    is_open: bool,
}

impl<P: Provider> Attempt<P> {
    fn new(bound: Arc<BoundProvider<P>>, link: Arc<Link>) -> Self {
        let id = bound.bindings.begin(&link);
        Self {
            bound,
            link,
            id,
            is_open: false,
        }
    }

    async fn run(mut self) -> Result<(), String> {
        if self.bound.bindings.is_closed() {
            return Err("the provider has stopped".to_owned());
        }
        let binding = self
            .binding()
            .await
            .map_err(|refusal| refusal.reason().to_owned())?;
        let ended = self
            .bound
            .bindings
            .open(self.id, self.link.clone(), binding);
        self.is_open = true;
        self.bound.unlink(ended);
        Ok(())
    }

    async fn binding(&self) -> Result<P::Binding, Refusal> {
        let config = config::parse(&self.link.config)?;
        self.bound.provider.link(&self.link, config).await
    }
}

impl<P: Provider> Drop for Attempt<P> {
    fn drop(&mut self) {
        if !self.is_open
            && let Some(ended) = self.bound.bindings.refuse(self.id, &self.link)
        {
            self.bound.unlink_quietly(ended);
        }
    }
}

/// What makes a resource anew.
struct Restoring<P: Provider> {
    provider: Arc<P>,
    homes: Arc<Homes>,
    resource: String,
    /// `None` for an operator, another replica or a wormhole.
    binding: Option<Arc<P::Binding>>,
    restore: Restore<P>,
}

/// Makes a portable resource anew, and returns its handle.
async fn restored<P: Provider>(
    restoring: Restoring<P>,
    request: Request,
) -> Result<Body, CallError> {
    let Restoring {
        provider,
        homes,
        resource,
        binding,
        restore,
    } = restoring;
    let binding = match binding {
        Some(binding) => binding,
        None => Arc::new(unlinked_binding(&*provider, &request).await?),
    };
    let home = homes.of_call(&request.component, &request.handles)?;
    let (call, token, _) = Call::new(request, binding);
    let wanted = Wanted {
        resource,
        token,
        home,
    };
    let owned = restore(provider, call, wanted).await?;
    Ok(Body {
        bytes: Bytes::from_static(&[0]),
        handles: vec![Handle::Own(owned)],
    })
}

/// Returns the binding for a call without a link, which an operator, another replica or a wormhole
/// makes.
async fn unlinked_binding<P: Provider>(
    provider: &P,
    request: &Request,
) -> Result<P::Binding, CallError> {
    let wormhole = match &request.source {
        Source::Wormhole(wormhole) => wormhole,
        Source::Host(_) => {
            let binding = provider.replica().await;
            return binding.ok_or_else(|| CallError::Unrecognised {
                ran: Ran::No,
                message: format!(
                    "provider `{}` takes no calls of its other replicas",
                    request.component
                ),
            });
        }
        _ => return provider.operator().await.ok_or(CallError::OperatorDenied),
    };
    let link = request.wormhole_link.clone().unwrap_or_default();
    let binding = provider.wormhole(wormhole, &link).await;
    binding.ok_or_else(|| CallError::WormholeClosed {
        wormhole: wormhole.clone(),
        reason: format!(
            "provider `{}` takes no calls of wormholes; let the wormhole lead to another component",
            request.component
        ),
    })
}

async fn unlinked_call<P: Provider>(
    provider: Arc<P>,
    homes: Arc<Homes>,
    request: Request,
) -> Result<Body, CallError> {
    let binding = unlinked_binding(&*provider, &request).await?;
    match dispatch(provider, Arc::new(binding), &homes, request) {
        Answer::Ready(result) => result.map(Body::from),
        Answer::Later(result) => result.await.map(Body::from),
        Answer::Passing(result) => result.await,
    }
}

fn dispatch<P: Provider>(
    provider: Arc<P>,
    binding: Arc<P::Binding>,
    homes: &Arc<Homes>,
    request: Request,
) -> Answer {
    let (call, bytes, handles) = Call::new(request, binding);
    if let Err(refusal) = provider.admit(&call) {
        return Answer::Ready(Err(refused(&call, refusal.reason())));
    }
    let args = Arguments {
        bytes,
        handles,
        homes: homes.clone(),
    };
    P::World::dispatch(provider, call, args)
}

/// Returns the error of a call that the provider does not admit.
fn refused<P: Provider>(call: &Call<P>, reason: &str) -> CallError {
    let reason = reason.to_owned();
    match call.link() {
        Some(link) => CallError::LinkRejected {
            source_id: link.source.clone(),
            link: link.name.clone(),
            reason,
        },
        None => CallError::Unrecognised {
            ran: Ran::No,
            message: reason,
        },
    }
}

/// Returns the error of a call whose link was deleted after the grant was checked.
fn not_linked(link: &Link) -> CallError {
    CallError::NotLinked {
        source_id: link.source.clone(),
        interface: link.interface.to_string(),
        link: link.name.clone(),
    }
}
