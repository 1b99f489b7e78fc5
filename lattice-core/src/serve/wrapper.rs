//! Services around other services.

use super::{Answer, ProcessUsage, Request, Service, Site};
use crate::{
    id::Origin,
    link::{Link, LinkKey},
    name::ComponentId,
    types::ComponentTypes,
};
use futures_util::future::BoxFuture;
use std::sync::Arc;

/// A service around another one. It is a [`Service`] whose methods are those of the service inside,
/// but for what is overridden here.
///
/// A method of [`Service`] that isn't in this trait always reaches the service inside, also one
/// that is added later. So a wrapper can't lose a method because it doesn't know of it.
///
/// ```
/// use lattice_core::serve::{Answer, Functions, Request, Service, Wrapper};
/// use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
///
/// struct Counted { inner: Arc<dyn Service>, calls: AtomicU64 }
///
/// impl Wrapper for Counted {
///     fn inner(&self) -> &dyn Service {
///         &*self.inner
///     }
///
///     fn call(&self, request: Request) -> Answer {
///         self.calls.fetch_add(1, Ordering::Relaxed);
///         self.inner.call(request)
///     }
/// }
///
/// let inner = Arc::new(Functions::new());
/// let counted: Arc<dyn Service> = Arc::new(Counted { inner, calls: AtomicU64::new(0) });
/// # let _ = counted;
/// ```
pub trait Wrapper: Send + Sync + 'static {
    /// Returns the service inside. It is the same one each time.
    fn inner(&self) -> &dyn Service;

    /// As [`Service::types`].
    fn types(&self) -> Arc<ComponentTypes> {
        self.inner().types()
    }

    /// As [`Service::call`].
    fn call(&self, request: Request) -> Answer {
        self.inner().call(request)
    }

    /// As [`Service::errors_are_its_own`].
    fn errors_are_its_own(&self) -> bool {
        self.inner().errors_are_its_own()
    }

    /// As [`Service::restore`].
    fn restore(&self, resource: &str, request: Request) -> Answer {
        self.inner().restore(resource, request)
    }

    /// As [`Service::started`].
    fn started(&self, site: &Site) -> BoxFuture<'static, Result<(), String>> {
        self.inner().started(site)
    }
}

#[deny(
    clippy::missing_trait_methods,
    reason = "a method that isn't passed on is lost without a sign"
)]
impl<W: Wrapper> Service for W {
    fn types(&self) -> Arc<ComponentTypes> {
        Wrapper::types(self)
    }

    fn call(&self, request: Request) -> Answer {
        Wrapper::call(self, request)
    }

    fn errors_are_its_own(&self) -> bool {
        Wrapper::errors_are_its_own(self)
    }

    fn unserved(&self) -> Option<String> {
        self.inner().unserved()
    }

    fn placed(&self, component: &ComponentId, on: &Origin) {
        self.inner().placed(component, on);
    }

    fn has_life(&self) -> bool {
        self.inner().has_life()
    }

    fn started(&self, site: &Site) -> BoxFuture<'static, Result<(), String>> {
        Wrapper::started(self, site)
    }

    fn stopped(&self, site: &Site) -> BoxFuture<'static, ()> {
        self.inner().stopped(site)
    }

    fn is_elsewhere(&self) -> bool {
        self.inner().is_elsewhere()
    }

    fn process(&self) -> Option<ProcessUsage> {
        self.inner().process()
    }

    fn takes_replicas(&self) -> bool {
        self.inner().takes_replicas()
    }

    fn has_health(&self) -> bool {
        self.inner().has_health()
    }

    fn health(&self) -> BoxFuture<'static, Result<(), String>> {
        self.inner().health()
    }

    fn health_changed(&self) -> BoxFuture<'static, ()> {
        self.inner().health_changed()
    }

    fn restores(&self) -> bool {
        self.inner().restores()
    }

    fn restore(&self, resource: &str, request: Request) -> Answer {
        Wrapper::restore(self, resource, request)
    }

    fn linked(&self, link: Arc<Link>) -> BoxFuture<'static, Result<(), String>> {
        self.inner().linked(link)
    }

    fn unlinked(&self, link: &LinkKey) {
        self.inner().unlinked(link);
    }

    fn streams_ended(&self, component: &ComponentId) -> BoxFuture<'static, ()> {
        self.inner().streams_ended(component)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        call::{Context, FunctionRef},
        id::Source,
        name::{FunctionName, HostId, InterfaceName},
        serve::CallerInstance,
        sync::Mutex,
    };
    use bytes::Bytes;
    use futures_util::future::{self, FutureExt as _};

    /// Records the names of its methods that are called, and returns what no default returns.
    #[derive(Default)]
    struct Noting(Mutex<Vec<&'static str>>);

    impl Noting {
        fn note(&self, method: &'static str) {
            self.0.lock().push(method);
        }

        fn notes<T: Send + 'static>(
            &self,
            method: &'static str,
            value: T,
        ) -> BoxFuture<'static, T> {
            self.note(method);
            future::ready(value).boxed()
        }

        fn is(&self, method: &'static str) -> bool {
            self.note(method);
            true
        }
    }

    #[deny(
        clippy::missing_trait_methods,
        reason = "the test is about all methods"
    )]
    impl Service for Noting {
        fn types(&self) -> Arc<ComponentTypes> {
            self.note("types");
            Arc::default()
        }

        fn call(&self, _: Request) -> Answer {
            self.note("call");
            Answer::Ready(Ok(Bytes::new()))
        }

        fn errors_are_its_own(&self) -> bool {
            self.is("errors_are_its_own")
        }

        fn unserved(&self) -> Option<String> {
            self.note("unserved");
            Some("a function".to_owned())
        }

        fn placed(&self, _: &ComponentId, _: &Origin) {
            self.note("placed");
        }

        fn has_life(&self) -> bool {
            self.is("has_life")
        }

        fn started(&self, _: &Site) -> BoxFuture<'static, Result<(), String>> {
            self.notes("started", Ok(()))
        }

        fn stopped(&self, _: &Site) -> BoxFuture<'static, ()> {
            self.notes("stopped", ())
        }

        fn is_elsewhere(&self) -> bool {
            self.is("is_elsewhere")
        }

        fn process(&self) -> Option<ProcessUsage> {
            self.note("process");
            None
        }

        fn takes_replicas(&self) -> bool {
            self.is("takes_replicas")
        }

        fn has_health(&self) -> bool {
            self.is("has_health")
        }

        fn health(&self) -> BoxFuture<'static, Result<(), String>> {
            self.notes("health", Ok(()))
        }

        fn health_changed(&self) -> BoxFuture<'static, ()> {
            self.notes("health_changed", ())
        }

        fn restores(&self) -> bool {
            self.is("restores")
        }

        fn restore(&self, _: &str, _: Request) -> Answer {
            self.note("restore");
            Answer::Ready(Ok(Bytes::new()))
        }

        fn linked(&self, _: Arc<Link>) -> BoxFuture<'static, Result<(), String>> {
            self.notes("linked", Ok(()))
        }

        fn unlinked(&self, _: &LinkKey) {
            self.note("unlinked");
        }

        fn streams_ended(&self, _: &ComponentId) -> BoxFuture<'static, ()> {
            self.notes("streams_ended", ())
        }
    }

    struct Around(Arc<Noting>);

    impl Wrapper for Around {
        fn inner(&self) -> &dyn Service {
            &*self.0
        }
    }

    fn request() -> Request {
        let interface = InterfaceName::new("test:inside/api@0.1.0").expect("an interface");
        let function = FunctionName::new("go").expect("a function");
        Request {
            component: ComponentId::new("inside").expect("an id"),
            function: FunctionRef::new(interface, function, "func()").key(),
            source: Source::Operator,
            link: None,
            wormhole_link: None,
            args: Bytes::new(),
            handles: Vec::new(),
            caller: CallerInstance::Here,
            context: Context::default(),
        }
    }

    #[test]
    fn every_method_reaches_the_service_inside() {
        let noting = Arc::new(Noting::default());
        let around: Arc<dyn Service> = Arc::new(Around(noting.clone()));
        let component = ComponentId::new("inside").expect("an id");
        let origin = Origin::new(HostId::new("host").expect("a host"), 1);
        let site = Site::new(component.clone(), origin.clone(), Arc::new(()));
        let link = Link::new("app", "test:inside/api@0.1.0", "inside").expect("a link");

        around.types();
        assert!(matches!(around.call(request()), Answer::Ready(Ok(_))));
        assert!(around.errors_are_its_own());
        assert_eq!(around.unserved().as_deref(), Some("a function"));
        around.placed(&component, &origin);
        assert!(around.has_life());
        drop(around.started(&site));
        drop(around.stopped(&site));
        assert!(around.is_elsewhere());
        assert!(around.process().is_none());
        assert!(around.takes_replicas());
        assert!(around.has_health());
        drop(around.health());
        assert!(around.health_changed().now_or_never().is_some());
        assert!(around.restores());
        let restored = around.restore("test:inside/api/thing", request());
        assert!(matches!(restored, Answer::Ready(Ok(_))));
        drop(around.linked(Arc::new(link.clone())));
        around.unlinked(&link.key());
        drop(around.streams_ended(&component));

        assert_eq!(
            *noting.0.lock(),
            [
                "types",
                "call",
                "errors_are_its_own",
                "unserved",
                "placed",
                "has_life",
                "started",
                "stopped",
                "is_elsewhere",
                "process",
                "takes_replicas",
                "has_health",
                "health",
                "health_changed",
                "restores",
                "restore",
                "linked",
                "unlinked",
                "streams_ended",
            ]
        );
    }
}
