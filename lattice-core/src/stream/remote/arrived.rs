//! Handles that arrive from another host.

use super::{
    super::{Handle, Holder, InstanceRef, Owned, ResourceRef, Stale, body},
    Book, Claim, Ledger,
    exports::Export,
    proxy::{LOST, Proxy},
};
use crate::{call::CallError, id::Origin, wire::ResourceName};
use bytes::Bytes;
use std::{
    any::Any,
    sync::{Arc, atomic::Ordering},
};
use tokio::time::Instant;

/// What of a lent resource is undone when the call is over.
#[derive(Debug)]
pub(crate) struct Loan {
    resource: ResourceRef,
    to: Holder,
    /// The loan of a third host's resource, which is told when it is over.
    claimed: Option<Arc<Proxy>>,
}

/// A handle that has arrived, and what is undone when the call is over.
pub(crate) type Arrived = (Handle, Option<Loan>);

/// Checks the handles of a value that has arrived: none that is given away is in it twice. If one
/// is, they are to be dropped, and with them the resources.
///
/// # Errors
/// Fails when one is.
pub(crate) fn check_arrived(handles: &[Handle]) -> Result<(), CallError> {
    body::is_once(handles)
}

impl Ledger {
    /// A handle arrives from another host. Returns `None` if its owner has to be asked, which
    /// [`arrive`](Self::arrive) does.
    pub(crate) fn try_arrive(
        self: &Arc<Self>,
        name: &ResourceName,
        is_owned: bool,
        (from, at): (&Origin, &Origin),
        to: &Holder,
    ) -> Option<Result<Arrived, Stale>> {
        let mut books = self.books.lock();
        if let Some(book) = books.get_mut(&name.origin) {
            let holder = name.holder.as_ref().unwrap_or(from);
            book.exports.heard(holder, Instant::now());
            let found = book.take(name, is_owned, holder);
            drop(books);
            return Some(found.and_then(|export| returned(export, is_owned, to)));
        }
        let token = match self.opened(name, to) {
            Ok(token) => token,
            Err(invalid) => return Some(Err(invalid)),
        };
        let is_restarted = books.keys().any(|node| node.host == name.origin.host);
        if is_restarted || (name.id == LOST && token.is_some()) {
            drop(books);
            let token = (is_owned, token);
            return Some(self.lost(name, token, (at, to), Stale::OwnerRestarted));
        }
        if name.origin != *from {
            return None;
        }
        let Some(book) = books.get_mut(at) else {
            return Some(Err(Stale::NotServed));
        };
        // What is lent is over with the call, without a message.
        if is_owned && !book.imports.hold(from, name.id) {
            return Some(Err(Stale::UsedTwice));
        }
        drop(books);
        let proxy = self.proxy(name, (name.id, is_owned, token), at, to);
        Some(Ok(proxy))
    }

    /// A handle arrives: sent by the boot `from`, at this process's node `at`, for `to`. It is for
    /// the component that is called, for the caller whose result it is in, or
    /// [on its way](Holder::OnTheWay) in a stream. Waits until `by` for the answer of the host on
    /// which it lives, if that is neither the sender nor here.
    ///
    /// The loan lasts until it is dropped: keep it until the call is over.
    ///
    /// # Errors
    /// Says why it can't be used. It isn't known here then.
    ///
    /// # Cancel safety
    /// A handle whose owner is being asked is dropped there.
    pub(crate) async fn arrive(
        self: &Arc<Self>,
        name: &ResourceName,
        is_owned: bool,
        (from, at): (&Origin, &Origin),
        (to, by): (&Holder, Instant),
    ) -> Result<Arrived, Stale> {
        if let Some(arrived) = self.try_arrive(name, is_owned, (from, at), to) {
            return arrived;
        }
        let token = self.opened(name, to)?;
        let requests = self.requests(at).ok_or(Stale::NotServed)?;
        let claim = Claim {
            id: name.id,
            is_owned,
            from: name.holder.as_ref().unwrap_or(from).clone(),
        };
        let id = match requests.claim(name.origin.clone(), claim, by).await {
            Ok(id) => id,
            Err(stale) if stale.is_lost() => {
                return self.lost(name, (is_owned, token), (at, to), stale);
            }
            Err(stale) => return Err(stale),
        };
        {
            let mut books = self.books.lock();
            let book = books.get_mut(at).ok_or(Stale::NotServed)?;
            if !book.imports.hold(&name.origin, id) {
                return Err(Stale::UsedTwice);
            }
        }
        let (handle, loan) = self.proxy(name, (id, is_owned, token), at, to);
        let loan = loan.map(Loan::claimed);
        Ok((handle, loan))
    }

    /// Takes a handle whose owner is gone, if its token is enough.
    fn lost(
        self: &Arc<Self>,
        name: &ResourceName,
        (is_owned, token): (bool, Option<Bytes>),
        (at, to): (&Origin, &Holder),
        why: Stale,
    ) -> Result<Arrived, Stale> {
        if token.is_none() {
            return Err(why);
        }
        Ok(self.proxy(name, (LOST, is_owned, token), at, to))
    }

    /// An owned handle has come, and isn't taken: the value that it is in is refused, or not wanted
    /// any more. It is dropped where it lives. One of a third host is still held by its sender,
    /// which drops it.
    pub(crate) fn refuse(&self, name: &ResourceName, (from, at): (&Origin, &Origin)) {
        let mut books = self.books.lock();
        if let Some(book) = books.get_mut(&name.origin) {
            let holder = name.holder.as_ref().unwrap_or(from);
            let found = book.exports.find(name.id, holder);
            let is_owned = found.is_ok_and(|export| export.is_owned);
            let export = is_owned.then(|| book.exports.remove(name.id));
            drop(books);
            if let Some(export) = export.flatten() {
                export.undo();
            }
            return;
        }
        let is_of_sender = name.origin == *from || name.holder.as_ref() == Some(at);
        // Of one that is lost, nothing is left to drop.
        if is_of_sender
            && name.id != LOST
            && let Some(book) = books.get_mut(at)
            && book.imports.hold(&name.origin, name.id)
        {
            book.imports.dropped(&name.origin, name.id);
            self.has_unsent.store(true, Ordering::Relaxed);
            book.changed.notify_one();
        }
    }

    /// Creates the handle of another host's resource.
    fn proxy(
        self: &Arc<Self>,
        name: &ResourceName,
        (id, is_owned, token): (u64, bool, Option<Bytes>),
        boot: &Origin,
        to: &Holder,
    ) -> Arrived {
        let at = InstanceRef {
            origin: name.origin.clone(),
            component: name.component.clone(),
            instance: name.instance,
        };
        let (at, ty) = ((at, id), name.ty.as_str().into());
        if is_owned {
            let proxy = Proxy::owned(self.clone(), at, boot.clone(), to.clone(), token);
            let owned = Owned::new(ResourceRef::new(proxy, id, ty));
            return (Handle::Own(owned), None);
        }
        let proxy = Proxy::lent(self.clone(), at, boot.clone(), to.clone(), token);
        let resource = ResourceRef::new(proxy, id, ty);
        let loan = Loan {
            resource: resource.clone(),
            to: to.clone(),
            claimed: None,
        };
        (Handle::Borrow(resource), Some(loan))
    }
}

impl Book {
    /// Takes a handle out of the records that has come back, or looks it up if it is lent.
    fn take(
        &mut self,
        name: &ResourceName,
        is_owned: bool,
        holder: &Origin,
    ) -> Result<Export, Stale> {
        let export = self.exports.find(name.id, holder)?;
        let resource = &export.resource;
        let at = resource.at();
        if at.component != name.component || at.instance != name.instance {
            return Err(Stale::OtherInstance);
        }
        if **resource.ty() != *name.ty {
            return Err(Stale::OtherType(resource.ty().clone()));
        }
        if is_owned && !export.is_owned {
            return Err(Stale::NotHeld(format!("host `{}`", holder.host)));
        }
        let export = export.clone();
        if is_owned {
            self.exports.remove(name.id);
        }
        Ok(export)
    }
}

/// Hands a handle that has come back over to `to`, or lends it.
fn returned(export: Export, is_owned: bool, to: &Holder) -> Result<Arrived, Stale> {
    let (resource, from) = (export.resource, Holder::Host(export.holder));
    let (owner, id) = (resource.owner(), resource.id());
    if is_owned {
        owner.hand_over(id, &from, to)?;
        return Ok((Handle::Own(Owned::new(resource)), None));
    }
    owner.lend(id, &from, to)?;
    let loan = Loan {
        resource: resource.clone(),
        to: to.clone(),
        claimed: None,
    };
    Ok((Handle::Borrow(resource), Some(loan)))
}

impl Loan {
    /// The owner is told when it is over.
    fn claimed(mut self) -> Self {
        let owner: Arc<dyn Any + Send + Sync> = self.resource.owner().clone();
        self.claimed = owner.downcast().ok();
        self
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let Self { resource, to, .. } = self;
        resource.owner().give_back(resource.id(), to);
        if let Some(proxy) = &self.claimed {
            proxy.ledger().import_dropped(proxy);
        }
    }
}
