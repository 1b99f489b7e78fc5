//! What a host can run: the seam between placement and whatever executes components.

use super::WorkItem;
use crate::{serve::Service, server::ServeLimits};
use futures_util::future::BoxFuture;
use std::{fmt, sync::Arc};

/// Makes services of what desired state declares.
pub trait Runtime: Send + Sync + 'static {
    /// Makes one ready to be called. It runs nothing before its first call. The agent gives up after a while.
    ///
    /// # Errors
    /// [`RuntimeError`]: it is tried again later, each time later.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    fn prepare(&self, item: Arc<WorkItem>) -> BoxFuture<'_, Result<Prepared, RuntimeError>>;
}

/// A service that can be put into service.
pub struct Prepared {
    /// The service.
    pub service: Arc<dyn Service>,
    /// How much of it may run and wait at a time.
    pub limits: ServeLimits,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Why a component did not come up on a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct RuntimeError {
    reason: String,
}

impl RuntimeError {
    /// For this reason, which should say what to do next.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
        }
    }

    /// An error and what caused it, in one line.
    pub fn of(error: &dyn std::error::Error) -> Self {
        Self::new(crate::error::chain(error))
    }
}
