//! Serving: what a component is to the lattice, whether native code or WebAssembly.

mod functions;
mod lease;
mod process;
mod site;
mod wrapper;

pub use functions::Functions;
pub(crate) use lease::Leased;
#[doc(hidden)]
pub use lease::{LeaseDeadline, LeaseLeft};
pub use process::ProcessUsage;
pub use site::Site;
pub use wrapper::Wrapper;

use crate::{
    call::{CallError, Context, Ran},
    id::{FunctionKey, Origin, Source},
    link::{Link, LinkKey},
    name::{ComponentId, LinkName},
    stream::{Body, Handles},
    types::ComponentTypes,
};
use bytes::Bytes;
use futures_util::future::{self, BoxFuture, FutureExt};
use std::sync::Arc;

/// A component that can be called. The provider SDK and the actor host implement it; a node hands
/// it only calls that a grant allows and whose function it exports.
///
/// A service that wraps another one implements [`Wrapper`] instead, which passes on every method.
pub trait Service: Send + Sync + 'static {
    /// Returns its exports and imports. Called once, when the component is put into service.
    fn types(&self) -> Arc<ComponentTypes>;

    /// Runs one call. May be called many times at once.
    ///
    /// A panic in it, or in the future that it returns, ends this call as
    /// [`CallError::CalleeFailed`].
    ///
    /// Neither this function nor the future should block the thread: compute, hold a lock, sleep or
    /// read files for a long time without awaiting. Blocking delays other calls and replies to
    /// other hosts by about 20 ms at most, but it occupies a thread of the runtime. On a runtime
    /// with one thread, everything else waits. Once a component is known to block, calls of it that
    /// come from other hosts run on the threads that Tokio has for blocking code. Move such code
    /// into `tokio::task::spawn_blocking`. A component that blocks for longer than 100 ms is named
    /// in the log.
    ///
    /// The calls of one other host begin one after the other. If the code of a component takes
    /// longer than 0.1 ms on average, its calls begin in tasks instead, on all threads of the
    /// runtime.
    fn call(&self, request: Request) -> Answer;

    /// Returns whether an error with [`Ran::No`] from this service always means that the call to
    /// this service did not run. False for a service that may pass on such an error of a call that
    /// it made itself.
    ///
    /// If this returns false, such an error becomes [`CallError::CalleeFailed`], because the
    /// service has run. Return true only where a framework makes the errors, and not the code of a
    /// component.
    fn errors_are_its_own(&self) -> bool {
        false
    }

    /// Returns what of the component can't be called although the rest is served, and why, if
    /// anything. It is shown to people. Called once, when desired state puts the component into
    /// service.
    fn unserved(&self) -> Option<String> {
        None
    }

    /// The service is about to serve `component` on the node with this boot. Called before its
    /// first call; again if the same service also serves another component, or on another node.
    ///
    /// A service that passes handles needs it to say where its resources are.
    fn placed(&self, _component: &ComponentId, _on: &Origin) {}

    /// Returns whether it has a start and a stop, so that [`started`](Self::started) and
    /// [`stopped`](Self::stopped) are called. By default, it has none.
    fn has_life(&self) -> bool {
        false
    }

    /// The service starts as the component of `site`: before its first link and its first call. The
    /// node waits for at most 10 s, and drops the future then. Called again if the same service
    /// also serves another component, or on another node.
    ///
    /// # Errors
    /// The reason why it can't serve. It is not put into service then, and
    /// [`stopped`](Self::stopped) is not called, nor when the start was given up.
    fn started(&self, _site: &Site) -> BoxFuture<'static, Result<(), String>> {
        future::ready(Ok(())).boxed()
    }

    /// The service has stopped as the component of `site`: it gets no more calls and no more
    /// changes of links. The node waits for at most 5 s, and drops the future then. Called once for
    /// each call of [`started`](Self::started) that succeeded, unless the node vanishes as in a
    /// power failure.
    fn stopped(&self, _site: &Site) -> BoxFuture<'static, ()> {
        future::ready(()).boxed()
    }

    /// Returns whether the component is served elsewhere, by a process that this service only looks
    /// after: as another node, which joins the lattice by itself. Then this node counts it among
    /// its replicas, and takes no calls for it. Called once, when the component is put into
    /// service.
    fn is_elsewhere(&self) -> bool {
        false
    }

    /// Returns what is known of the process that [serves elsewhere](Self::is_elsewhere), for the
    /// reports of this node. Called every few seconds, so it shouldn't take long. A service that
    /// wraps another passes it on.
    fn process(&self) -> Option<ProcessUsage> {
        None
    }

    /// Returns whether other replicas of the component may call it, in the name of their hosts and
    /// over no link. By default, they may not: every host that serves the component could call each
    /// of its functions, and so could everyone who can serve it somewhere.
    fn takes_replicas(&self) -> bool {
        false
    }

    /// Returns whether it has a [`health`](Self::health) to ask for. Called once, when the
    /// component is put into service.
    fn has_health(&self) -> bool {
        false
    }

    /// Checks whether the service can do its work now. While the component is in service, the node
    /// asks every 10 s, and every 2 s after a failure, and waits for at most 5 s. A failure is
    /// shown to people as the component's condition until it is well again. It changes nothing
    /// else.
    ///
    /// # Errors
    /// What is wrong.
    fn health(&self) -> BoxFuture<'static, Result<(), String>> {
        future::ready(Ok(())).boxed()
    }

    /// Waits until the service should be asked for its health before its time, because something
    /// has changed since it was asked last. By default, it never is.
    fn health_changed(&self) -> BoxFuture<'static, ()> {
        future::pending().boxed()
    }

    /// Returns whether it [restores](Self::restore) portable resources. Called once, when the
    /// component is put into service.
    fn restores(&self) -> bool {
        false
    }

    /// Makes a portable resource of the type `resource` (`package/interface/name` without a
    /// version) anew, whose owner is gone. The caller of the request holds its handle. The
    /// arguments are what [`Owner::token`](crate::stream::Owner::token) has returned, on whichever
    /// replica, and were authenticated. The result is a handle that the caller owns from then on.
    ///
    /// Called only if it [`restores`](Self::restores) them, like [`call`](Self::call): in its turn,
    /// over a link that grants calls. It may be called more than once for one handle.
    fn restore(&self, resource: &str, _request: Request) -> Answer {
        Answer::Ready(Err(CallError::StaleHandle {
            resource: resource.to_owned(),
            reason: "its component makes no resources anew".to_owned(),
            is_lost: true,
        }))
    }

    /// A link to this component exists, is new or has changed. Calls over it wait for the result.
    /// An error is kept as the link's status and fails its calls as [`CallError::LinkRejected`].
    ///
    /// This and [`unlinked`](Self::unlinked) are called in the order in which a link changes, one
    /// after the other; the futures are driven at the same time, and one that takes too long is
    /// dropped.
    ///
    /// # Errors
    /// The reason why the link, most likely its config, is refused.
    fn linked(&self, _link: Arc<Link>) -> BoxFuture<'static, Result<(), String>> {
        future::ready(Ok(())).boxed()
    }

    /// Called when a link to this component was deleted.
    fn unlinked(&self, _link: &LinkKey) {}

    /// Waits until the streams have ended that it writes as this component and that break when it
    /// is dropped. The component's calls have ended then, and a shutdown waits for this within its
    /// grace. It ends at once by default, as for a service whose streams outlive it.
    fn streams_ended(&self, _component: &ComponentId) -> BoxFuture<'static, ()> {
        future::ready(()).boxed()
    }
}

/// Checks the result that `service` has returned. An error with [`Ran::No`] is kept only from a
/// service whose [errors are its own](Service::errors_are_its_own).
pub(crate) fn checked<T>(
    service: &dyn Service,
    result: Result<T, CallError>,
) -> Result<T, CallError> {
    match result {
        Err(error) if error.ran() == Ran::No && !service.errors_are_its_own() => {
            Err(ran_and_failed(&error))
        }
        result => result,
    }
}

/// Converts the error of a call that a component made into the error of the component's own call,
/// which ran.
pub(crate) fn ran_and_failed(error: &CallError) -> CallError {
    CallError::CalleeFailed {
        reason: error.to_string(),
    }
    .shortened()
}

/// A type that can be served: a [`Service`], or one behind an [`Arc`].
pub trait IntoService {
    /// The service.
    fn into_service(self) -> Arc<dyn Service>;
}

impl<S: Service> IntoService for S {
    fn into_service(self) -> Arc<dyn Service> {
        Arc::new(self)
    }
}

impl<S: Service> IntoService for Arc<S> {
    fn into_service(self) -> Arc<dyn Service> {
        self
    }
}

impl IntoService for Arc<dyn Service> {
    fn into_service(self) -> Self {
        self
    }
}

/// One call as its callee sees it. Its arguments have not been decoded yet.
#[derive(Debug)]
#[non_exhaustive]
pub struct Request {
    /// The component that was called. One service may serve several.
    pub component: ComponentId,
    /// Which function; one of those in [`Service::types`].
    pub function: FunctionKey,
    /// The caller.
    pub source: Source,
    /// The link that grants the call; `None` for an operator and for a wormhole, which `source`
    /// tells apart.
    pub link: Option<Arc<Link>>,
    /// The name of the link that the record of a wormhole has, if the call is made in its name.
    pub wormhole_link: Option<LinkName>,
    /// The arguments, encoded as a tuple.
    pub args: Bytes,
    /// The streams and handles in the arguments, in order. There are none if the type of the
    /// function, as the service has published it, has no place for them.
    pub handles: Handles,
    /// What is known of the instance that calls.
    pub caller: CallerInstance,
    /// Deadline, hops and trace: pass it on with every call made on behalf of this one.
    pub context: Context,
}

/// What is known of the instance that calls.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallerInstance {
    /// It is on another host, and isn't known.
    Elsewhere,
    /// It is on another host, in that boot, and has this number there. Its calls belong together,
    /// like those of an [`Instance`](Self::Instance). The number is 0 if it doesn't say which
    /// instance it is, and takes handles.
    Remote(Origin, u64),
    /// It is in this process, and doesn't say which instance it is.
    Here,
    /// It is the instance with this number, unique in this process. Its calls belong together: a
    /// component that keeps an instance for what it has given to the caller serves them all there.
    Instance(u64),
}

/// A callee's result: available at once, or later.
pub enum Answer {
    /// The encoded result, without waiting.
    Ready(Result<Bytes, CallError>),
    /// It takes time. Dropping the future cancels the call.
    Later(BoxFuture<'static, Result<Bytes, CallError>>),
    /// Like [`Later`](Self::Later), with a result that may have streams and handles in it. Where
    /// the published type of the function has no place for them, they are dropped, and the call
    /// fails as [`CallError::BadResult`].
    Passing(BoxFuture<'static, Result<Body, CallError>>),
}
