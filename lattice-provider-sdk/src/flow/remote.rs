//! The resources of other components in values.

use super::{
    context::{put, take},
    resource::wrong_kind,
};
use futures_util::future::BoxFuture;
use lattice_core::{
    call::{CallError, Context, FunctionRef},
    id::Source,
    stream::{Body, Handle, Owned, ResourceRef, Stale},
    sync::Mutex,
};
use serde::{Deserializer, Serializer};
use std::{fmt, sync::Arc};

/// A value that makes calls, whatever its type is.
pub trait AnyInvoke: Send + Sync + 'static {
    /// Calls a function.
    fn any_pass<'a>(
        &'a self,
        function: &'a FunctionRef,
        arguments: Body,
        context: Context,
    ) -> BoxFuture<'a, Result<Body, CallError>>;

    /// Returns in whose name it calls.
    fn any_source(&self) -> Source;
}

/// What makes the calls of a handle's methods: the caller of the client that the handle came from.
///
/// A handle that a handler was given has none, until its method `via` gives it one.
#[derive(Clone)]
pub struct Attached {
    pub(crate) caller: Option<Arc<dyn AnyInvoke>>,
    resource: Arc<str>,
}

impl Attached {
    /// The error of a call without a caller.
    pub(crate) fn missing(&self) -> CallError {
        CallError::BadArguments {
            reason: format!(
                "a handler was given this handle of `{}`, so it has no caller; give it one with `via(caller)`",
                self.resource
            ),
        }
    }
}

impl fmt::Debug for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attached({})", self.caller.is_some())
    }
}

/// A resource of another component, as the methods of a generated handle use it.
pub struct RemoteRef {
    resource: ResourceRef,
    attached: Attached,
}

impl RemoteRef {
    fn new(
        resource: ResourceRef,
        name: &str,
        caller: Option<Arc<dyn AnyInvoke>>,
    ) -> Result<Self, CallError> {
        if &**resource.ty() != name {
            return Err(resource.stale(&Stale::OtherType(resource.ty().clone())));
        }
        let attached = Attached {
            caller,
            resource: resource.ty().clone(),
        };
        Ok(Self { resource, attached })
    }

    /// Returns what calls its methods.
    pub fn caller(&self) -> &Attached {
        &self.attached
    }

    /// Returns a reference whose methods call with `caller`.
    pub fn via(&self, caller: impl AnyInvoke) -> Self {
        let attached = Attached {
            caller: Some(Arc::new(caller)),
            resource: self.attached.resource.clone(),
        };
        Self {
            resource: self.resource.clone(),
            attached,
        }
    }

    /// Lends it.
    ///
    /// # Errors
    /// Fails outside of a call.
    pub fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        put(serializer, |_| Ok(Handle::Borrow(self.resource.clone())))
    }

    /// Takes one that is lent, of the resource `name`.
    ///
    /// # Errors
    /// Fails when the next handle is another.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
        name: &str,
    ) -> Result<Self, D::Error> {
        take(deserializer, |handle, env| match handle {
            Handle::Borrow(resource) => Self::new(resource, name, env.caller.clone()),
            handle => Err(wrong_kind(&handle, &format!("borrow<{name}>"))),
        })
    }
}

impl fmt::Debug for RemoteRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.resource.fmt(f)
    }
}

/// The right to a resource of another component. Dropping it drops the resource there.
#[derive(Debug)]
pub struct RemoteOwned(Mutex<Option<Owned>>);

impl RemoteOwned {
    /// Gives it away.
    ///
    /// # Errors
    /// Fails outside of a call, and when it was given away already.
    pub fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        put(serializer, |_| {
            let owned = self.0.lock().take();
            owned
                .map(Handle::Own)
                .ok_or_else(|| CallError::BadArguments {
                    reason: Stale::UsedTwice.to_string(),
                })
        })
    }

    /// Takes one of the resource `name`.
    ///
    /// # Errors
    /// Fails when the next handle is another.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
        name: &str,
    ) -> Result<(Self, RemoteRef), D::Error> {
        take(deserializer, |handle, env| match handle {
            Handle::Own(owned) => {
                let resource = owned.resource().clone();
                let view = RemoteRef::new(resource, name, env.caller.clone())?;
                Ok((Self(Mutex::new(Some(owned))), view))
            }
            handle => Err(wrong_kind(&handle, &format!("own<{name}>"))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{Env, Home, ResourceType, decode};
    use bytes::Bytes;
    use lattice_core::{
        id::Origin,
        name::{ComponentId, HostId},
    };
    use serde::Deserialize;

    /// A handle to the resource `a:b/c/r`.
    #[derive(Debug)]
    struct Expected;

    impl<'de> Deserialize<'de> for Expected {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            RemoteOwned::deserialize(deserializer, "a:b/c/r").map(|_| Self)
        }
    }

    #[test]
    fn a_handle_of_another_type_is_refused() {
        for (name, is_expected) in [("a:b/c/r", true), ("a:b/c/s", false)] {
            let component = ComponentId::new("owner").expect("an id");
            let origin = Origin::new(HostId::new("here").expect("an id"), 1);
            let types = [ResourceType::of::<u8>(name)];
            let home = Home::new(component, origin, types.into(), 1);
            let owned = home.export(Arc::new(1_u8)).expect("there is room");
            let handles = vec![Handle::Own(owned)];
            let refuse = |reason| CallError::BadResult { reason };
            let env = Env::of_provider(home);
            let decoded = decode::<Expected>(&Bytes::from_static(&[0]), handles, &env, refuse);
            let is_stale = matches!(decoded, Err(CallError::StaleHandle { .. }));
            assert_eq!((decoded.is_ok(), is_stale), (is_expected, !is_expected));
        }
    }
}
