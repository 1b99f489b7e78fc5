//! The interface between placement and the code that executes components.

use super::WorkItem;
use crate::{serve::Service, server::ServeLimits};
use futures_util::future::BoxFuture;
use std::{fmt, sync::Arc};

/// Creates services for the components of the desired state.
pub trait Runtime: Send + Sync + 'static {
    /// Prepares a component, so that it can be called. None of its code runs before the first call.
    /// The agent drops the future if it takes too long.
    ///
    /// # Errors
    /// Fails with [`RuntimeError`] if the component can't be prepared. The agent tries again, with
    /// growing pauses.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    fn prepare(&self, item: Arc<WorkItem>) -> BoxFuture<'_, Result<Prepared, RuntimeError>>;
}

/// A service that can be put into service.
pub struct Prepared {
    /// The service.
    pub service: Arc<dyn Service>,
    /// How many calls of it may run and wait at a time.
    pub limits: ServeLimits,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Why a component failed to start on a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct RuntimeError {
    reason: String,
    is_image_away: bool,
}

impl RuntimeError {
    /// Makes an error from a reason, which should state what to do next.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            is_image_away: false,
        }
    }

    /// Marks this error as caused by an unavailable image. Such a start is retried without limit,
    /// and never counts against the version.
    #[must_use]
    pub fn image_away(self) -> Self {
        Self {
            is_image_away: true,
            ..self
        }
    }

    /// Returns whether the start failed because the image was unavailable.
    pub fn is_image_away(&self) -> bool {
        self.is_image_away
    }

    /// Makes an error from another error and its causes, in one line.
    pub fn of(error: &dyn std::error::Error) -> Self {
        Self::new(crate::error::chain(error))
    }
}
