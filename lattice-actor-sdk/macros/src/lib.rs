//! Code generation from WIT for `lattice-actor-sdk`, which documents it: use the macro from there.
//!
//! * `options` reads what stands between the braces;
//! * `bindings` resolves the WIT, with the packages of `lattice-wit` at hand, and generates Rust.
//!
//! ```
//! lattice_actor_sdk::actor!({
//!     inline: "
//!         package demo:greeting@0.1.0;
//!         interface greeter { greet: func(name: string) -> string; }
//!         world hello { export greeter; }
//!     ",
//!     export: Hello,
//! });
//!
//! struct Hello;
//!
//! impl exports::demo::greeting::greeter::Guest for Hello {
//!     fn greet(name: String) -> String {
//!         format!("Hello, {name}!")
//!     }
//! }
//! # fn main() {}
//! ```

use proc_macro::TokenStream;
use syn::parse_macro_input;

mod bindings;
mod options;

/// See `lattice_actor_sdk::actor`.
#[proc_macro]
pub fn actor(input: TokenStream) -> TokenStream {
    let options = parse_macro_input!(input as options::Options);
    bindings::generate(&options)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
