//! The page over real HTTP, without a browser.

mod actions;
mod client;
mod entry;
mod limits;
mod mounted;
mod stream;

use lattice_core::Lattice;
use lattice_ui::{Ui, UiServer};
use std::time::Duration;

/// The deadline of each wait.
const PATIENCE: Duration = Duration::from_secs(30);
const TOKEN: &str = "0123456789abcdef";

async fn lattice() -> Lattice {
    Lattice::in_memory("test").await.expect("it opens")
}

/// Serves a page with a known token at a free port.
async fn serve(ui: Ui) -> UiServer {
    let address = "127.0.0.1:0".parse().expect("an address");
    ui.token(TOKEN).serve(address).await.expect("it is served")
}
