//! Handles on their way to another host.

use super::{
    super::{Handle, Handles, Holder, Reader, ResourceRef, body},
    Ledger, Way,
    exports::GRACE,
    portable,
    proxy::{LOST, Proxy},
};
use crate::{
    call::{CallError, Ran},
    id::Origin,
    wire::ResourceName,
};
use std::{any::Any, sync::Arc, time::Duration};
use tokio::time::Instant;

/// After its stream was cut off, an element has arrived within this time, or never will. Its
/// receiver learns within seconds that the stream is, and may then have to ask a third host for ten
/// seconds.
const CUT_OFF: Duration = Duration::from_secs(15);

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
/// without a reply, such as a result, and for an element of a stream that was cut off.
#[derive(Debug)]
pub(crate) struct Departed {
    ledger: Arc<Ledger>,
    name: ResourceName,
    what: What,
    /// When it has arrived at the latest; `None` for an element of a stream.
    by: Option<Instant>,
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
    portable::stand_in(&mut handles, from);
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
            departed
        }
        Handle::Borrow(resource) => {
            let to = Holder::Host(way.to.clone());
            let lent = resource.owner().lend(resource.id(), from, &to);
            lent.map_err(|stale| resource.stale(&stale))?;
            let departed = ledger.depart(&resource, false, way);
            departed.inspect_err(|_| resource.owner().give_back(resource.id(), &to))
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
    ) -> Result<Departed, CallError> {
        let owner: Arc<dyn Any + Send + Sync> = resource.owner().clone();
        let at = resource.at();
        // Its owner needs no token.
        let token = if at.origin == way.to {
            None
        } else {
            self.token(resource, way.holder.as_ref())?
        };
        let (what, id, holder) = if let Ok(proxy) = owner.downcast::<Proxy>() {
            let is_lost = proxy.state.lock().is_lost;
            let id = if is_lost { LOST } else { proxy.number() };
            let holder = proxy.boot.clone();
            let what = if is_owned {
                What::Passed(proxy)
            } else {
                What::PassedOn(resource.clone(), Holder::Host(way.to.clone()))
            };
            (what, id, holder)
        } else {
            // What is lent comes back with the call, whether it has arrived or not.
            let unsure = way.by.filter(|_| is_owned).map(|by| by + GRACE);
            let given = (resource.clone(), is_owned);
            let id = self.give(&at.origin, given, &way.to, unsure);
            let id = id.map_err(|stale| resource.stale(&stale))?;
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
            token,
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
            // The other host may have the token only, because it has not reached the owner. If it
            // has claimed the handle, this number is over, and dropping it changes nothing.
            What::Passed(proxy) if self.name.token.is_some() => self.ledger.import_dropped(proxy),
            What::Passed(proxy) => self.ledger.import_moved(proxy),
            What::Lent(_) | What::PassedOn(..) => return,
        }
        self.is_settled = true;
    }

    /// The receiver of the stream that it was sent in has taken it. If another host than this one
    /// has to say so too, it has, or it refuses the receiver.
    pub(crate) fn taken(mut self) {
        match &self.what {
            What::Given(node) => self.ledger.confirm(node, self.name.id),
            What::Passed(proxy) => self.ledger.import_dropped(proxy),
            What::Lent(_) | What::PassedOn(..) => return,
        }
        self.is_settled = true;
    }

    /// What it was sent in doesn't arrive any more, or has within seconds from now.
    pub(crate) fn cut_off(mut self) {
        self.by = None;
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
            What::Given(node) => {
                if self.by.is_none() {
                    let ask = Instant::now() + CUT_OFF;
                    self.ledger.doubt(node, self.name.id, ask);
                }
            }
            What::Lent(node) => self.ledger.withdraw(node, self.name.id),
            What::Passed(proxy) => {
                let at = match self.by {
                    Some(by) => by + GRACE,
                    None => Instant::now() + CUT_OFF,
                };
                self.ledger.import_dropped_later(proxy, at);
            }
            What::PassedOn(resource, to) => resource.owner().give_back(resource.id(), to),
        }
    }
}
