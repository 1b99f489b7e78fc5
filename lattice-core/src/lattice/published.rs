//! What components have published about themselves.

use super::Lattice;
use crate::{name::ComponentId, store::StoreError, type_store::TypesError, types::ComponentTypes};
use std::sync::Arc;

impl Lattice {
    /// Returns the exports and imports of a component: as hosts serve it now, or as it was started
    /// last. `None` if it was never started, or if what it has published can't be used.
    ///
    /// # Errors
    /// Fails with [`StoreError`] if the store can't be read.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn published_types(
        &self,
        component: &ComponentId,
    ) -> Result<Option<Arc<ComponentTypes>>, StoreError> {
        let types = &self.connection().types;
        let served = match self.peers().digest(component) {
            Some(digest) => usable(component, types.by_digest(&digest).await)?,
            None => None,
        };
        match served {
            Some(served) => Ok(Some(served)),
            None => usable(component, types.of(component).await),
        }
    }
}

/// Returns the types, or `None` if they can't be used: those are checked at call time.
fn usable(
    component: &ComponentId,
    found: Result<Option<Arc<ComponentTypes>>, TypesError>,
) -> Result<Option<Arc<ComponentTypes>>, StoreError> {
    match found {
        Ok(found) => Ok(found),
        Err(TypesError::Store(error)) => Err(error),
        Err(unusable) => {
            tracing::debug!(%component, reason = %unusable, "the published types can't be used");
            Ok(None)
        }
    }
}
