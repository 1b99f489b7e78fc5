//! A provider as the service that a node runs.

use crate::{
    Call, Provider, Refusal, config,
    sessions::{Ended, Sessions, Turn},
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
                sessions: Sessions::default(),
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
        match self.life.sessions.find(link) {
            Some(session) => dispatch(provider, session, request),
            None => Answer::Ready(Err(not_linked(link))),
        }
    }

    fn linked(&self, link: Arc<Link>) -> BoxFuture<'static, Result<(), String>> {
        let asking = Asking::new(self.life.clone(), link);
        async move { asking.run().await }.boxed()
    }

    fn unlinked(&self, link: &LinkKey) {
        let ended = self.life.sessions.end(link);
        self.life.unlink(ended);
    }
}

impl<P: Provider> Drop for ProviderService<P> {
    fn drop(&mut self) {
        for ended in self.life.sessions.close() {
            self.life.unlink_quietly(ended);
        }
    }
}

/// A provider and its sessions.
struct Life<P: Provider> {
    provider: Arc<P>,
    sessions: Sessions<P::Session>,
}

impl<P: Provider> Life<P> {
    fn unlink(&self, ended: Option<Ended<P::Session>>) {
        if let Some(Ended { link, session }) = ended {
            self.provider.unlink(&link, &session);
        }
    }

    /// The same from a destructor, where a panic would bring down the process.
    fn unlink_quietly(&self, ended: Ended<P::Session>) {
        let key = ended.link.key();
        let told = std::panic::catch_unwind(AssertUnwindSafe(|| self.unlink(Some(ended))));
        if told.is_err() {
            tracing::error!(link = %key, "the provider panicked while a link was taken away");
        }
    }
}

/// One asking for a session. Dropped without one (refused, out of time, a panic), it ends the session that the link had
/// before it changed.
struct Asking<P: Provider> {
    life: Arc<Life<P>>,
    link: Arc<Link>,
    turn: Turn,
    open: bool,
}

impl<P: Provider> Asking<P> {
    fn new(life: Arc<Life<P>>, link: Arc<Link>) -> Self {
        let turn = life.sessions.ask(&link);
        Self {
            life,
            link,
            turn,
            open: false,
        }
    }

    async fn run(mut self) -> Result<(), String> {
        let session = self
            .session()
            .await
            .map_err(|refusal| refusal.reason().to_owned())?;
        let ended = self
            .life
            .sessions
            .open(self.turn, self.link.clone(), session);
        self.open = true;
        self.life.unlink(ended);
        Ok(())
    }

    async fn session(&self) -> Result<P::Session, Refusal> {
        let config = config::parse(&self.link.config)?;
        self.life.provider.link(&self.link, config).await
    }
}

impl<P: Provider> Drop for Asking<P> {
    fn drop(&mut self) {
        if !self.open
            && let Some(ended) = self.life.sessions.refuse(self.turn, &self.link)
        {
            self.life.unlink_quietly(ended);
        }
    }
}

async fn operator_call<P: Provider>(
    provider: Arc<P>,
    request: Request,
) -> Result<bytes::Bytes, CallError> {
    let session = provider.operator().await.ok_or(CallError::OperatorDenied)?;
    match dispatch(provider, Arc::new(session), request) {
        Answer::Ready(result) => result,
        Answer::Later(result) => result.await,
    }
}

fn dispatch<P: Provider>(provider: Arc<P>, session: Arc<P::Session>, request: Request) -> Answer {
    let (call, args) = Call::new(request, session);
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
