//! The macros of `lattice-provider-sdk`, which generate Rust from WIT. That crate re-exports them,
//! and generated code refers to it, so use them from there.
//!
//! ```text
//! options ──► source ──► world ───► definition, handler, client, dispatch
//! the macro's  the WIT   the parts   the Rust code, one file per kind of item
//! input        texts     that are
//!                        supported
//!                           └─────► signature: canonical texts and function keys
//! ```
//!
//! ```ignore
//! use lattice_provider_sdk::{Call, Lattice, Link, Stateless, provider, serve};
//!
//! provider!({ inline: "
//!     package example:hello@0.1.0;
//!     interface greeter { greet: func(name: string) -> string; }
//!     world hello { import greeter; export greeter; }
//! " });
//! use example::hello::greeter::{Greeter, GreeterClient};
//!
//! struct Hello;
//! impl Stateless for Hello { type World = World; }
//! impl Greeter for Hello {
//!     async fn greet(&self, _: &Call<Self>, name: String) -> String { format!("Hello, {name}!") }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let lattice = Lattice::in_memory("dev").await?;
//!     let _serving = serve(&lattice, "greeter", Hello).await?;
//!     lattice.links().put(Link::new("web", "example:hello/greeter@0.1.0", "greeter")?).await?;
//!     let greeter = GreeterClient::new(lattice.caller("web")?);
//!     println!("{}", greeter.greet("Ada").await?); // Hello, Ada!
//!     Ok(())
//! }
//! ```
//!
//! Everything below the entry points works on `proc_macro2` tokens, so that tests can call it as an
//! ordinary function.

#![forbid(unsafe_code)]

mod client;
mod collisions;
mod definition;
mod dispatch;
mod docs;
mod expand;
mod handler;
mod handles;
mod name;
mod options;
mod reference;
mod remote;
mod signature;
mod source;
mod world;

use options::Macro;
use proc_macro::TokenStream;

/// Generates everything that a provider needs from a WIT world: types, a trait for each exported
/// interface, a client for each imported one, and the dispatch from calls to the traits.
///
/// ```text
/// provider!({
///     world: "counter",   // not needed when the package has one world
///     path: "wit",        // a folder (with `deps`) or a file, relative to `Cargo.toml`
/// });
/// ```
///
/// | option | meaning |
/// | --- | --- |
/// | `world` | the name of the world; for a world of another package `ns:pkg/world@version` |
/// | `path` | the folder or file of the WIT package; `wit` by default |
/// | `inline` | the WIT text itself; `path`, if given, then holds its dependencies |
/// | `features` | the names of the `@unstable` features to include |
///
/// Each interface of the world becomes a module `namespace::package::interface`, which contains
///
/// * its types: records, variants and enums as structs and enums; `flags` as a set of bits with a
///   constant for each label; `list<u8>` as `Bytes`, `result<_, e>` as `Result<(), E>`, `map` as
///   `BTreeMap`;
/// * for an exported interface, the trait to implement, which has the interface's name;
/// * for an imported interface, a client, which has the interface's name followed by `Client`.
///
/// The macro also generates the type `World`, which a provider names as its world. The packages of
/// the crate `lattice-wit` are always available and needn't be listed as dependencies. A change to
/// a WIT file that was read rebuilds the code.
///
/// A resource `bucket` of an exported interface becomes a trait `Bucket` with its methods, and a
/// type `Bucket` of the interface's trait: the provider's own type. Constructors and static
/// functions are functions of the interface's trait, `new_bucket` and `bucket_open`. A resource of
/// an imported interface becomes a handle `BucketClient`, whose methods call those of the resource.
/// Streams are `StreamReader` and `ByteReader`, futures `FutureReader`. A record or variant with
/// handles has a type parameter for each kind of them.
///
/// Error contexts, `stream<char>`, `borrow` in results, streams and futures, and functions or
/// interfaces that belong to no package aren't supported. The macro fails with an error that names
/// them.
#[proc_macro]
pub fn provider(input: TokenStream) -> TokenStream {
    generate(Macro::Provider, input)
}

/// Generates typed clients from WIT, for programs that call components and serve nothing.
///
/// ```ignore
/// use lattice_provider_sdk::{Lattice, client};
///
/// client!({
///     inline: "
///         package example:hello@0.1.0;
///         interface greeter { greet: func(name: string) -> string; }
///     ",
/// });
/// use example::hello::greeter::GreeterClient;
///
/// async fn greet(lattice: &Lattice) -> Result<String, Box<dyn std::error::Error>> {
///     let greeter = GreeterClient::new(lattice.caller("web")?);
///     Ok(greeter.greet("Ada").await?)
/// }
/// # fn main() {}
/// ```
///
/// The options are those of [`provider!`](macro@provider). Every interface with functions gets a
/// client, whether the world imports or exports it. A package that defines no world gets a client
/// for each of its interfaces.
///
/// Each interface becomes a module `namespace::package::interface`, which contains its types, its
/// description `INTERFACE`, and a client with the interface's name followed by `Client`. A method
/// of the client takes the function's arguments. Awaited, it returns `Result<R, CallError>`, where
/// `R` is the function's result; `.timeout(…)` before the `.await` limits the call's time.
///
/// Two macros that generate modules of one namespace can't share a module: put each of them into
/// its own `mod`.
#[proc_macro]
pub fn client(input: TokenStream) -> TokenStream {
    generate(Macro::Client, input)
}

fn generate(kind: Macro, input: TokenStream) -> TokenStream {
    expand::expand(kind, input.into())
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
