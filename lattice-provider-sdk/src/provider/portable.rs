//! Resources whose handles survive the host of their provider.

use super::{Call, Provider, Refusal};
use crate::flow::{Home, ResourceType, TokenOf};
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use lattice_core::{call::CallError, stream::Owned};
use std::{
    any::{Any, TypeId, type_name},
    fmt,
    sync::Arc,
};

/// A resource that any replica of its provider can make anew from a *token*, such as the name of a
/// bucket in a database that all replicas use.
///
/// When a handle leaves the provider's host, the token goes along with it. Calls of the handle's
/// methods go to the replica that has the value, as those of any other handle do. When its host was
/// lost, has left or was started again, or the provider was stopped there, the next call goes to
/// any replica that the link of the holder reaches. That makes the value anew, once for each
/// holder, and keeps it from then on.
///
/// A method may run while the host is lost. It is not called a second time, unless its link
/// declares it as idempotent, and fails as
/// [`HostLost`](crate::CallError::HostLost). The calls after that go elsewhere.
///
/// # What a token is
/// A token has at most 1 KiB: a call whose result has a longer one fails with
/// [`CallError::LimitExceeded`](crate::CallError::LimitExceeded). It is authenticated with the key
/// of the lattice, and bound to the provider's component, to the resource's type, and to the
/// component that holds the handle: it can't be forged, changed, or used by another one. It isn't
/// encrypted, so the hosts of its holders can read it: keep passwords out of it. It can't be
/// revoked: a provider that deletes what a token names has
/// [`from_token`](Self::from_token) refuse it.
///
/// Handles that never leave their host have no token.
///
/// # Limits
/// Two resources of one call have to be on one replica. A call with two that different replicas
/// have made anew fails with [`CallError::StaleHandle`](crate::CallError::StaleHandle). A call that
/// gives a handle back, and is the first to notice that the host is gone, fails too.
pub trait Portable<P: Provider>: Sized + Send + Sync + 'static {
    /// Returns the token of this value, each time that its handle leaves the provider's host. Must
    /// not block. If it panics, the handle isn't portable.
    fn to_token(&self) -> Vec<u8>;

    /// Makes the value anew from a token that a replica of this provider has returned. The call is
    /// over the link of the component that holds the handle, with its binding.
    ///
    /// # Errors
    /// Fails with the reason why there is no such value any more. The holder's call fails as
    /// [`CallError::StaleHandle`](crate::CallError::StaleHandle) then.
    ///
    /// # Cancel safety
    /// The future is dropped when the caller gives up. The value may also be made more than once.
    fn from_token(
        provider: &P,
        call: &Call<P>,
        token: &[u8],
    ) -> impl Future<Output = Result<Self, Refusal>> + Send;
}

/// The portable resources of a provider, by the Rust types that stand for them.
///
/// `PortableTypes::none().with::<Bucket>()` says that the resource is portable for which `Bucket`
/// stands.
pub struct PortableTypes<P: Provider>(Vec<PortableType<P>>);

struct PortableType<P: Provider> {
    rust: TypeId,
    name: &'static str,
    token: TokenOf,
    restore: Restore<P>,
}

/// Makes a resource anew.
pub(crate) type Restore<P> =
    fn(Arc<P>, Call<P>, Wanted) -> BoxFuture<'static, Result<Owned, CallError>>;

/// A resource to make anew, and where it is to live.
pub(crate) struct Wanted {
    /// `package/interface/name` without a version.
    pub(crate) resource: String,
    pub(crate) token: Bytes,
    pub(crate) home: Arc<Home>,
}

impl<P: Provider> PortableTypes<P> {
    /// No resource is portable.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// Adds the resource for which `T` stands.
    pub fn with<T: Portable<P>>(mut self) -> Self {
        self.0.push(PortableType {
            rust: TypeId::of::<T>(),
            name: type_name::<T>(),
            token: token::<P, T>,
            restore: restore::<P, T>,
        });
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes these types portable, of all that the provider has.
    pub(crate) fn mark(&self, all: &mut [ResourceType]) {
        for portable in &self.0 {
            let mut is_known = false;
            for ty in all.iter_mut().filter(|ty| ty.rust() == portable.rust) {
                ty.make_portable(portable.token);
                is_known = true;
            }
            if !is_known {
                tracing::error!(
                    rust = portable.name,
                    "a type in `portable` stands for no resource of the provider's world"
                );
            }
        }
    }

    /// Returns what makes resources of this Rust type anew, if they are portable.
    pub(crate) fn restore(&self, rust: TypeId) -> Option<Restore<P>> {
        let mut types = self.0.iter();
        types.find(|ty| ty.rust == rust).map(|ty| ty.restore)
    }
}

impl<P: Provider> fmt::Debug for PortableTypes<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|ty| ty.name);
        f.debug_list().entries(names).finish()
    }
}

fn token<P: Provider, T: Portable<P>>(value: &(dyn Any + Send + Sync)) -> Option<Vec<u8>> {
    value.downcast_ref::<T>().map(T::to_token)
}

fn restore<P: Provider, T: Portable<P>>(
    provider: Arc<P>,
    call: Call<P>,
    wanted: Wanted,
) -> BoxFuture<'static, Result<Owned, CallError>> {
    let Wanted {
        resource,
        token,
        home,
    } = wanted;
    let restored = async move {
        let made = T::from_token(&provider, &call, &token).await;
        let value = made.map_err(|refusal| CallError::StaleHandle {
            resource,
            reason: refusal.reason().to_owned(),
            is_lost: true,
        })?;
        home.export(Arc::new(value))
    };
    restored.boxed()
}
