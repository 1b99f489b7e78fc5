//! A provider's own resources in values.

use super::context::{put, take};
use lattice_core::{
    call::CallError,
    stream::{Handle, Stale},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{
    any::type_name,
    fmt,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// A resource of this provider that is given away, or that was given back: `own<r>` in WIT.
///
/// A handler that returns one gives its value to the caller. The SDK keeps the value, and lends it
/// to the methods that the holder calls. When the holder drops its handle, the value is dropped, at
/// the end of the last method that uses it.
///
/// In arguments, it is a resource that the caller gives back: the value itself.
///
/// ```
/// use lattice_provider_sdk::Own;
///
/// struct Bucket(String);
///
/// let bucket = Own::new(Bucket("photos".to_owned()));
/// assert_eq!(bucket.0, "photos");
/// assert_eq!(bucket.into_inner().0, "photos");
/// ```
pub struct Own<T> {
    value: Arc<T>,
    is_given: AtomicBool,
}

impl<T> Own<T> {
    /// Makes a resource of a value.
    pub fn new(value: T) -> Self {
        Self::of(Arc::new(value))
    }

    /// Returns the value.
    ///
    /// # Panics
    /// Panics if it was given away already, which only code that serializes it by itself can do.
    pub fn into_inner(self) -> T {
        Arc::into_inner(self.value).expect("a resource that was not given away")
    }

    fn of(value: Arc<T>) -> Self {
        Self {
            value,
            is_given: AtomicBool::new(false),
        }
    }
}

impl<T> From<T> for Own<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T> Deref for Own<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> fmt::Debug for Own<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Own<{}>", type_name::<T>())
    }
}

impl<T: Send + Sync + 'static> Serialize for Own<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        put(serializer, |out| {
            if self.is_given.swap(true, Ordering::Relaxed) {
                return Err(CallError::BadResult {
                    reason: format!("{self:?}: {}", Stale::UsedTwice),
                });
            }
            let owned = out.env.home()?.export(self.value.clone())?;
            Ok(Handle::Own(owned))
        })
    }
}

impl<'de, T: Send + Sync + 'static> Deserialize<'de> for Own<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        take(deserializer, |handle, env| {
            let Handle::Own(owned) = handle else {
                return Err(wrong_kind(&handle, "an owned resource"));
            };
            let taken = env.home()?.take_back(owned.resource());
            let value = taken.map_err(|stale| owned.resource().stale(&stale))?;
            // It is out of the table.
            owned.into_resource();
            Ok(Self::of(value))
        })
    }
}

/// A resource of this provider that is lent to it until the call ends: `borrow<r>` in WIT. Derefs
/// to the value.
///
/// A handler gets plain references for its parameters. It gets this for a handle inside of another
/// value, such as a list.
pub struct Lent<T>(Arc<T>);

impl<T> Deref for Lent<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Lent<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lent<{}>", type_name::<T>())
    }
}

impl<'de, T: Send + Sync + 'static> Deserialize<'de> for Lent<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        take(deserializer, |handle, env| {
            let Handle::Borrow(resource) = handle else {
                return Err(wrong_kind(&handle, "a lent resource"));
            };
            let lent = env.home()?.lent(&resource);
            lent.map(Self).map_err(|stale| resource.stale(&stale))
        })
    }
}

/// The error of a handle that is of another kind than its place.
pub(super) fn wrong_kind(handle: &Handle, expected: &str) -> CallError {
    let found = match handle {
        Handle::Own(owned) => format!("own<{}>", owned.resource().ty()),
        Handle::Borrow(resource) => format!("borrow<{}>", resource.ty()),
        Handle::Stream(_) => "a stream".to_owned(),
        Handle::Future(_) => "a future".to_owned(),
    };
    CallError::BadArguments {
        reason: format!("a handle is {found}, and its place takes {expected}"),
    }
}
