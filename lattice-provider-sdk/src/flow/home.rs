//! The resources of a provider that others hold.

use bytes::Bytes;
use lattice_core::{
    call::{CallError, Limit},
    id::{Origin, Source},
    name::ComponentId,
    stream::{Holder, InstanceRef, Owned, Owner, ResourceRef, Stale, next_instance},
    sync::Mutex,
};
use std::{
    any::{Any, TypeId, type_name},
    collections::HashMap,
    fmt, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};
use tokio::sync::watch;

/// Returns the token of a portable resource, if the value is one of its type.
pub(crate) type TokenOf = fn(&(dyn Any + Send + Sync)) -> Option<Vec<u8>>;

/// A resource of a provider's world: the Rust type that stands for it, and its name.
#[derive(Debug, Clone)]
pub struct ResourceType {
    rust: TypeId,
    /// `package/interface/name` without a version.
    name: Arc<str>,
    /// If it is portable.
    token: Option<TokenOf>,
}

impl ResourceType {
    /// The Rust type `T` stands for the resource `package/interface/name`.
    pub fn of<T: 'static>(name: &'static str) -> Self {
        Self {
            rust: TypeId::of::<T>(),
            name: name.into(),
            token: None,
        }
    }

    /// The Rust type.
    pub(crate) fn rust(&self) -> TypeId {
        self.rust
    }

    /// The resource, `package/interface/name` without a version.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether both are the same resource, for which the same Rust type stands.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.rust == other.rust && self.name == other.name
    }

    /// The resource is portable from now on.
    pub(crate) fn make_portable(&mut self, token: TokenOf) {
        self.token = Some(token);
    }
}

/// The instance in which the resources of a provider live, while others hold them.
pub struct Home {
    at: InstanceRef,
    /// The provider as a holder.
    holder: Holder,
    types: Arc<[ResourceType]>,
    /// Most resources that others may hold.
    most: usize,
    state: Mutex<State>,
    end: watch::Sender<Option<Arc<str>>>,
    /// How many streams and futures are sent to others.
    open: Arc<watch::Sender<usize>>,
}

/// Counts a stream as open until it is dropped.
pub(super) struct OpenStream(Arc<watch::Sender<usize>>);

impl OpenStream {
    fn new(open: &Arc<watch::Sender<usize>>) -> Self {
        open.send_modify(|count| *count += 1);
        Self(open.clone())
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

#[derive(Default)]
struct State {
    resources: HashMap<u64, Resource>,
    last: u64,
    is_over: bool,
}

struct Resource {
    value: Arc<dyn Any + Send + Sync>,
    name: Arc<str>,
    holder: Holder,
    lent: Vec<Holder>,
}

impl Home {
    /// Creates the instance of `component` on the node with this boot.
    pub(crate) fn new(
        component: ComponentId,
        origin: Origin,
        types: Arc<[ResourceType]>,
        most: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            holder: Holder::Local(Source::Component(component.clone())),
            at: InstanceRef {
                origin,
                component,
                instance: next_instance(),
            },
            types,
            most,
            state: Mutex::default(),
            end: watch::Sender::new(None),
            open: Arc::new(watch::Sender::new(0)),
        })
    }

    /// Returns where it is.
    pub(crate) fn at(&self) -> &InstanceRef {
        &self.at
    }

    pub(super) fn holder(&self) -> &Holder {
        &self.holder
    }

    /// Gives a resource to others: the provider itself has its handle first.
    ///
    /// # Errors
    /// Fails when others hold as many as they may.
    pub(crate) fn export<T: Send + Sync + 'static>(
        self: &Arc<Self>,
        value: Arc<T>,
    ) -> Result<Owned, CallError> {
        let name = self.name_of::<T>()?;
        let mut state = self.state.lock();
        if state.is_over {
            return Err(CallError::InstanceLost {
                reason: self.reason().to_string(),
            });
        }
        if state.resources.len() >= self.most {
            return Err(CallError::LimitExceeded {
                limit: Limit::Handles(self.most as u64),
                reason: format!(
                    "others hold {} of its resources; the limit is `Provider::handles`",
                    self.most
                ),
            });
        }
        state.last += 1;
        let id = state.last;
        let resource = Resource {
            value,
            name: name.clone(),
            holder: self.holder.clone(),
            lent: Vec::new(),
        };
        state.resources.insert(id, resource);
        Ok(Owned::new(ResourceRef::new(self.clone(), id, name)))
    }

    /// Takes back a resource that was given to the provider.
    ///
    /// # Errors
    /// Fails when it isn't there, not the provider's, of another type, or used by a running call.
    pub(super) fn take_back<T: Send + Sync + 'static>(
        &self,
        resource: &ResourceRef,
    ) -> Result<Arc<T>, Stale> {
        let mut state = self.state.lock();
        let known = self.known::<T>(&mut state, resource)?;
        if known.holder != self.holder {
            return Err(Stale::NotHeld(self.holder.to_string()));
        }
        // The value is only shared from here, under the lock.
        if Arc::strong_count(&known.value) > 1 {
            return Err(Stale::Lent);
        }
        let removed = state.resources.remove(&resource.id());
        drop(state);
        let value = removed.ok_or(Stale::Dropped)?.value;
        value.downcast().map_err(|_| Stale::Dropped)
    }

    /// Returns a resource that was lent to the provider.
    ///
    /// # Errors
    /// Fails when it isn't there, or of another type.
    pub(super) fn lent<T: Send + Sync + 'static>(
        &self,
        resource: &ResourceRef,
    ) -> Result<Arc<T>, Stale> {
        let mut state = self.state.lock();
        let value = self.known::<T>(&mut state, resource)?.value.clone();
        drop(state);
        value.downcast().map_err(|_| Stale::Dropped)
    }

    fn known<'s, T: 'static>(
        &self,
        state: &'s mut State,
        resource: &ResourceRef,
    ) -> Result<&'s mut Resource, Stale> {
        if resource.at() != &self.at {
            return Err(Stale::OtherInstance);
        }
        if state.is_over {
            return Err(Stale::InstanceEnded(self.reason()));
        }
        let known = state.resources.get_mut(&resource.id());
        let known = known.ok_or(Stale::Dropped)?;
        if known.value.is::<T>() {
            Ok(known)
        } else {
            Err(Stale::OtherType(known.name.clone()))
        }
    }

    fn name_of<T: 'static>(&self) -> Result<Arc<str>, CallError> {
        let mut known = self.types.iter().filter(|ty| ty.rust == TypeId::of::<T>());
        match (known.next(), known.next()) {
            (Some(ty), None) => Ok(ty.name.clone()),
            (Some(one), Some(other)) => Err(CallError::BadResult {
                reason: format!(
                    "the Rust type `{}` stands for both `{}` and `{}`; give each a type of its own",
                    type_name::<T>(),
                    one.name,
                    other.name
                ),
            }),
            (None, _) => Err(CallError::BadResult {
                reason: format!(
                    "the Rust type `{}` stands for no resource of this provider's world",
                    type_name::<T>()
                ),
            }),
        }
    }

    /// Ends the instance: its resources are dropped, and its streams break.
    pub(crate) fn end(&self, reason: &str) {
        self.end.send_replace(Some(reason.into()));
        let mut state = self.state.lock();
        state.is_over = true;
        let resources = mem::take(&mut state.resources);
        drop(state);
        drop(resources);
    }

    /// Waits until the instance has ended, and returns why.
    pub(super) fn ended(&self) -> impl Future<Output = Arc<str>> + Send + 'static {
        let mut end = self.end.subscribe();
        async move {
            let reason = end.wait_for(Option::is_some).await;
            let reason = reason.ok().and_then(|reason| reason.clone());
            reason.unwrap_or_else(stopped)
        }
    }

    /// Counts one more stream as open.
    pub(super) fn open_stream(&self) -> OpenStream {
        OpenStream::new(&self.open)
    }

    /// Waits until no stream is open.
    pub(crate) fn streams_ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut open = self.open.subscribe();
        async move {
            // Without a sender, there is none.
            let _ = open.wait_for(|count| *count == 0).await;
        }
    }

    fn reason(&self) -> Arc<str> {
        self.end.borrow().clone().unwrap_or_else(stopped)
    }

    fn absent(&self, state: &State) -> Stale {
        if state.is_over {
            Stale::InstanceEnded(self.reason())
        } else {
            Stale::Dropped
        }
    }
}

fn stopped() -> Arc<str> {
    "it was stopped".into()
}

impl Resource {
    fn may_be_used_by(&self, holder: &Holder) -> bool {
        self.holder == *holder || self.lent.contains(holder)
    }
}

impl Owner for Home {
    fn at(&self) -> &InstanceRef {
        &self.at
    }

    fn hand_over(&self, id: u64, from: &Holder, to: &Holder) -> Result<(), Stale> {
        let mut state = self.state.lock();
        let Some(resource) = state.resources.get_mut(&id) else {
            return Err(self.absent(&state));
        };
        if resource.holder != *from {
            return Err(Stale::NotHeld(from.to_string()));
        }
        resource.holder = to.clone();
        Ok(())
    }

    fn lend(&self, id: u64, from: &Holder, to: &Holder) -> Result<(), Stale> {
        let mut state = self.state.lock();
        let Some(resource) = state.resources.get_mut(&id) else {
            return Err(self.absent(&state));
        };
        if !resource.may_be_used_by(from) {
            return Err(Stale::NotHeld(from.to_string()));
        }
        // The provider itself needs no right to it.
        if *to != self.holder {
            resource.lent.push(to.clone());
        }
        Ok(())
    }

    fn give_back(&self, id: u64, by: &Holder) {
        let mut state = self.state.lock();
        if let Some(resource) = state.resources.get_mut(&id)
            && let Some(at) = resource.lent.iter().position(|holder| holder == by)
        {
            resource.lent.swap_remove(at);
        }
    }

    fn dropped(&self, id: u64) {
        let mut state = self.state.lock();
        let resource = state.resources.remove(&id);
        drop(state);
        // Running calls that use it drop it when they end.
        drop(resource);
    }

    fn token(&self, id: u64) -> Option<Bytes> {
        let state = self.state.lock();
        let resource = state.resources.get(&id)?;
        let (value, name) = (resource.value.clone(), resource.name.clone());
        drop(state);
        let ty = self.types.iter().find(|ty| ty.name == name)?;
        let token = ty.token?;
        // The provider's own code, in a task of the node.
        let token = catch_unwind(AssertUnwindSafe(|| token(&*value)));
        if token.is_err() {
            tracing::error!(resource = %name, component = %self.at.component, "the provider panicked in `to_token`; the handle is not portable");
        }
        token.ok().flatten().map(Bytes::from)
    }
}

impl fmt::Debug for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Home")
            .field("at", &self.at)
            .field("held", &self.state.lock().resources.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lattice_core::name::HostId;

    fn origin(host: &str) -> Origin {
        Origin::new(HostId::new(host).expect("an id"), 1)
    }

    fn home() -> Arc<Home> {
        let component = ComponentId::new("owner").expect("an id");
        let types = [ResourceType::of::<u8>("a:b/c/r")];
        Home::new(component, origin("here"), types.into(), 2)
    }

    #[test]
    fn who_was_lent_a_handle_may_lend_it_until_it_is_given_back() {
        let home = home();
        let _other = home.export(Arc::new(1_u8)).expect("there is room");
        let lent = home.export(Arc::new(2_u8)).expect("there is room");
        let full = home.export(Arc::new(3_u8)).expect_err("two are held");
        assert!(matches!(full, CallError::LimitExceeded { .. }), "{full}");
        let there = Holder::Host(origin("there"));
        let elsewhere = Holder::Host(origin("elsewhere"));
        let (owner, id) = (home.holder().clone(), lent.resource().id());
        assert_eq!(home.lend(id, &owner, &there), Ok(()));
        assert_eq!(home.lend(id, &there, &elsewhere), Ok(()));
        home.give_back(id, &there);
        let refused = home.lend(id, &there, &elsewhere);
        assert!(matches!(refused, Err(Stale::NotHeld(_))), "{refused:?}");
        assert_eq!(home.lend(id, &elsewhere, &there), Ok(()));
        let refused = home.hand_over(id, &there, &elsewhere);
        assert!(matches!(refused, Err(Stale::NotHeld(_))), "{refused:?}");
        assert_eq!(*home.lent::<u8>(lent.resource()).expect("it is there"), 2);
    }

    #[test]
    fn a_handle_is_of_one_type_and_of_one_instance() {
        let (home, other) = (home(), home());
        let owned = home.export(Arc::new(1_u8)).expect("there is room");
        let resource = owned.resource();
        let ty = home.lent::<u16>(resource).expect_err("another type");
        assert_eq!(ty, Stale::OtherType("a:b/c/r".into()));
        let instance = other.lent::<u8>(resource).expect_err("another instance");
        assert_eq!(instance, Stale::OtherInstance);
        let unknown = home.export(Arc::new(1_u16)).expect_err("no resource");
        assert!(unknown.to_string().contains("stands for no resource"));
        home.end("on purpose");
        let ended = home.take_back::<u8>(resource).expect_err("it has ended");
        assert_eq!(ended, Stale::InstanceEnded("on purpose".into()));
    }

    #[test]
    fn a_rust_type_stands_for_one_resource() {
        let component = ComponentId::new("owner").expect("an id");
        let types = ["a:b/c/r", "a:b/c/s"].map(ResourceType::of::<u8>);
        let home = Home::new(component, origin("here"), types.into(), 2);
        let error = home.export(Arc::new(1_u8)).expect_err("two names");
        let expected = "`u8` stands for both `a:b/c/r` and `a:b/c/s`";
        assert!(error.to_string().contains(expected), "{error}");
    }
}
