//! Handles: what a value can contain besides data.

use super::Reader;
use crate::{
    call::CallError,
    id::{Origin, Source},
    name::ComponentId,
};
use bytes::Bytes;
use std::{any::Any, fmt, sync::Arc};

/// The handles of a value, in the order in which a walk over it meets their places. Without any,
/// nothing is allocated.
pub type Handles = Vec<Handle>;

/// One handle of a value.
#[derive(Debug)]
pub enum Handle {
    /// A resource that is given away.
    Own(Owned),
    /// A resource that is lent until the call ends.
    Borrow(ResourceRef),
    /// The elements of a stream.
    Stream(Reader),
    /// The value of a future: a stream of exactly one element.
    Future(Reader),
}

/// Where a resource lives. An instance is never used again after it ended, and neither is its
/// number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InstanceRef {
    /// The boot of the host.
    pub origin: Origin,
    /// The component that defines the resource.
    pub component: ComponentId,
    /// The instance of the component.
    pub instance: u64,
}

/// A resource, as anyone can name it. Knowing it gives no right to use it. Cheap to clone.
#[derive(Clone)]
pub struct ResourceRef {
    owner: Arc<dyn Owner>,
    id: u64,
    ty: Arc<str>,
}

/// Who holds a handle, as the owner of the resource records it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Holder {
    /// A component on the owner's own host, or an operator there.
    Local(Source),
    /// A boot of another host. Which of its components has the handle, that host records itself.
    Host(Origin),
    /// It is on its way in a stream, and no component has it.
    OnTheWay,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(source) => source.fmt(f),
            Self::Host(origin) => write!(f, "host `{}`", origin.host),
            Self::OnTheWay => f.write_str("the stream"),
        }
    }
}

/// The instance in which resources live. It keeps record of who holds them, on its own host by
/// component and on others by boot. Nothing here may block or wait: handles are dropped in any
/// place.
pub trait Owner: Any + Send + Sync {
    /// Returns where this is.
    fn at(&self) -> &InstanceRef;

    /// A handle moves.
    ///
    /// # Errors
    /// Fails when `from` doesn't hold it.
    fn hand_over(&self, id: u64, from: &Holder, to: &Holder) -> Result<(), Stale>;

    /// A handle is lent, until it is [given back](Self::give_back).
    ///
    /// # Errors
    /// Fails when `from` neither holds it nor has it lent.
    fn lend(&self, id: u64, from: &Holder, to: &Holder) -> Result<(), Stale>;

    /// A handle is no longer lent to `by`.
    fn give_back(&self, id: u64, by: &Holder);

    /// The owned handle was dropped, and with it the resource.
    fn dropped(&self, id: u64);

    /// Returns what another replica of the component makes the resource anew from, if it is
    /// portable: at most [`MAX_TOKEN`](crate::auth::MAX_TOKEN) bytes. Called each time its handle
    /// leaves for another host. The bytes can be read there, and can't be changed.
    fn token(&self, _id: u64) -> Option<Bytes> {
        None
    }
}

/// Why a handle can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Stale {
    /// It was dropped, or never existed.
    #[error("it was dropped, or never existed")]
    Dropped,
    /// The component neither holds it nor has it lent.
    #[error("{0} doesn't hold it")]
    NotHeld(String),
    /// It is of another type.
    #[error("it is a `{0}`")]
    OtherType(Arc<str>),
    /// The instance that it lives in ended.
    #[error("the instance that it lives in ended: {0}")]
    InstanceEnded(Arc<str>),
    /// The host that held it was not heard of for the time of a lease, so it was dropped.
    #[error("the lease of its holder is over: its host was not heard of for too long")]
    LeaseOver,
    /// The host on which it lives refuses it.
    #[error("{0}")]
    Refused(Arc<str>),
    /// The host on which it lived says that it was lost.
    #[error("{0}")]
    Lost(Arc<str>),
    /// The token that was sent with it is invalid.
    #[error("its token isn't valid for this component, resource and holder")]
    InvalidToken,
    /// The host on which it lives could not be asked for it.
    #[error("the host on which it lives could not be asked for it: {0}")]
    OwnerUnreachable(Arc<str>),
    /// The host on which it lives has been started again since.
    #[error("its host was started again since")]
    OwnerRestarted,
    /// The component that it lives in is no longer served there.
    #[error("its component is no longer served there")]
    NotServed,
    /// It lives in another instance than the one that is called, which may be that of another
    /// handle of the call.
    #[error(
        "it lives in another instance than the one that is called, or than another handle of the call"
    )]
    OtherInstance,
    /// It is given away while it is lent to a call that still runs.
    #[error("it is lent to a call that still runs")]
    Lent,
    /// It is given away, and used a second time in the same value.
    #[error("it is given away and used again in the same call")]
    UsedTwice,
}

impl Stale {
    /// Returns whether the resource was lost with its instance or host, and not dropped or given
    /// away.
    pub fn is_lost(&self) -> bool {
        matches!(
            self,
            Self::InstanceEnded(_)
                | Self::LeaseOver
                | Self::Lost(_)
                | Self::OwnerUnreachable(_)
                | Self::OwnerRestarted
                | Self::NotServed
        )
    }
}

impl ResourceRef {
    /// Names a resource of `owner` by its id there, and by its type, `package/interface/name`
    /// without a version.
    pub fn new(owner: Arc<dyn Owner>, id: u64, ty: Arc<str>) -> Self {
        Self { owner, id, ty }
    }

    /// Where it lives.
    pub fn at(&self) -> &InstanceRef {
        self.owner.at()
    }

    /// The instance in which it lives.
    pub fn owner(&self) -> &Arc<dyn Owner> {
        &self.owner
    }

    /// Its id there, which is never used again.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its type: `package/interface/name` without a version.
    pub fn ty(&self) -> &Arc<str> {
        &self.ty
    }

    /// Whether this names the same resource.
    pub fn is(&self, other: &Self) -> bool {
        self.id == other.id && self.at() == other.at()
    }

    /// The error of a call that uses it although it is stale.
    pub fn stale(&self, reason: &Stale) -> CallError {
        CallError::StaleHandle {
            resource: self.ty.to_string(),
            reason: reason.to_string(),
            is_lost: reason.is_lost(),
        }
    }
}

impl fmt::Debug for ResourceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { owner, id, ty } = self;
        let at = owner.at();
        write!(f, "{ty} {id} of {}/{}", at.component, at.instance)
    }
}

/// The one right to a resource. Dropping it drops the resource.
#[derive(Debug)]
pub struct Owned {
    resource: ResourceRef,
    is_over: bool,
}

impl Owned {
    /// Takes the right to a resource, which the caller must have: nothing is checked here.
    pub fn new(resource: ResourceRef) -> Self {
        Self {
            resource,
            is_over: false,
        }
    }

    /// The resource.
    pub fn resource(&self) -> &ResourceRef {
        &self.resource
    }

    /// Gives up the right without dropping the resource.
    pub fn into_resource(mut self) -> ResourceRef {
        self.forget();
        self.resource.clone()
    }

    pub(super) fn forget(&mut self) {
        self.is_over = true;
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if !self.is_over {
            self.resource.owner.dropped(self.resource.id);
        }
    }
}

impl Handle {
    /// The resource of an owned or lent handle.
    pub fn resource(&self) -> Option<&ResourceRef> {
        match self {
            Self::Own(owned) => Some(owned.resource()),
            Self::Borrow(resource) => Some(resource),
            Self::Stream(_) | Self::Future(_) => None,
        }
    }
}
