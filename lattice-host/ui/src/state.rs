//! What the handlers of requests share.

use crate::{images::Images, limits::UiLimits};
use lattice_core::Lattice;
use std::{fmt, sync::Arc};
use tokio_util::sync::CancellationToken;

/// The state of one service. Cheap to clone.
#[derive(Clone)]
pub(crate) struct State(Arc<Inner>);

struct Inner {
    lattice: Lattice,
    is_read_only: bool,
    limits: UiLimits,
    stop: CancellationToken,
    images: Option<Arc<dyn Images>>,
}

/// What a [`State`] is made of.
pub(crate) struct Parts {
    pub(crate) lattice: Lattice,
    pub(crate) is_read_only: bool,
    pub(crate) limits: UiLimits,
    pub(crate) images: Option<Arc<dyn Images>>,
}

impl State {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner {
            lattice: parts.lattice,
            is_read_only: parts.is_read_only,
            limits: parts.limits,
            stop: CancellationToken::new(),
            images: parts.images,
        }))
    }

    /// The handle to the lattice, in whose operator's name everything is done.
    pub(crate) fn lattice(&self) -> &Lattice {
        &self.0.lattice
    }

    /// Returns whether requests that change something are refused.
    pub(crate) fn is_read_only(&self) -> bool {
        self.0.is_read_only
    }

    pub(crate) fn limits(&self) -> &UiLimits {
        &self.0.limits
    }

    /// Cancelled when the service stops. Every stream ends then.
    pub(crate) fn in_service(&self) -> CancellationToken {
        self.0.stop.clone()
    }

    /// What resolves the images of manifests, if something does.
    pub(crate) fn images(&self) -> Option<&Arc<dyn Images>> {
        self.0.images.as_ref()
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("lattice", self.0.lattice.name())
            .field("is_read_only", &self.0.is_read_only)
            .finish_non_exhaustive()
    }
}
