//! Handles on their way to another host.

use super::{
    super::{Handle, Handles, Holder, Reader, ResourceRef, Stale, body},
    Ledger, Way,
    exports::GRACE,
    proxy::Proxy,
};
use crate::{
    call::{CallError, Ran},
    id::Origin,
    wire::ResourceName,
};
use std::{any::Any, sync::Arc};
use tokio::time::Instant;

/// A handle that leaves for another host.
#[derive(Debug)]
pub(crate) enum Leaving {
    /// A resource.
    Resource(Departed),
    /// The elements of a stream.
    Stream(Reader),
    /// The value of a future.
    Future(Reader),
}

/// The handle of a resource on its way to another host. Dropping this says that it isn't known
/// whether the handle has arrived, and the other host is asked later. That is right after a message
/// without a reply, such as a result or an element of a stream.
#[derive(Debug)]
pub(crate) struct Departed {
    ledger: Arc<Ledger>,
    name: ResourceName,
    what: What,
    by: Instant,
    is_settled: bool,
}

/// What has left.
#[derive(Debug)]
enum What {
    /// A handle of this process's own resource, recorded by this node.
    Given(Origin),
    /// The same, lent.
    Lent(Origin),
    /// A handle of another host's resource.
    Passed(Arc<Proxy>),
    /// The same, lent to that host.
    PassedOn(ResourceRef, Holder),
}

/// The handles of a value leave this process. Those that are lent come back when their [`Departed`]
/// is settled or dropped.
///
/// # Errors
/// Fails when the sender doesn't hold one of them, or uses one twice that it gives away. All are
/// dropped then.
pub(crate) fn depart(
    ledger: &Arc<Ledger>,
    mut handles: Handles,
    from: &Holder,
    way: &Way,
) -> Result<Vec<Leaving>, CallError> {
    body::once(&mut handles)?;
    let mut leaving = Vec::with_capacity(handles.len());
    for handle in handles {
        match leave(ledger, handle, from, way) {
            Ok(left) => leaving.push(left),
            Err(error) => {
                return_to_sender(leaving);
                return Err(error);
            }
        }
    }
    Ok(leaving)
}

/// Settles handles that were not sent.
fn return_to_sender(leaving: Vec<Leaving>) {
    for left in leaving {
        if let Leaving::Resource(departed) = left {
            departed.failed(Ran::No);
        }
    }
}

fn leave(
    ledger: &Arc<Ledger>,
    handle: Handle,
    from: &Holder,
    way: &Way,
) -> Result<Leaving, CallError> {
    let departed = match handle {
        Handle::Stream(reader) => return Ok(Leaving::Stream(reader)),
        Handle::Future(reader) => return Ok(Leaving::Future(reader)),
        Handle::Own(mut owned) => {
            let resource = owned.resource().clone();
            let to = Holder::Host(way.to.clone());
            if let Err(stale) = resource.owner().hand_over(resource.id(), from, &to) {
                // It isn't the sender's to drop.
                owned.forget();
                return Err(resource.stale(&stale));
            }
            let departed = ledger.depart(&resource, true, way);
            if departed.is_ok() {
                owned.forget();
            }
            departed.map_err(|stale| resource.stale(&stale))
        }
        Handle::Borrow(resource) => {
            let to = Holder::Host(way.to.clone());
            let lent = resource.owner().lend(resource.id(), from, &to);
            lent.map_err(|stale| resource.stale(&stale))?;
            ledger.depart(&resource, false, way).map_err(|stale| {
                resource.owner().give_back(resource.id(), &to);
                resource.stale(&stale)
            })
        }
    };
    departed.map(Leaving::Resource)
}

impl Ledger {
    /// Records a handle that has been handed over to another host, and names it.
    fn depart(
        self: &Arc<Self>,
        resource: &ResourceRef,
        is_owned: bool,
        way: &Way,
    ) -> Result<Departed, Stale> {
        let owner: Arc<dyn Any + Send + Sync> = resource.owner().clone();
        let at = resource.at();
        let (what, id, holder) = if let Ok(proxy) = owner.downcast::<Proxy>() {
            let (id, holder) = (proxy.number(), proxy.boot.clone());
            let what = if is_owned {
                What::Passed(proxy)
            } else {
                What::PassedOn(resource.clone(), Holder::Host(way.to.clone()))
            };
            (what, id, holder)
        } else {
            // What is lent comes back with the call, whether it has arrived or not.
            let unsure = is_owned.then_some(way.by + GRACE);
            let given = (resource.clone(), is_owned);
            let id = self.give(&at.origin, given, &way.to, unsure)?;
            let what = if is_owned {
                What::Given(at.origin.clone())
            } else {
                What::Lent(at.origin.clone())
            };
            // Another node of this process sends it, so the receiver claims what it has.
            let sender = if at.origin == way.via {
                &way.via
            } else {
                &way.to
            };
            (what, id, sender.clone())
        };
        let name = ResourceName {
            origin: at.origin.clone(),
            component: at.component.clone(),
            instance: at.instance,
            id,
            holder: (holder != way.via).then_some(holder),
            ty: resource.ty().to_string(),
        };
        Ok(Departed {
            ledger: self.clone(),
            name,
            what,
            by: way.by,
            is_settled: false,
        })
    }
}

impl Departed {
    /// What the other host is told.
    pub(crate) fn name(&self) -> &ResourceName {
        &self.name
    }

    /// Whether it is given away, and not lent.
    pub(crate) fn is_owned(&self) -> bool {
        matches!(self.what, What::Given(_) | What::Passed(_))
    }

    /// The call that it was sent with has returned a result: it has arrived, and what was lent
    /// comes back.
    pub(crate) fn arrived(mut self) {
        match &self.what {
            What::Given(node) => self.ledger.confirm(node, self.name.id),
            What::Passed(proxy) => self.ledger.import_moved(proxy),
            What::Lent(_) | What::PassedOn(..) => return,
        }
        self.is_settled = true;
    }

    /// The call that it was sent with has failed. If it did not run, the handle is dropped.
    pub(crate) fn failed(mut self, ran: Ran) {
        if ran != Ran::No {
            return;
        }
        match &self.what {
            What::Given(node) => self.ledger.withdraw(node, self.name.id),
            What::Passed(proxy) => self.ledger.import_dropped(proxy),
            What::Lent(_) | What::PassedOn(..) => return,
        }
        self.is_settled = true;
    }
}

impl Drop for Departed {
    fn drop(&mut self) {
        if self.is_settled {
            return;
        }
        match &self.what {
            // Its holder is asked for it.
            What::Given(_) => {}
            What::Lent(node) => self.ledger.withdraw(node, self.name.id),
            What::Passed(proxy) => self.ledger.import_dropped_later(proxy, self.by + GRACE),
            What::PassedOn(resource, to) => resource.owner().give_back(resource.id(), to),
        }
    }
}
