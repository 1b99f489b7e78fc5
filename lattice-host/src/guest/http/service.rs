//! The function `handle` of an actor that serves HTTP.

#[cfg(feature = "p3")]
use super::shared::SharedPool;
use super::{HttpExport, incoming, response::Tasks};
use crate::{
    guest::{HostedActor, exclusive::ExclusivePool, nesting},
    http::exchange::{self, ErrorCode, request_from_wire, response_to_wire},
};
use lattice_core::{
    call::{CallError, Context},
    serve::Request,
    stream::{self, Handles},
};
use lattice_provider_sdk::__private::{streaming_arguments, streaming_result};
use std::sync::Arc;

/// What became of a request: the response, or the code with which the guest refused it.
pub(super) type Answered = Result<http::Response<exchange::Body>, ErrorCode>;

/// Serves the requests of an actor.
pub(in crate::guest) struct HttpService {
    actor: Arc<HostedActor>,
    /// Those in which guests go on after the head of their response. Their bodies keep them.
    tasks: Arc<Tasks>,
    kind: Kind,
}

enum Kind {
    /// An instance for each request, or an unused one of the pool.
    Incoming(Option<Arc<ExclusivePool>>),
    /// Instances that serve several requests.
    #[cfg(feature = "p3")]
    Shared(Arc<SharedPool>),
}

impl HttpService {
    /// Creates the service of an actor. `None` if it doesn't serve HTTP.
    pub(in crate::guest) fn new(
        actor: &Arc<HostedActor>,
        exclusive: Option<&Arc<ExclusivePool>>,
    ) -> Option<Arc<Self>> {
        let tasks = Arc::<Tasks>::default();
        let kind = match &actor.code.http.as_ref()?.export {
            HttpExport::Incoming(_) => Kind::Incoming(exclusive.cloned()),
            #[cfg(feature = "p3")]
            HttpExport::Handler(_) => Kind::Shared(SharedPool::new(actor.clone(), tasks.clone())),
        };
        Some(Arc::new(Self {
            actor: actor.clone(),
            tasks,
            kind,
        }))
    }

    /// Returns how many instances of its own no request uses.
    pub(in crate::guest) fn idle(&self) -> usize {
        match &self.kind {
            Kind::Incoming(_) => 0,
            #[cfg(feature = "p3")]
            Kind::Shared(pool) => pool.idle(),
        }
    }

    /// Serves a request. The result is there with the head of the response.
    ///
    /// # Errors
    /// Fails when the guest doesn't answer. What it answers, an error too, is a result.
    ///
    /// # Cancel safety
    /// Dropping the future ends what the guest does for the request.
    pub(in crate::guest) async fn handle(
        self: Arc<Self>,
        request: Request,
    ) -> Result<stream::Body, CallError> {
        let Request {
            args,
            handles,
            context,
            ..
        } = request;
        let (request, _) = arguments(&args, handles)?;
        let answered = match request_from_wire(request) {
            Ok(request) => nesting::enter(|| self.answer(request, context)).await?,
            Err(code) => Err(code),
        };
        streaming_result(answered.map(response_to_wire))
    }

    async fn answer(
        self: Arc<Self>,
        request: http::Request<exchange::Body>,
        context: Context,
    ) -> Result<Answered, CallError> {
        let export = self.actor.code.http.as_ref().map(|http| &http.export);
        match (&self.kind, export) {
            (Kind::Incoming(pool), Some(HttpExport::Incoming(export))) => {
                let served = incoming::Incoming {
                    actor: &self.actor,
                    pool: pool.clone(),
                    export,
                    tasks: &self.tasks,
                };
                served.answer(request, context).await
            }
            #[cfg(feature = "p3")]
            (Kind::Shared(pool), _) => pool.clone().answer(request, context).await,
            _ => Err(CallError::NotExported {
                component: self.actor.context.id.clone(),
                interface: exchange::HANDLER.to_owned(),
                function: "handle".to_owned(),
            }),
        }
    }
}

/// Decodes the arguments. The timeouts in the options are those of the caller, who applies them.
fn arguments(
    args: &bytes::Bytes,
    handles: Handles,
) -> Result<(exchange::Request, exchange::RequestOptions), CallError> {
    streaming_arguments(args, handles)
}
