//! What the page can ask for and change, beside the stream.

use crate::state::State;
use axum::Router;

/// The paths of POSTs that change nothing, which are allowed in read-only mode.
pub(crate) const READS: &[&str] = &[];

/// Returns the paths of all actions.
pub(crate) fn routes(_state: State) -> Router {
    Router::new()
}
