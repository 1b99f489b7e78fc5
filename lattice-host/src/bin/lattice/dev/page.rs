//! The page that shows the lattice in a browser.

use crate::failure::Failure;
use lattice_core::Lattice;

/// The page, which is served until this is dropped.
#[derive(Debug)]
#[expect(dead_code, reason = "it is made with the feature `ui`")]
pub(super) struct Page {
    /// Where to open it, with its token.
    pub(super) address: String,
}

/// Serves the page of a lattice at an address, such as `127.0.0.1:9119`.
///
/// # Errors
/// Fails when the address can't be opened, or this program was built without the page.
#[expect(clippy::unused_async, reason = "it listens with the feature `ui`")]
pub(super) async fn serve(_: &Lattice, address: &str) -> Result<Page, Failure> {
    Err(Failure::Usage(format!(
        "--ui {address}: this `lattice` was built without the page; build it with the feature `ui`"
    )))
}
