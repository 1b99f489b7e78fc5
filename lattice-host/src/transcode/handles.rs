//! Handles on their way out of a store and into one.

use std::sync::Arc;

use lattice_core::id::Source;
use lattice_core::stream::{Broken, Handle, Handles, ResourceRef, Stale};
use wasmtime::component::{ResourceAny, ResourceDynamic};
use wasmtime::{AsContextMut, Error, Result, StoreContextMut, bail};

use super::channel::{self, UnreadFutures};
use super::raw::RawHandle;
use super::resources::ResourceIndex;
use super::shape::{Shape, Tree};
use super::validate::Places;

/// The data of a store whose guest can pass streams and handles. By default, it can't.
pub(crate) trait HandleStore: Send + Sized + 'static {
    /// Takes a resource that was lifted out of the guest.
    ///
    /// # Errors
    /// Fails when the resource is none that the guest can give.
    fn give(_: StoreContextMut<'_, Self>, _: ResourceAny) -> Result<Handle> {
        bail!("this store passes no handles")
    }

    /// Takes a resource for the guest. `None` for one that belongs to another instance: it is then
    /// [held](Self::hold) under a number.
    ///
    /// # Errors
    /// Fails when it is a resource of the guest's own that isn't there, or not the caller's.
    fn own(
        &mut self,
        _resource: &ResourceRef,
        _ty: ResourceIndex,
        _is_given: bool,
    ) -> Result<Option<ResourceAny>, Stale> {
        Err(Stale::NotServed)
    }

    /// Keeps a resource of another instance for the guest, and returns the number that stands for
    /// it in the store.
    fn hold(&mut self, _handle: Handle) -> u32 {
        0
    }

    /// Returns the component whose guest this is.
    fn source(&self) -> Source {
        Source::Operator
    }

    /// Returns the futures that the guest has got and has not read. `None` in a store that has to
    /// stay for those that its guest passes on.
    fn unread_futures(&mut self) -> Option<&mut UnreadFutures> {
        None
    }

    /// Returns a guard for one end of a channel, which stays in the store with it.
    fn guard(&self) -> Box<dyn ChannelGuard> {
        Box::new(Unguarded)
    }
}

/// Kept beside the end of a channel that is in a store, so that the store stays.
pub(crate) trait ChannelGuard: Send + Sync + 'static {
    /// Returns how a writer ends that is dropped now: broken, unless the guest itself has closed
    /// it.
    fn end(&self) -> Result<(), Broken>;

    /// Elements of so many bytes have passed, or the end.
    fn has_moved(&self, bytes: usize);
}

/// The guard of a store that doesn't stay for its channels.
struct Unguarded;

impl ChannelGuard for Unguarded {
    fn end(&self) -> Result<(), Broken> {
        Ok(())
    }

    fn has_moved(&self, _: usize) {}
}

/// Takes the handles of a value out of a store.
///
/// # Errors
/// Fails when a handle stands for nothing, after which the guest can't go on.
pub(crate) fn take_out<T: HandleStore>(
    mut store: StoreContextMut<'_, T>,
    handles: Vec<RawHandle>,
) -> Result<Handles> {
    let mut taken = Handles::with_capacity(handles.len());
    for handle in handles {
        let mut store = store.as_context_mut();
        taken.push(match handle {
            RawHandle::Resource(resource) => T::give(store, resource)?,
            RawHandle::Stream(stream, payload) => {
                Handle::Stream(channel::stream_out(store, stream, payload)?)
            }
            RawHandle::Future(future, payload) => {
                Handle::Future(channel::future_out(store, future, payload)?)
            }
            // The value of a future that only passes through the store.
            RawHandle::Foreign(resource) => {
                let resource = resource.try_into_resource_any(store.as_context_mut())?;
                T::give(store, resource)?
            }
        });
    }
    Ok(taken)
}

/// Puts the handles of a value into a store. The value was checked, and `places` are their types in
/// `tree`.
///
/// # Errors
/// Fails with a [`Stale`] when one can't be used.
pub(super) fn put_in<T: HandleStore>(
    mut store: StoreContextMut<'_, T>,
    tree: &Arc<Tree>,
    (handles, places): (Handles, &Places),
) -> Result<Vec<RawHandle>> {
    let mut put = Vec::with_capacity(handles.len());
    for (handle, place) in handles.into_iter().zip(places) {
        let mut store = store.as_context_mut();
        put.push(match (handle, &tree.node(*place).shape) {
            (Handle::Stream(reader), Shape::Stream(element)) => {
                channel::stream_in(store, reader, (tree, *element))?
            }
            (Handle::Future(reader), Shape::Future(element)) => {
                channel::future_in(store, reader, (tree, *element))?
            }
            (handle, Shape::Own(ty) | Shape::Borrow(ty)) => {
                resource_in(store.data_mut(), handle, *ty)?
            }
            _ => bail!("a handle of another kind than its place"),
        });
    }
    Ok(put)
}

fn resource_in<T: HandleStore>(
    data: &mut T,
    handle: Handle,
    ty: ResourceIndex,
) -> Result<RawHandle> {
    let (is_given, resource) = match &handle {
        Handle::Own(owned) => (true, owned.resource()),
        Handle::Borrow(resource) => (false, resource),
        _ => bail!("a handle of another kind than its place"),
    };
    if let Some(own) = data.own(resource, ty, is_given).map_err(Error::new)? {
        if let Handle::Own(owned) = handle {
            // It is the guest's own again.
            owned.into_resource();
        }
        return Ok(RawHandle::Resource(own));
    }
    let number = data.hold(handle);
    Ok(RawHandle::Foreign(if is_given {
        ResourceDynamic::new_own(number, ty.0)
    } else {
        ResourceDynamic::new_borrow(number, ty.0)
    }))
}
