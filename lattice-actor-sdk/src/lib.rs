//! Write actors for a lattice: components in WebAssembly that serve and call WIT interfaces.
//!
//! ```
//! lattice_actor_sdk::actor!({
//!     inline: "
//!         package example:hello@0.1.0;
//!         interface greeter { greet: func(name: string) -> string; }
//!         world hello { export greeter; }
//!     ",
//!     export: Hello,
//! });
//! use exports::example::hello::greeter::Guest;
//!
//! struct Hello;
//!
//! impl Guest for Hello {
//!     fn greet(name: String) -> String {
//!         format!("Hello, {name}!")
//!     }
//! }
//!
//! // On every target, for example in a test, an actor can be called as any other code.
//! fn try_it() {
//!     println!("{}", Hello::greet("Ada".to_owned())); // Hello, Ada!
//! }
//! # fn main() {
//! #     try_it();
//! #     assert_eq!(Hello::greet("Ada".to_owned()), "Hello, Ada!");
//! # }
//! ```
//!
//! A component that has a link to this actor and calls `greet("Ada")` gets `Hello, Ada!`.
//!
//! Build an actor with `cargo build --release --target wasm32-wasip2`, from a crate with
//! `crate-type = ["cdylib"]`. Run it with the command `lattice` or with
//! `Host::builder(&lattice).actor("greeter", actor)` of `lattice-host`. Most actors keep their WIT
//! in a folder and use `path: "wit"` in place of `inline` (see [`actor!`]).
//!
//! # Call other components
//!
//! An actor exports the interfaces that others call, and imports the interfaces that it calls. The
//! lattice's links determine which component serves an import, and on which machine.
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
//!         log::info!("{visitor} rang the bell, visit {visits}");
//!         acme::door::chime::play(2)?;
//!         Ok(visits)
//!     }
//! }
//! # fn main() {}
//! ```
//!
//! Each call has a deadline, which the calls that it makes inherit. When it has passed, or when the
//! caller goes away, the host ends the instance. It can't end one that something else needs: other
//! calls that overlap, resources that others hold, or open streams. There, the function runs on to
//! its end, within the limits of the actor, and its result is dropped.
//!
//! # Serve HTTP
//!
//! With the feature `http`, which is on by default, a function with one attribute is a whole actor.
//! A wormhole leads requests to it. [The module `http`](mod@http) has more: streamed bodies,
//! errors, and requests that go out.
//!
//! ```
//! use lattice_actor_sdk::http::{Body, Request, Response};
//!
//! #[lattice_actor_sdk::http]
//! async fn handle(request: Request<Body>) -> Response<Body> {
//!     let path = request.uri().path();
//!     Response::new(format!("Hello from {path}!\n").into())
//! }
//! # fn main() {}
//! ```
//!
//! # Contents
//! * [`actor!`]: generates bindings from WIT and exports your type.
//! * [`macro@http`]: exports a function as a handler of HTTP requests.
//! * [`log`]: writes messages to the host's log, under the actor's id. Standard error and the
//!   messages of panics go there too.
//! * [`keyvalue`], [`sql`], [`messaging`], [`config`], [`rpc`]: clients for the interfaces of
//!   `lattice-wit`. Your world doesn't need to mention them: a client that you call becomes an
//!   import of your component, and a client that you don't call adds nothing to it.
//!
//! # Other targets
//! The crate compiles for every target, so that `cargo check`, editors and unit tests of an actor's
//! own logic work. Outside a component, log messages go to standard error, and every other import
//! panics.

pub mod config;
#[cfg(feature = "http")]
pub mod http;
pub mod keyvalue;
pub mod log;
pub mod messaging;
pub mod rpc;
pub mod sql;

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
/// All options are optional.
/// * `world`: the name of the world. Not needed when the package has one world.
/// * `path`: the folder or file of the WIT package, relative to the crate's `Cargo.toml`; `"wit"`
///   by default. The packages that it depends on are in its folder `deps`.
/// * `inline`: the WIT text itself, in place of `path`.
/// * `export`: the type that implements the exports. Without it, call the generated macro
///   `export!(MyActor)` yourself.
///
/// # Generated code
/// * A module for each imported interface, such as `acme::hotel::rooms`, with a Rust function for
///   each WIT function. An `async func` becomes an `async fn`; only calls of these can overlap.
/// * A trait `Guest` for each exported interface, in a module such as `exports::acme::hotel::desk`.
/// * The types of both.
///
/// The packages of `lattice-wit` (`lattice:rpc`, `lattice:keyvalue` …) are always available: your
/// WIT can `use lattice:rpc/types@0.1.0.{error}` with nothing in `deps`, and `error` is then
/// [`rpc::Error`].
///
/// Generated code refers to this crate as `lattice_actor_sdk`, so don't rename it in `Cargo.toml`.
pub use lattice_actor_macros::actor;

/// Exports a function as the component's handler of HTTP requests.
///
/// The function has one argument, a [`Request`](http::Request) whose body is streamed
/// ([`Body`](http::Body)) or collected (`Vec<u8>`, `String`), and returns a
/// [`Response`](http::Response) or a `Result` of one. It may be an `async fn`. A component has one
/// handler. The function stays as it is written, so that tests can call it. [The module
/// `http`](mod@http) has examples.
///
/// Generated code refers to this crate as `lattice_actor_sdk`, so don't rename it in `Cargo.toml`.
#[cfg(feature = "http")]
pub use lattice_actor_macros::http;

/// The runtime of generated code.
#[doc(hidden)]
pub use wit_bindgen::rt;

/// The code that `wit-bindgen` generates from the texts in `lattice-wit`.
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

#[cfg(test)]
mod tests {
    /// A README can't hide the `fn main` that its example needs to be compiled. The front page's
    /// example is compiled, so the README has to show the same one.
    #[test]
    fn the_readme_has_the_example_of_the_front_page() {
        let page = include_str!("lib.rs").lines();
        let page = page.map_while(|line| line.strip_prefix("//!"));
        let page: Vec<&str> = page
            .map(|line| line.strip_prefix(' ').unwrap_or(line))
            .collect();
        let page = page.join("\n");
        let mut blocks = page.split("```").skip(1).step_by(2);
        let example = blocks
            .find(|block| block.starts_with('\n'))
            .unwrap_or("none");
        let shown: Vec<&str> = example
            .trim()
            .lines()
            .filter(|line| !line.starts_with("# "))
            .collect();
        let shown = format!("```rust\n{}\n```", shown.join("\n"));
        assert!(
            include_str!("../README.md").contains(&shown),
            "it lacks:\n{shown}"
        );
    }
}
