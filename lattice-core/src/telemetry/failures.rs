//! Tells other hosts which calls have failed on this one. Any member may ask, also one that sends
//! no heartbeats.

use crate::{
    call::{CallError, FunctionRef},
    name::{ComponentId, FunctionName, InterfaceName, NameError},
    serve::{Answer, Request, Service},
    server::Server,
    types::{ComponentTypes, InterfaceTypes},
    value::{from_bytes, to_bytes},
    wire::Source,
};
use bytes::Bytes;
use std::sync::{Arc, Weak};

struct FailureService {
    /// The server has the service.
    server: Weak<Server>,
    types: Arc<ComponentTypes>,
}

/// Has the node answer the requests of others from now on.
pub(crate) fn start(server: &Arc<Server>) -> Result<(), NameError> {
    let function = function()?;
    let mut functions = InterfaceTypes::default();
    let text = function.signature().to_owned();
    functions
        .functions
        .insert(function.function().clone(), text);
    let mut types = ComponentTypes::default();
    types
        .exports
        .insert(function.interface().clone(), functions);
    server.serve_failures(Arc::new(FailureService {
        server: Arc::downgrade(server),
        types: Arc::new(types),
    }))
}

/// The function that hosts serve to each other: from a component, or none for all of them, to the
/// calls of it that have failed. Calls carry the hash of these texts. A change of what they mean
/// needs another version, which older hosts refuse.
pub(crate) fn function() -> Result<FunctionRef, NameError> {
    let interface = InterfaceName::new("lattice:core/failures@0.1.0")?;
    let name = FunctionName::new("latest")?;
    let signature = "func(component: option<string>) -> failed-calls";
    Ok(FunctionRef::new(interface, name, signature))
}

impl FailureService {
    fn answer(&self, request: &Request) -> Result<Bytes, CallError> {
        if !matches!(request.source, Source::Host(_)) {
            return Err(CallError::OperatorDenied);
        }
        let asked = from_bytes(&request.args).map_err(|error| CallError::BadArguments {
            reason: error.to_string(),
        });
        let (component,): (Option<ComponentId>,) = asked?;
        let server = self.server.upgrade();
        let failed = server.map(|server| server.failed_calls(component.as_ref()));
        to_bytes(&failed.unwrap_or_default()).map_err(|error| CallError::BadResult {
            reason: error.to_string(),
        })
    }
}

impl Service for FailureService {
    fn types(&self) -> Arc<ComponentTypes> {
        self.types.clone()
    }

    fn errors_are_its_own(&self) -> bool {
        true
    }

    fn call(&self, request: Request) -> Answer {
        Answer::Ready(self.answer(&request))
    }
}
