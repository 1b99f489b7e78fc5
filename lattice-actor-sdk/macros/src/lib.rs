//! The macros of `lattice-actor-sdk`, which generate Rust from WIT and exports for HTTP handlers.
//! That crate re-exports them, and generated code refers to it, so use and read about them there.
//!
//! * `http` generates the export that calls a handler.
//! * `options` parses the options between the braces.
//! * `names` detects WIT names that have no Rust name of their own.
//! * `bindings` resolves the WIT, together with the packages of `lattice-wit`, and generates Rust.
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

use proc_macro::TokenStream;
use syn::parse_macro_input;

mod bindings;
mod http;
mod names;
mod options;

/// Generates bindings for a WIT world. Documented as `lattice_actor_sdk::actor`.
#[proc_macro]
pub fn actor(input: TokenStream) -> TokenStream {
    let options = parse_macro_input!(input as options::Options);
    bindings::generate(&options)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Exports a function as an HTTP handler. Documented as `lattice_actor_sdk::http`.
#[proc_macro_attribute]
pub fn http(options: TokenStream, handler: TokenStream) -> TokenStream {
    let handler = parse_macro_input!(handler as syn::ItemFn);
    http::expand(options.into(), handler)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
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
