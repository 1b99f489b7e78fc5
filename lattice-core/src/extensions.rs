//! Values that upper layers attach to a handle of a lower one, by their type.
//!
//! An optional layer (desired state, views) shares one value per lattice in this way, without the
//! layer below knowing its type.

use crate::sync::Mutex;
use std::{
    any::{Any, TypeId},
    collections::BTreeMap,
    fmt,
    sync::Arc,
};

/// At most one value of each type. A value is created when it is first needed, and kept as long as
/// the map.
#[derive(Default)]
pub struct Extensions(Mutex<BTreeMap<TypeId, Arc<dyn Any + Send + Sync>>>);

impl Extensions {
    /// Returns the value of type `T`, and creates it if there is none yet. `make` must not use this
    /// map.
    pub fn get_or_init<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        let mut values = self.0.lock();
        let value = values
            .entry(TypeId::of::<T>())
            .or_insert_with(|| Arc::new(make()));
        // The key is the type, so this never fails.
        Arc::downcast(value.clone()).unwrap_or_else(|_| unreachable!("filed under its type"))
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extensions").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_has_one_value() {
        let extensions = Extensions::default();
        assert_eq!(*extensions.get_or_init(|| 1_u8), 1);
        assert_eq!(*extensions.get_or_init(|| 2_u8), 1, "made once");
        assert_eq!(*extensions.get_or_init(|| 3_u16), 3);
    }
}
