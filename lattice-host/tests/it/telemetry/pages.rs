//! A provider that has pages in a backend, and can refuse a request as one that is overloaded.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use lattice_core::{
    call::CallError,
    id::Origin,
    link::{Link, LinkKey},
    name::ComponentId,
    serve::{Answer, Request as Called, Service, Site},
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
            system: "test",
            operation: "get",
            namespace: "pages",
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

impl Service for Refusing {
    fn types(&self) -> Arc<ComponentTypes> {
        self.pages.types()
    }

    fn call(&self, request: Called) -> Answer {
        if self.refuses.swap(false, Ordering::SeqCst) {
            let component = request.component;
            return Answer::Ready(Err(CallError::Overloaded { component }));
        }
        self.pages.call(request)
    }

    fn placed(&self, component: &ComponentId, on: &Origin) {
        self.pages.placed(component, on);
    }

    fn has_life(&self) -> bool {
        self.pages.has_life()
    }

    fn started(&self, site: &Site) -> BoxFuture<'static, Result<(), String>> {
        self.pages.started(site)
    }

    fn stopped(&self, site: &Site) -> BoxFuture<'static, ()> {
        self.pages.stopped(site)
    }

    fn linked(&self, link: Arc<Link>) -> BoxFuture<'static, Result<(), String>> {
        self.pages.linked(link)
    }

    fn unlinked(&self, link: &LinkKey) {
        self.pages.unlinked(link);
    }
}
