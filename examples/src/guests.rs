//! The actors of the examples, as built by `make guests`.

use lattice_host::Actor;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The interface of the front desk. See also [`GREETER`].
pub const DESK: &str = "example:hello/desk@0.1.0";
/// The interface of the greeter. See also [`DESK`].
pub const GREETER: &str = "example:hello/greeter@0.1.0";

/// The folder with the components.
const FOLDER: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../target/guests/wasm32-wasip2/release"
);

/// The folder with those in JavaScript.
const JAVASCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/guests/javascript");

/// The actor has not been built yet.
#[derive(Debug, thiserror::Error)]
#[error("there is no `{}`; run `make guests`", path.display())]
pub struct Missing {
    /// Where it should be.
    pub path: PathBuf,
}

/// Returns the actor that welcomes people. It gets the name of its host, so that the examples can
/// show it.
///
/// # Errors
/// Fails with [`Missing`] when the actor has not been built.
pub fn front_desk(host: &str) -> Result<Actor, Missing> {
    component("front_desk").map(|actor| actor.env("HOST", host))
}

/// Returns the actor that the front desk gets its greetings from. It counts visits with
/// `lattice:keyvalue/store`.
///
/// # Errors
/// Fails with [`Missing`] when the actor has not been built.
pub fn greeter(host: &str) -> Result<Actor, Missing> {
    component("greeter").map(|actor| actor.env("HOST", host))
}

/// Returns the actor that serves HTTP: to a request for `/path` it responds `Hello from Rust, at
/// /path!`.
///
/// # Errors
/// Fails with [`Missing`] when the actor has not been built.
pub fn hello() -> Result<Actor, Missing> {
    component("hello_http")
}

/// Returns where the actor in JavaScript is that counts the clicks of the shortener. A manifest
/// names it.
///
/// # Errors
/// Fails with why it could not be built, or that it wasn't tried.
pub fn counter() -> Result<PathBuf, String> {
    let path = Path::new(JAVASCRIPT).join("shortener_counter.wasm");
    if path.exists() {
        return Ok(path);
    }
    let reason = fs::read_to_string(path.with_extension("missing.txt"));
    Err(reason.unwrap_or_else(|_| Missing { path }.to_string()))
}

fn component(name: &str) -> Result<Actor, Missing> {
    let path = Path::new(FOLDER).join(name).with_extension("wasm");
    if path.exists() {
        Ok(Actor::from_file(path))
    } else {
        Err(Missing { path })
    }
}
