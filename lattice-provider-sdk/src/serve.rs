//! Serving a provider from any Rust program.

use crate::service::IntoService;
use lattice_core::{
    Lattice,
    name::{ComponentId, IntoName},
    server::{ServeError, ServeHandle, ServeLimits},
};

/// Serves a provider as component `id` until the returned guard is dropped or stopped.
///
/// The process that calls this isn't a host. It joins the lattice as a member that serves this one
/// component, and calls reach the component as they reach any other.
///
/// `id` is a [`ComponentId`], or a text that parses as one, such as `"counters"`.
///
/// # Errors
/// Fails with a [`ServeError`] when `id` is invalid, when this process serves a component with that
/// id already, or when the lattice can't be reached. Nothing is served then.
pub async fn serve(
    lattice: &Lattice,
    id: impl IntoName<ComponentId>,
    provider: impl IntoService,
) -> Result<ServeHandle, ServeError> {
    serve_within(lattice, id, provider, ServeLimits::default()).await
}

/// Serves a provider like [`serve`], with its own limits on how many calls run, how many calls are
/// queued, and how large a result may be.
///
/// # Errors
/// Fails like [`serve`].
pub async fn serve_within(
    lattice: &Lattice,
    id: impl IntoName<ComponentId>,
    provider: impl IntoService,
    limits: ServeLimits,
) -> Result<ServeHandle, ServeError> {
    let serving = lattice.serve(id, provider.into_service());
    serving.limits(limits).await
}
