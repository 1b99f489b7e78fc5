//! Write actors for a lattice.
//!
//! An actor is a WebAssembly component: it exports the interfaces that others call and imports the ones that it calls, both written in
//! WIT. Who serves its imports, and on which machine, is not the actor's business: links say so. With this crate an actor is
//! its WIT, one macro and the functions:
//!
//! ```
//! lattice_actor_sdk::actor!({
//!     inline: "
//!         package acme:door@1.0.0;
//!
//!         interface chime {
//!             play: func(times: u8) -> result<_, string>;
//!         }
//!
//!         interface doorbell {
//!             ring: func(visitor: string) -> result<s64, string>;
//!         }
//!
//!         world door {
//!             import chime;
//!             export doorbell;
//!         }
//!     ",
//!     export: Door,
//! });
//!
//! use lattice_actor_sdk::{keyvalue::store, log};
//!
//! struct Door;
//!
//! impl exports::acme::door::doorbell::Guest for Door {
//!     fn ring(visitor: String) -> Result<i64, String> {
//!         let visits = store::increment(&visitor, 1).map_err(|error| error.to_string())?;
//!         log::info!("{visitor} rings, for the {visits}. time");
//!         acme::door::chime::play(2)?;
//!         Ok(visits)
//!     }
//! }
//! # fn main() {}
//! ```
//!
//! Most actors keep their WIT in a folder and write `path: "wit"` (see [`actor!`]). Build with
//! `cargo build --release --target wasm32-wasip2` from a crate with `crate-type = ["cdylib"]`.
//!
//! # What is here
//! * [`actor!`]: bindings from WIT, and the export of your type.
//! * [`log`]: messages to the host's log, under the actor's id. Standard error gets there too, and so does a panic's message.
//! * [`keyvalue`], [`config`], [`rpc`]: clients for the interfaces of `lattice-wit`. They need no mention in your world: what you
//!   call becomes an import of your component, and what you don't call leaves no trace in it.
//!
//! # Off WebAssembly
//! The crate compiles for every target, so that `cargo check`, editors and unit tests of an actor's own logic work. Outside a
//! component, log messages go to standard error and every other import panics.

pub mod config;
pub mod keyvalue;
pub mod log;
pub mod rpc;

/// Generates bindings for a WIT world and exports your type as its implementation.
///
/// ```ignore
/// lattice_actor_sdk::actor!({ world: "front-desk", path: "wit", export: FrontDesk });
///
/// struct FrontDesk;
///
/// impl exports::acme::hotel::desk::Guest for FrontDesk { /* one fn or async fn per function */ }
/// ```
///
/// # Options
/// Each may be left out.
/// * `world`: which world of the package; its only one, if there is one.
/// * `path`: the folder or file of the WIT package, relative to the crate's `Cargo.toml`; `"wit"` by default. Packages
///   that it depends on are in its folder `deps`.
/// * `inline`: the WIT itself, in place of `path`.
/// * `export`: the type that implements the exports. Without it, call the generated macro `export!(MyActor)` yourself.
///
/// # What it generates
/// A module per imported interface, `acme::hotel::rooms`, with a function per function; an `async func` becomes an `async fn`, and
/// only these overlap while they wait. A trait `Guest` per exported interface, in `exports::acme::hotel::desk`. The types of both.
///
/// The packages of `lattice-wit` (`lattice:rpc`, `lattice:keyvalue` …) are known: your WIT may `use lattice:rpc/types@0.1.0.{error}` with
/// nothing in `deps`, and `error` is then [`rpc::Error`].
///
/// The generated code calls this crate by its name, so don't rename it in `Cargo.toml`.
pub use lattice_actor_macros::actor;

/// What the generated code of an actor runs on.
#[doc(hidden)]
pub use wit_bindgen::rt;

/// What `wit-bindgen` makes of the texts in `lattice-wit`.
#[doc(hidden)]
#[expect(
    unreachable_pub,
    unsafe_code,
    clippy::allow_attributes,
    clippy::pedantic,
    clippy::unwrap_used,
    reason = "generated code"
)]
pub mod bindings {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}
