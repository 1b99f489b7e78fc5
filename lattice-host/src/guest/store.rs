//! The store of one instance.

use super::state::Guest;
use std::ops::{Deref, DerefMut};
use wasmtime::{AsContext, AsContextMut, Store, StoreContext, StoreContextMut};

/// The store of one instance. Before it is dropped, however that comes, the bodies that its guest
/// has not ended are broken. To their readers, the drop itself looks like their end.
pub(super) struct GuestStore(Store<Guest>);

impl GuestStore {
    pub(super) fn new(store: Store<Guest>) -> Self {
        Self(store)
    }
}

impl Drop for GuestStore {
    fn drop(&mut self) {
        #[cfg(feature = "http")]
        self.0.data_mut().settle_bodies();
        self.0.data_mut().end_requests();
    }
}

impl Deref for GuestStore {
    type Target = Store<Guest>;

    fn deref(&self) -> &Store<Guest> {
        &self.0
    }
}

impl DerefMut for GuestStore {
    fn deref_mut(&mut self) -> &mut Store<Guest> {
        &mut self.0
    }
}

impl AsContext for GuestStore {
    type Data = Guest;

    fn as_context(&self) -> StoreContext<'_, Guest> {
        self.0.as_context()
    }
}

impl AsContextMut for GuestStore {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, Guest> {
        self.0.as_context_mut()
    }
}
