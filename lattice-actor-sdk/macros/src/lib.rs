//! The macros of `lattice-actor-sdk`, which generate Rust from WIT and exports for HTTP handlers.
//! That crate re-exports them, and generated code refers to it, so use and read about them there.
//!
//! * `http` generates the export that calls a handler.
//! * `options` parses the options between the braces.
//! * `names` detects WIT names that have no Rust name of their own.
//! * `bindings` resolves the WIT, together with the packages of `lattice-wit`, and generates Rust.
//!
//! ```ignore
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
    /// The example of this page is the one of the SDK, where it is compiled and run. Here, that
    /// would compile the SDK and all that it uses a second time, as procedural macros are compiled.
    /// A README can't hide the `fn main` that an example needs.
    #[test]
    fn the_example_is_the_one_of_the_sdk_and_of_the_readme() {
        let page = |text: &'static str| {
            let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
            let lines: Vec<&str> = lines
                .map(|line| line.strip_prefix(' ').unwrap_or(line))
                .collect();
            lines.join("\n")
        };
        let example = |page: &str, fence: &str| {
            let mut blocks = page.split("```").skip(1).step_by(2);
            let block = blocks.find_map(|block| block.strip_prefix(fence)?.strip_prefix('\n'));
            block.expect("an example").to_owned()
        };
        let own = example(&page(include_str!("lib.rs")), "ignore");
        assert_eq!(own, example(&page(include_str!("../../src/lib.rs")), ""));
        let shown: Vec<&str> = own
            .trim()
            .lines()
            .filter(|line| !line.starts_with("# "))
            .collect();
        let shown = format!("```rust\n{}\n```", shown.join("\n"));
        assert!(
            include_str!("../README.md").contains(&shown),
            "the README lacks:\n{shown}"
        );
    }
}
