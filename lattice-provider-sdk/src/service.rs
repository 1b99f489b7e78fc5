//! A provider as the service that a node runs.

use crate::{
    Call, Provider, Refusal,
    bindings::{Bindings, Ended, Turn},
    config,
    world::{Dispatch, component_types},
};
use futures_util::future::{BoxFuture, FutureExt};
use lattice_core::{
    call::CallError,
    link::{Link, LinkKey},
    serve::{Answer, Request, Service},
    types::ComponentTypes,
};
use std::{panic::AssertUnwindSafe, sync::Arc};

/// What can be put into service: every [`Provider`], and a service that is one already.
pub trait IntoService {
    /// As what a node runs.
    fn into_service(self) -> Arc<dyn Service>;
}

impl<P: Provider> IntoService for P {
    fn into_service(self) -> Arc<dyn Service> {
        Arc::new(ProviderService {
            life: Arc::new(Life {
                provider: Arc::new(self),
                bindings: Bindings::default(),
            }),
            types: Arc::new(component_types::<P::World>()),
        })
    }
}

impl IntoService for Arc<dyn Service> {
    fn into_service(self) -> Arc<dyn Service> {
        self
    }
}

struct ProviderService<P: Provider> {
    life: Arc<Life<P>>,
    types: Arc<ComponentTypes>,
}

impl<P: Provider> Service for ProviderService<P> {
    fn types(&self) -> Arc<ComponentTypes> {
        self.types.clone()
    }

    fn call(&self, request: Request) -> Answer {
        let provider = self.life.provider.clone();
        let Some(link) = &request.link else {
            return Answer::Later(operator_call(provider, request).boxed());
        };
        match self.life.bindings.find(link) {
            Some(binding) => dispatch(provider, binding, request),
            None => Answer::Ready(Err(not_linked(link))),
        }
    }

    fn linked(&self, link: Arc<Link>) -> BoxFuture<'static, Result<(), String>> {
        let asking = Asking::new(self.life.clone(), link);
        async move { asking.run().await }.boxed()
    }

    fn unlinked(&self, link: &LinkKey) {
        let ended = self.life.bindings.end(link);
        self.life.unlink(ended);
    }
}

impl<P: Provider> Drop for ProviderService<P> {
    fn drop(&mut self) {
        for ended in self.life.bindings.close() {
            self.life.unlink_quietly(ended);
        }
    }
}

/// A provider and its bindings.
struct Life<P: Provider> {
    provider: Arc<P>,
    bindings: Bindings<P::Binding>,
}

impl<P: Provider> Life<P> {
    fn unlink(&self, ended: Option<Ended<P::Binding>>) {
        if let Some(Ended { link, binding }) = ended {
            self.provider.unlink(&link, &binding);
        }
    }

    /// The same from a destructor, where a panic would bring down the process.
    fn unlink_quietly(&self, ended: Ended<P::Binding>) {
        let key = ended.link.key();
        let told = std::panic::catch_unwind(AssertUnwindSafe(|| self.unlink(Some(ended))));
        if told.is_err() {
            tracing::error!(link = %key, "the provider panicked while a link was taken away");
        }
    }
}

/// One asking for a binding. Dropped without one (refused, out of time, a panic), it ends the binding that the link had
/// before it changed.
struct Asking<P: Provider> {
    life: Arc<Life<P>>,
    link: Arc<Link>,
    turn: Turn,
    open: bool,
}

impl<P: Provider> Asking<P> {
    fn new(life: Arc<Life<P>>, link: Arc<Link>) -> Self {
        let turn = life.bindings.ask(&link);
        Self {
            life,
            link,
            turn,
            open: false,
        }
    }

    async fn run(mut self) -> Result<(), String> {
        let binding = self
            .binding()
            .await
            .map_err(|refusal| refusal.reason().to_owned())?;
        let ended = self
            .life
            .bindings
            .open(self.turn, self.link.clone(), binding);
        self.open = true;
        self.life.unlink(ended);
        Ok(())
    }

    async fn binding(&self) -> Result<P::Binding, Refusal> {
        let config = config::parse(&self.link.config)?;
        self.life.provider.link(&self.link, config).await
    }
}

impl<P: Provider> Drop for Asking<P> {
    fn drop(&mut self) {
        if !self.open
            && let Some(ended) = self.life.bindings.refuse(self.turn, &self.link)
        {
            self.life.unlink_quietly(ended);
        }
    }
}

async fn operator_call<P: Provider>(
    provider: Arc<P>,
    request: Request,
) -> Result<bytes::Bytes, CallError> {
    let binding = provider.operator().await.ok_or(CallError::OperatorDenied)?;
    match dispatch(provider, Arc::new(binding), request) {
        Answer::Ready(result) => result,
        Answer::Later(result) => result.await,
    }
}

fn dispatch<P: Provider>(provider: Arc<P>, binding: Arc<P::Binding>, request: Request) -> Answer {
    let (call, args) = Call::new(request, binding);
    P::World::dispatch(provider, call, args)
}

/// The link was taken away between the check of the grant and now.
fn not_linked(link: &Link) -> CallError {
    CallError::NotLinked {
        source_id: link.source.clone(),
        interface: link.interface.to_string(),
        link: link.name.clone(),
    }
}
