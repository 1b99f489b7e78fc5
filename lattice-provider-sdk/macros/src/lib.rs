//! The macro behind [`lattice-provider-sdk`](https://docs.rs/lattice-provider-sdk): Rust code from a WIT world.
//!
//! ```text
//! options ──► source ──► world ──► definition, handler, client, dispatch
//! what was    the WIT    what of    the Rust code, one file per kind of item
//! written     texts      it we can serve
//!                            └────► signature: canonical texts and function keys
//! ```
//!
//! ```
//! lattice_provider_sdk::provider!({
//!     inline: "
//!         package example:count@0.1.0;
//!         interface counter { add: func(by: u32) -> result<u32, string>; }
//!         world counting { export counter; }
//!     ",
//! });
//! use example::count::counter::Counter; // the trait to implement
//! # fn main() {}
//! ```
//!
//! Everything below the entry point works on `proc_macro2` tokens, so that tests can run it as an ordinary function.

#![forbid(unsafe_code)]

mod client;
mod definition;
mod dispatch;
mod expand;
mod handler;
mod name;
mod options;
mod reference;
mod signature;
mod source;
mod world;

use proc_macro::TokenStream;

/// Generates types, handler traits, clients and dispatch from a WIT world.
///
/// ```text
/// provider!({
///     world: "counter",   // may be left out when the package has one
///     path: "wit",        // a folder (with `deps`) or a file, from the crate's root; `wit` by default
/// });
/// ```
///
/// | option | meaning |
/// | --- | --- |
/// | `world` | the world's name; of another package as `ns:pkg/world@version` |
/// | `path` | where the WIT package lies |
/// | `inline` | the WIT text itself; `path` is then where its dependencies lie, if it is given |
/// | `features` | names of `@unstable` features to include |
///
/// What comes out, for each interface of the world, is a module `namespace::package::interface` with
///
/// * its types: records, variants and enums as themselves; `flags` as a set of bits with a constant for each label;
///   `list<u8>` as `Bytes`, `result<_, e>` as `Result<(), E>`, `map` as `BTreeMap`;
/// * for an exported interface, the trait to implement, named like the interface;
/// * for an imported interface, a client, named like the interface and `Client`.
///
/// Beside the modules comes the type `World`, which a provider names as its world. The packages of crate `lattice-wit`
/// need not be among the dependencies. A change of a WIT file that was read rebuilds the code.
///
/// Resources, streams, futures, and functions or interfaces without a package are refused by name.
#[proc_macro]
pub fn provider(input: TokenStream) -> TokenStream {
    expand::expand(input.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
