//! Putting a provider into service from any Rust program.

use crate::IntoService;
use lattice_core::{
    Lattice,
    name::{ComponentId, NameError},
    node::{self, ServeLimits, Serving},
};

/// Why a provider was not put into service.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The component's id breaks the rule for ids.
    #[error("the provider can't be served under this id")]
    Id(#[source] NameError),
    /// The node did not take it.
    #[error(transparent)]
    Node(#[from] node::ServeError),
}

/// Serves a provider as component `id`, for as long as the answered guard is kept. The process that does so is no host: it
/// is a member of the lattice that serves this, and calls reach it as they reach any other.
///
/// # Errors
/// [`ServeError`]; nothing is served then.
pub async fn serve(
    lattice: &Lattice,
    id: &str,
    provider: impl IntoService,
) -> Result<Serving, ServeError> {
    serve_within(lattice, id, provider, ServeLimits::default()).await
}

/// The same with limits of its own on how many calls run, how many wait, and how large a result may be.
///
/// # Errors
/// [`ServeError`]; nothing is served then.
pub async fn serve_within(
    lattice: &Lattice,
    id: &str,
    provider: impl IntoService,
    limits: ServeLimits,
) -> Result<Serving, ServeError> {
    let id = ComponentId::new(id).map_err(ServeError::Id)?;
    Ok(lattice.serve(id, provider.into_service(), limits).await?)
}
