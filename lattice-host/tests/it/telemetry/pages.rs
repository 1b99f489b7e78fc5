//! A provider that has pages in a backend, and can refuse a request as one that is overloaded.

use bytes::Bytes;
use lattice_core::{
    call::{CallError, FunctionRef},
    name::InterfaceName,
    serve::{Answer, Request as Called, Service, Wrapper},
    types::ComponentTypes,
};
use lattice_provider_sdk::{BackendRequest, Call, IntoService, Stateless};
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// The name of the handler's interface for the actors that call it.
pub(super) const OUTGOING: &str = "wasi:http/outgoing-handler@0.2.0";

lattice_provider_sdk::provider!({ inline: "
    package test:pages;
    world pages { export lattice:http/handler@0.1.0; }
" });

use lattice::http::{
    handler::Handler,
    types::{ErrorCode, Request, RequestOptions, Response},
};

/// The provider. Clones share what is to be refused.
#[derive(Clone, Default)]
pub(super) struct Pages(Arc<AtomicBool>);

impl Pages {
    /// Refuses the next request, on whichever host it comes to.
    pub(super) fn refuse_once(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl IntoService for Pages {
    fn into_service(self) -> Arc<dyn Service> {
        Arc::new(Refusing {
            refuses: self.0,
            pages: Backed.into_service(),
        })
    }
}

/// Serves the pages.
struct Backed;

impl Stateless for Backed {
    type World = World;
}

impl Handler for Backed {
    async fn handle(
        &self,
        call: &Call<Self>,
        _: Request,
        _: RequestOptions,
    ) -> Result<Response, ErrorCode> {
        let request = BackendRequest {
            namespace: "pages",
            ..BackendRequest::new("test", "get")
        };
        let page = async { Ok::<_, Infallible>(Bytes::from_static(b"a page")) };
        let Ok(content) = call.backend(request, page).await;
        Ok(Response {
            status: 200,
            headers: Vec::new(),
            content,
            body: None,
            trailers: None,
        })
    }
}

/// The provider's service, in front of which a call may be refused.
struct Refusing {
    refuses: Arc<AtomicBool>,
    pages: Arc<dyn Service>,
}

impl Wrapper for Refusing {
    fn inner(&self) -> &dyn Service {
        &*self.pages
    }

    /// It refuses calls as a host does whose queue is full.
    fn errors_are_its_own(&self) -> bool {
        true
    }

    /// Adds the name under which actors make requests.
    fn types(&self) -> Arc<ComponentTypes> {
        let mut types = ComponentTypes::clone(&self.pages.types());
        let handler = types.exports.values().next().cloned();
        let name = InterfaceName::new(OUTGOING).expect("a name");
        types
            .exports
            .extend(handler.map(|functions| (name, functions)));
        Arc::new(types)
    }

    fn call(&self, mut request: Called) -> Answer {
        if self.refuses.swap(false, Ordering::SeqCst) {
            let component = request.component;
            return Answer::Ready(Err(CallError::Overloaded { component }));
        }
        // Under its own name.
        let types = self.pages.types();
        let (interface, functions) = types.exports.first_key_value().expect("an interface");
        let (name, signature) = functions.functions.first_key_value().expect("a function");
        let function = FunctionRef::new(interface.clone(), name.clone(), signature);
        request.function = function.key();
        self.pages.call(request)
    }
}
