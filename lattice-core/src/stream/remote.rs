//! Handles that cross hosts.
//!
//! A host records which of its resources the boots of other hosts hold, each under a number that is
//! never used again. Which of its components has a handle of another host's resource, a host
//! records itself.

use super::{Handle, Handles, Holder, Reader, ResourceRef, Stale};
use crate::{
    call::{CallError, Ran},
    id::Origin,
    wire::ResourceName,
};
use std::sync::Arc;
use tokio::time::Instant;

/// Who holds what across hosts, of all nodes on one connection.
#[derive(Debug, Default)]
pub(crate) struct Ledger {}

/// The way of a message to another host.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    /// The node that sends it.
    pub(crate) via: Origin,
    /// The boot that it is for.
    pub(crate) to: Origin,
    /// When it has arrived at the latest, or never will: the deadline of its call. Of an element of
    /// a stream, some seconds from now.
    pub(crate) by: Instant,
}

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

/// The handle of a resource on its way to another host. If this is dropped, it isn't known whether
/// the handle has arrived, which is found out later: so it is dropped after a message for which
/// there is no reply, such as a result or an element of a stream.
#[derive(Debug)]
pub(crate) struct Departed {
    name: ResourceName,
    is_owned: bool,
}

/// What of a lent resource is undone when the call is over.
#[derive(Debug)]
pub(crate) struct Loan {}

/// The handles of a value leave this process. Those that are lent come back when their [`Departed`]
/// is settled or dropped.
///
/// # Errors
/// Fails when the sender doesn't hold one of them, or uses one twice that it gives away. None has
/// left then, and all are dropped.
pub(crate) fn depart(
    ledger: &Arc<Ledger>,
    handles: Handles,
    from: &Holder,
    way: &Way,
) -> Result<Vec<Leaving>, CallError> {
    let _ = (ledger, from, way);
    let leave = |handle: Handle| match handle {
        Handle::Stream(reader) => Ok(Leaving::Stream(reader)),
        Handle::Future(reader) => Ok(Leaving::Future(reader)),
        Handle::Own(owned) => Err(owned.resource().stale(&Stale::NotServed)),
        Handle::Borrow(resource) => Err(resource.stale(&Stale::NotServed)),
    };
    handles.into_iter().map(leave).collect()
}

/// Checks the handles of a value that has arrived: none that is given away is in it twice.
///
/// # Errors
/// Fails when one is.
pub(crate) fn check_arrived(handles: &mut [Handle]) -> Result<(), CallError> {
    super::body::once(handles)
}

impl Departed {
    /// What the other host is told.
    pub(crate) fn name(&self) -> &ResourceName {
        &self.name
    }

    /// Whether it is given away, and not lent.
    pub(crate) fn is_owned(&self) -> bool {
        self.is_owned
    }

    /// The call that it was sent with has returned a result: it has arrived, and what was lent
    /// comes back.
    pub(crate) fn arrived(self) {}

    /// The call that it was sent with has failed.
    pub(crate) fn failed(self, _ran: Ran) {}
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
    ) -> Option<Result<(Handle, Option<Loan>), Stale>> {
        let _ = (name, is_owned, from, at, to);
        Some(Err(Stale::NotServed))
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
    pub(crate) async fn arrive(
        self: &Arc<Self>,
        name: &ResourceName,
        is_owned: bool,
        (from, at): (&Origin, &Origin),
        to: &Holder,
        by: Instant,
    ) -> Result<(Handle, Option<Loan>), Stale> {
        let _ = by;
        match self.try_arrive(name, is_owned, (from, at), to) {
            Some(result) => result,
            None => Err(Stale::NotServed),
        }
    }
}

/// The error of a call whose handle of this name can't be used.
pub(crate) fn stale(name: &ResourceName, reason: &Stale) -> CallError {
    CallError::StaleHandle {
        resource: name.ty.clone(),
        reason: reason.to_string(),
    }
}

/// The name of a resource, for messages only: what is sent has the name of its [`Departed`].
#[expect(dead_code, reason = "not used yet")]
pub(crate) fn name_of(resource: &ResourceRef) -> ResourceName {
    let at = resource.at();
    ResourceName {
        origin: at.origin.clone(),
        component: at.component.clone(),
        instance: at.instance,
        id: resource.id(),
        holder: None,
        ty: resource.ty().to_string(),
    }
}
