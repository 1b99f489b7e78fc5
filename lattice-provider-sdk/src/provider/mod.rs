//! The traits that a provider implements, and the life of its links.

use crate::{flow::ResourceType, homes::Arguments, world::WitWorld};
use lattice_core::{
    link::Link,
    name::{InterfaceName, LinkName, WormholeId},
    serve::Answer,
};
use serde::de::{DeserializeOwned, IgnoredAny};
use std::{error::Error, fmt, future::Future, sync::Arc};

mod backend;
mod both;
mod call;
mod instance;
mod portable;
mod span;

pub use backend::{BackendRequest, BackendServer};
pub use both::Both;
pub use call::Call;
pub use instance::Instance;
pub use portable::{Portable, PortableTypes};
pub(crate) use portable::{Restore, Wanted};
pub use span::WorkSpan;

/// A native provider: serves the exported interfaces of its [`World`](Self::World) and keeps a
/// binding, its own state, for each link that leads to it.
///
/// ```text
/// link added or changed ──► link(config) ──► binding, available to every call over the link
///                                │              │ link deleted, or changed and bound again
///                                ▼              ▼
///                             Refusal        unlink(binding); dropped after its last call
/// ```
///
/// A refusal is stored as the link's status, and calls over the link fail with it.
///
/// The provider itself [starts](Self::start) before its first link, and [stops](Self::stop) after
/// its last one:
///
/// ```text
/// start(instance) ──► links and calls, health every 10 s ──► last call ends, unlink ──► stop
///       │
///       ▼
///    Refusal: it isn't served. A host that placement has given it tries again, with growing pauses
/// ```
///
/// A provider that needs neither config nor bindings implements [`Stateless`] instead.
///
/// # Blocking
/// Handlers should not block their thread: sleep, compute for long, wait for a lock or read files
/// without awaiting. A handler that does delays no calls to other components, and its host still
/// replies to other hosts, but it occupies a thread of the runtime, and a host with one thread does
/// nothing else until the handler continues. Move such code into `tokio::task::spawn_blocking`. A
/// component that blocks for longer than 100 ms is named in the log.
pub trait Provider: Sized + Send + Sync + 'static {
    /// The `World` that `provider!` generated. It requires the trait of every interface that the
    /// WIT world exports.
    type World: Dispatch<Self>;
    /// The type of a link's config: any type that deserializes from JSON. The config of a link
    /// without one is `null`, which deserializes to `()`, to `None`, and to a struct whose fields
    /// all have a `#[serde(default)]`.
    type Config: DeserializeOwned + Send + 'static;
    /// The state kept for a link while it exists, such as a connection, a prefix, or the config
    /// itself.
    type Binding: Send + Sync + 'static;

    /// Called once for each component that it is served as, before the first link and call. The
    /// host waits up to 10 seconds. A server that the provider uses may be away at this time: that
    /// isn't an error of the start, but is reported by [`health`](Self::health), and by calls.
    ///
    /// # Errors
    /// Fails with the reason why the provider can't be served. [`stop`](Self::stop) is not called
    /// then.
    ///
    /// # Cancel safety
    /// The host drops the future when the 10 seconds are over, and the provider isn't served.
    fn start(&self, instance: &Instance) -> impl Future<Output = Result<(), Refusal>> + Send {
        let _ = instance;
        async { Ok(()) }
    }

    /// Called when the provider was taken out of service, after its last call and
    /// [`unlink`](Self::unlink). The host waits up to 5 seconds. It isn't called when the host
    /// loses power, so nothing that was promised to a caller may depend on it.
    ///
    /// # Cancel safety
    /// The host drops the future when the 5 seconds are over.
    fn stop(&self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Checks whether the provider can do its work now, for example whether its server responds.
    /// The host asks every 10 seconds while it serves the provider, every 2 seconds after a
    /// failure, and waits up to 5 seconds. A failure is shown by `lattice get` and `lattice
    /// explain` as the component's condition until it is well again. It stops nothing.
    ///
    /// # Errors
    /// Fails with what is wrong.
    ///
    /// # Cancel safety
    /// The host drops the future when the 5 seconds are over.
    fn health(&self) -> impl Future<Output = Result<(), Refusal>> + Send {
        async { Ok(()) }
    }

    /// Returns the binding for a link that was added or changed. The host waits up to 10 seconds.
    ///
    /// # Errors
    /// Fails with the reason why the link is refused. The operator `?` turns every [`Error`] into
    /// a [`Refusal`].
    ///
    /// # Cancel safety
    /// The host drops the future when the 10 seconds are over, and the link is refused.
    fn link(
        &self,
        link: &Link,
        config: Self::Config,
    ) -> impl Future<Output = Result<Self::Binding, Refusal>> + Send;

    /// Called when a link was deleted or changed, and when the provider stops. Calls may still be
    /// using the binding, which is dropped after the last of them. Must not block.
    fn unlink(&self, link: &Link, binding: &Self::Binding) {
        let _ = (link, binding);
    }

    /// Returns the binding for one call by an operator: a holder of the lattice key, who calls
    /// without a link. `None`, the default, denies the call.
    fn operator(&self) -> impl Future<Output = Option<Self::Binding>> + Send {
        async { None }
    }

    /// Returns the binding for one call of another replica of the provider, which its host makes
    /// over no link. Everyone who can serve the component somewhere can make such calls, so the
    /// binding should allow only what replicas need of each other. `None`, the default, denies the
    /// call.
    fn replica(&self) -> impl Future<Output = Option<Self::Binding>> + Send {
        async { None }
    }

    /// Returns the binding for one call in the name of a wormhole: a public endpoint that leads to
    /// this provider, or whose verifier it is. `None`, the default, denies the call.
    ///
    /// Such a call has no link, and therefore no config. It has the name of a link, by which one
    /// provider tells the wormholes that lead to it apart: `link` in the wormhole's record, or
    /// `verifier-link` if it is called as its verifier, and `default` if the record has none.
    fn wormhole(
        &self,
        id: &WormholeId,
        link: &LinkName,
    ) -> impl Future<Output = Option<Self::Binding>> + Send {
        let _ = (id, link);
        async { None }
    }

    /// Returns the JSON schema of [`Config`](Self::Config), as text, from which tools make a form.
    /// None by default: people write the config as JSON then.
    ///
    /// A provider that returns one also exports `lattice:config/schema@0.1.0`, whose function
    /// returns it for every interface of the [`World`](Self::World), to everyone who may call the
    /// provider at all, operators without a [binding](Self::operator) included. A property that is
    /// a secret should have `"writeOnly": true`. Nothing is checked by the schema: a config that
    /// doesn't fit it is refused only if it doesn't deserialize, or by [`link`](Self::link).
    fn config_schema() -> Option<String> {
        None
    }

    /// Returns the JSON schema of the config of links that lead from this provider to others
    /// through an interface which its [`World`](Self::World) imports. None by default.
    ///
    /// It is told to tools in the same way as [`config_schema`](Self::config_schema), by another
    /// function of `lattice:config/schema@0.1.0`.
    fn outgoing_schema(interface: &InterfaceName) -> Option<String> {
        let _ = interface;
        None
    }

    /// Returns other names under which something around the provider serves interfaces of its
    /// [`World`](Self::World). [`config_schema`](Self::config_schema) is told for these, too. None
    /// by default.
    fn also_served_as() -> Vec<InterfaceName> {
        Vec::new()
    }

    /// Decides whether a call is served, before its arguments are decoded. By default, every call
    /// is that a link or a binding allows. Must not block.
    ///
    /// # Errors
    /// Fails with the reason why it isn't. The call fails with that reason, and did not run.
    fn admit(&self, call: &Call<Self>) -> Result<(), Refusal> {
        let _ = call;
        Ok(())
    }

    /// Returns how many of its resources others may hold. A call whose result has more fails with
    /// [`CallError::LimitExceeded`](crate::CallError::LimitExceeded). 100,000 by default.
    fn handles(&self) -> usize {
        MOST_HANDLES
    }

    /// Returns which of its resources are [`Portable`]: their handles survive the host of the
    /// provider. None by default.
    fn portable() -> PortableTypes<Self> {
        PortableTypes::none()
    }
}

/// Resources that others may hold by default: some tens of megabytes of small ones, and more than
/// callers need that drop what they no longer use.
const MOST_HANDLES: usize = 100_000;

/// A [`Provider`] that treats all its callers in the same way: there are no bindings, and operators
/// may call, as may wormholes that lead to it. The config of a link has no effect, because it may
/// be the caller's: that of a link from a messaging provider names the subjects.
pub trait Stateless: Sized + Send + Sync + 'static {
    /// The `World` that `provider!` generated.
    type World: Dispatch<Self>;

    /// Called before the first call, as [`Provider::start`].
    ///
    /// # Errors
    /// Fails with the reason why the provider can't be served.
    fn start(&self, instance: &Instance) -> impl Future<Output = Result<(), Refusal>> + Send {
        let _ = instance;
        async { Ok(()) }
    }

    /// Called after the last call, as [`Provider::stop`].
    fn stop(&self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Checks whether the provider can do its work now, as [`Provider::health`].
    ///
    /// # Errors
    /// Fails with what is wrong.
    fn health(&self) -> impl Future<Output = Result<(), Refusal>> + Send {
        async { Ok(()) }
    }

    /// Returns the JSON schema of the config of links from this provider, as
    /// [`Provider::outgoing_schema`].
    fn outgoing_schema(interface: &InterfaceName) -> Option<String> {
        let _ = interface;
        None
    }

    /// Returns how many of its resources others may hold, as [`Provider::handles`].
    fn handles(&self) -> usize {
        MOST_HANDLES
    }

    /// Returns which of its resources are [`Portable`], as [`Provider::portable`].
    fn portable() -> PortableTypes<Self> {
        PortableTypes::none()
    }
}

impl<P: Stateless> Provider for P {
    type World = P::World;
    type Config = IgnoredAny;
    type Binding = ();

    async fn start(&self, instance: &Instance) -> Result<(), Refusal> {
        Stateless::start(self, instance).await
    }

    async fn stop(&self) {
        Stateless::stop(self).await;
    }

    async fn health(&self) -> Result<(), Refusal> {
        Stateless::health(self).await
    }

    async fn link(&self, _: &Link, _: IgnoredAny) -> Result<(), Refusal> {
        Ok(())
    }

    async fn operator(&self) -> Option<()> {
        Some(())
    }

    async fn wormhole(&self, _: &WormholeId, _: &LinkName) -> Option<()> {
        Some(())
    }

    fn outgoing_schema(interface: &InterfaceName) -> Option<String> {
        <P as Stateless>::outgoing_schema(interface)
    }

    fn handles(&self) -> usize {
        Stateless::handles(self)
    }

    fn portable() -> PortableTypes<P> {
        <P as Stateless>::portable()
    }
}

/// Passes each call to the handler of its function.
pub trait Dispatch<P: Provider>: WitWorld {
    /// Decodes the arguments, runs the handler, and encodes its result.
    fn dispatch(provider: Arc<P>, call: Call<P>, args: Arguments) -> Answer;

    /// Returns the resources of the world, with the Rust types that stand for them.
    fn resources() -> Vec<ResourceType> {
        Vec::new()
    }
}

/// Length limit of a reason, in bytes. It is one line for a person, not a log.
const MAX_REASON: usize = 1_024;

/// The reason why a provider doesn't start or isn't well, or why a link or the token of a
/// [`Portable`] resource is refused.
///
/// Not an [`Error`] itself, so that `?` can turn every error into a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(String);

impl Refusal {
    /// Creates a refusal. The reason should state what is wrong and what would be right; it is
    /// cut to 1 KiB.
    pub fn new(reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        reason.truncate(reason.floor_char_boundary(MAX_REASON));
        Self(reason)
    }

    /// Returns the reason.
    pub fn reason(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: Error> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::new(lattice_core::error::chain(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("no connection to `db`")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn a_refusal_made_from_an_error_includes_its_causes() {
        let refused = || -> Result<(), Refusal> { Err(Outer(std::io::Error::other("timed out")))? };
        assert_eq!(
            refused().expect_err("refused").reason(),
            "no connection to `db`: timed out"
        );
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let reason = format!("x{}", "é".repeat(MAX_REASON));
        let kept = Refusal::new(reason).reason().to_owned();
        assert_eq!(kept.len(), MAX_REASON - 1);
        assert!(kept.ends_with('é'));
    }
}
