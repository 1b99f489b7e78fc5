//! The actors of the examples, as `make guests` left them.

use lattice_host::Actor;
use std::path::{Path, PathBuf};

/// The front desk's interface and the greeter's.
pub const DESK: &str = "example:hello/desk@0.1.0";
/// See [`DESK`].
pub const GREETER: &str = "example:hello/greeter@0.1.0";

/// Where the components lie.
const FOLDER: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../target/guests/wasm32-wasip2/release"
);

/// The actor was not built yet.
#[derive(Debug, thiserror::Error)]
#[error("there is no `{}`; run `make guests`", path.display())]
pub struct Missing {
    /// Where it should be.
    pub path: PathBuf,
}

/// The actor that welcomes people. It is told the name of its host, to have something to show.
///
/// # Errors
/// [`Missing`].
pub fn front_desk(host: &str) -> Result<Actor, Missing> {
    component("front_desk").map(|actor| actor.env("HOST", host))
}

/// The actor that the front desk gets its words from. It counts visits with `lattice:keyvalue/store`.
///
/// # Errors
/// [`Missing`].
pub fn greeter(host: &str) -> Result<Actor, Missing> {
    component("greeter").map(|actor| actor.env("HOST", host))
}

fn component(name: &str) -> Result<Actor, Missing> {
    let path = Path::new(FOLDER).join(name).with_extension("wasm");
    if path.exists() {
        Ok(Actor::from_file(path))
    } else {
        Err(Missing { path })
    }
}
