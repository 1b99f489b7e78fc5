//! Handles of portable resources, and what stands in for those whose owner is gone.
//!
//! A proxy keeps the token that came with its handle. When the owner is gone, a replica makes the
//! resource anew, once for each component here that uses the handle. The new handle stays with the
//! proxy, for as long as that component may use the old one, and takes its place in each value.

use super::{
    super::{Handle, Holder, Owned, ResourceRef, Stale},
    Ledger, bound_to,
    proxy::{Anew, Proxy},
};
use crate::{
    auth::{MAX_TOKEN, SealedToken, TokenScope},
    call::{CallError, Limit},
    id::Source,
    wire::ResourceName,
};
use bytes::Bytes;
use std::{any::Any, fmt, sync::Arc};
use tokio::sync::MutexGuard;

/// A handle of another host's portable resource. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Portable(Arc<Proxy>);

impl Portable {
    /// Returns `None` for a handle of a resource that lives here, or isn't portable.
    pub(crate) fn of(resource: &ResourceRef) -> Option<Self> {
        let owner: &dyn Any = &**resource.owner();
        owner.downcast_ref::<Proxy>()?.portable.as_ref()?;
        let owner: Arc<dyn Any + Send + Sync> = resource.owner().clone();
        owner.downcast().ok().map(Self)
    }

    /// Whether `by` holds the handle, or has it lent.
    pub(crate) fn may_be_used_by(&self, by: &Holder) -> bool {
        self.0.state.lock().may_be_used_by(by)
    }

    /// Returns what `by` uses: `old`, the handle itself, or what stands in for it. `None` once that
    /// is lost.
    pub(crate) fn current(&self, old: &ResourceRef, by: &Holder) -> Option<ResourceRef> {
        let state = self.0.state.lock();
        match state.anew_of(by) {
            Some(new) => Some(new.resource().clone()),
            None => (!state.is_lost).then(|| old.clone()),
        }
    }

    /// The owner of what `by` has `used` is gone. It is told, in case it isn't.
    pub(crate) fn lost(&self, used: &ResourceRef, by: &Holder) {
        let mut state = self.0.state.lock();
        // Another call may have had it made anew since.
        let is_new = |new: &Owned| new.resource().is(used);
        if state.anew_of(by).is_some_and(is_new) {
            let anew = state.take_anew(by);
            drop(state);
            drop(anew);
            return;
        }
        let is_old = Self::of(used).is_some_and(|used| Arc::ptr_eq(&used.0, &self.0));
        if !is_old || state.is_lost {
            return;
        }
        state.is_lost = true;
        let is_held = state.holder.as_ref() == Some(by);
        drop(state);
        if is_held {
            self.0.ledger().import_dropped(&self.0);
        }
    }

    /// Waits until no one else has it made anew.
    pub(crate) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.anew().turn.lock().await
    }

    /// Returns the token of `resource`, which this is, sealed for a holder.
    pub(crate) fn sealed_for(
        &self,
        resource: &ResourceRef,
        holder: &Source,
    ) -> Result<SealedToken, CallError> {
        let token = &self.anew().token;
        self.0.ledger().seal(resource, token, Some(holder))
    }

    /// A replica has made the resource anew for `by`.
    pub(crate) fn made_anew(&self, by: &Holder, new: Owned) {
        let mut state = self.0.state.lock();
        if !state.may_be_used_by(by) {
            // The old handle was dropped meanwhile, and so is this one.
            drop(state);
            drop(new);
            return;
        }
        let before = state.take_anew(by);
        state.put_anew(by, new);
        drop(state);
        drop(before);
    }

    fn anew(&self) -> &Anew {
        let anew = self.0.portable.as_ref();
        anew.expect("only handles with a token are portable")
    }

    /// Takes out what stands in for the handle, if `by` holds it.
    fn take(&self, by: &Holder) -> Option<Owned> {
        let mut state = self.0.state.lock();
        let is_held = state.holder.as_ref() == Some(by);
        is_held.then(|| state.take_anew(by)).flatten()
    }
}

impl fmt::Debug for Portable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Puts what was made anew for `by` in the place of what was lost.
pub(crate) fn stand_in(handles: &mut [Handle], by: &Holder) {
    for handle in handles {
        let Some(portable) = handle.resource().and_then(Portable::of) else {
            continue;
        };
        match handle {
            Handle::Borrow(resource) => {
                if let Some(current) = portable.current(resource, by) {
                    *resource = current;
                }
            }
            Handle::Own(_) => {
                if let Some(new) = portable.take(by) {
                    // The old one is dropped.
                    *handle = Handle::Own(new);
                }
            }
            Handle::Stream(_) | Handle::Future(_) => {}
        }
    }
}

impl Ledger {
    /// Returns the token of a handle that leaves for another host, sealed for the one who gets it.
    /// `None` if the resource isn't portable.
    pub(super) fn token(
        &self,
        resource: &ResourceRef,
        holder: Option<&Source>,
    ) -> Result<Option<SealedToken>, CallError> {
        let owner: &dyn Any = &**resource.owner();
        let token = match owner.downcast_ref::<Proxy>() {
            Some(proxy) => proxy.token_bytes().cloned(),
            None => resource.owner().token(resource.id()),
        };
        let token = token.map(|token| self.seal(resource, &token, holder));
        token.transpose()
    }

    fn seal(
        &self,
        resource: &ResourceRef,
        token: &Bytes,
        holder: Option<&Source>,
    ) -> Result<SealedToken, CallError> {
        let scope = TokenScope {
            component: &resource.at().component,
            resource: resource.ty(),
            holder,
        };
        let sealed = self.auth.seal_token(scope, token);
        sealed.map_err(|error| CallError::LimitExceeded {
            limit: Limit::Token(MAX_TOKEN as u64),
            reason: format!(
                "a handle of `{}` can't leave its host: {error}",
                resource.ty()
            ),
        })
    }

    /// Returns the token of a handle that has arrived for `to`, if it has one.
    pub(super) fn opened(&self, name: &ResourceName, to: &Holder) -> Result<Option<Bytes>, Stale> {
        let Some(sealed) = &name.token else {
            return Ok(None);
        };
        let scope = TokenScope {
            component: &name.component,
            resource: &name.ty,
            holder: bound_to(to),
        };
        let opened = self.auth.open_token(scope, sealed);
        opened.map(Some).map_err(|_| Stale::InvalidToken)
    }
}
