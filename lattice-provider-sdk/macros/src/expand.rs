//! The macro as an ordinary function, from tokens to tokens.

use crate::{
    client, definition, dispatch, handler,
    options::Options,
    source::Source,
    world::{Interface, World},
};
use lattice_wit::binary::{self, BinaryError};
use proc_macro2::{Ident, TokenStream};
use quote::quote;
use std::{collections::BTreeMap, env, path::PathBuf};

/// All of what `provider!` generates.
///
/// # Errors
/// What is wrong with the options, the WIT or the world, at the place where it was written.
pub(crate) fn expand(input: TokenStream) -> syn::Result<TokenStream> {
    let options = Options::parse(input)?;
    let root = env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .unwrap_or_default();
    let source = Source::load(&options, &root)?;
    let world = World::new(&source.resolve, source.world)
        .map_err(|message| syn::Error::new(options.world_span(), message))?;
    let modules = modules(&world);
    let wit = wit(&source).map_err(|message| syn::Error::new(options.world_span(), message))?;
    let marker = dispatch::world(&world, wit.as_deref());
    let rebuild = rebuild_when_changed(&source.files)?;
    Ok(quote!(#modules #marker #rebuild))
}

/// The world as the bytes that its components publish; nothing when they would be too many.
fn wit(source: &Source) -> Result<Option<Vec<u8>>, String> {
    match binary::of_world(&source.resolve, source.world, |_| true) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(BinaryError::TooLarge { .. }) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// Documentation: the WIT's own, or else a sentence.
///
/// Code in it is WIT's or a person's, not a Rust test; so `rustdoc --test` doesn't get to see it.
pub(crate) fn docs(wit: Option<&str>, otherwise: impl FnOnce() -> String) -> TokenStream {
    if let Some(text) = wit {
        return quote!(#[cfg_attr(not(doctest), doc = #text)]);
    }
    let text = otherwise();
    quote!(#[doc = #text])
}

type Packages<'w> = BTreeMap<&'w Ident, BTreeMap<&'w Ident, Vec<TokenStream>>>;

/// `namespace::package::interface`, a module each.
fn modules(world: &World<'_>) -> TokenStream {
    let mut namespaces = Packages::new();
    for interface in &world.interfaces {
        let [namespace, package, _] = &interface.modules;
        let packages = namespaces.entry(namespace).or_default();
        packages
            .entry(package)
            .or_default()
            .push(module(world, interface));
    }
    let namespaces = namespaces.iter().map(|(namespace, packages)| {
        let about = format!("Interfaces of the namespace `{namespace}`.");
        let packages = packages.iter().map(|(package, interfaces)| {
            let about = format!("Interfaces of the package `{namespace}:{package}`.");
            quote! {
                #[doc = #about]
                pub mod #package { #(#interfaces)* }
            }
        });
        quote! {
            #[doc = #about]
            #[allow(
                clippy::all, clippy::pedantic, dead_code, unreachable_pub,
                rustdoc::bare_urls, rustdoc::broken_intra_doc_links, rustdoc::invalid_html_tags
            )]
            pub mod #namespace { #(#packages)* }
        }
    });
    quote!(#(#namespaces)*)
}

fn module(world: &World<'_>, interface: &Interface<'_>) -> TokenStream {
    let name = &interface.modules[2];
    let docs = docs(interface.wit.docs.contents.as_deref(), || {
        format!("The interface `{}`.", interface.full_name)
    });
    let types = definition::definitions(world, interface);
    let description = dispatch::description(world, interface);
    let handler = interface
        .exported
        .then(|| handler::handler(world, interface));
    let client = interface.imported.then(|| client::client(world, interface));
    quote! {
        #docs
        pub mod #name { #types #description #handler #client }
    }
}

/// Makes the compiler look at the files again when they change.
fn rebuild_when_changed(files: &[PathBuf]) -> syn::Result<TokenStream> {
    let paths: Vec<_> = files
        .iter()
        .map(|file| {
            let absolute = std::path::absolute(file)
                .ok()
                .and_then(|path| path.to_str().map(str::to_owned));
            let message = || format!("`{}` is no path that Rust code can name", file.display());
            absolute.ok_or_else(|| syn::Error::new(proc_macro2::Span::call_site(), message()))
        })
        .collect::<syn::Result<_>>()?;
    Ok(quote!(#(const _: &[u8] = ::core::include_bytes!(#paths);)*))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Runs `test` on the only world of a WIT text.
    pub(crate) fn with_world(text: &str, test: impl FnOnce(&World<'_>)) {
        let options = Options::parse(quote!({ inline: #text })).expect("options");
        let source = Source::load(&options, std::path::Path::new("")).expect("valid WIT");
        test(&World::new(&source.resolve, source.world).expect("a world that can be generated"));
    }

    fn refusal(text: &str) -> String {
        let Err(error) = expand(quote!({ inline: #text })) else {
            panic!("accepted: {text}")
        };
        error.to_string()
    }

    fn exporting(body: &str) -> String {
        format!("package a:b@0.1.0; interface c {{ {body} }} world w {{ export c; }}")
    }

    #[test]
    fn what_has_no_shape_yet_is_refused_by_name() {
        for (body, expected) in [
            (
                "resource r;",
                "type `r` of `a:b/c@0.1.0` is a resource, and resources are not supported yet",
            ),
            (
                "resource r { m: func(); }",
                "resources are not supported yet",
            ),
            (
                "f: func(x: stream<u8>);",
                "parameter `x` of function `f` of `a:b/c@0.1.0` is a stream, and streams are not",
            ),
            (
                "f: func() -> option<future<u8>>;",
                "the result of function `f` of `a:b/c@0.1.0` is a future, and futures",
            ),
            (
                "f: func(x: error-context);",
                "error contexts are not supported yet",
            ),
            (
                "record q { s: list<stream> } f: func(x: q);",
                "type `q` of `a:b/c@0.1.0` is a stream",
            ),
            (
                "f: func(x: tuple<u8,u8,u8,u8,u8,u8,u8,u8,u8,u8,u8,u8,u8>);",
                "is a tuple of 13 values; Rust handles tuples up to 12, use a record",
            ),
        ] {
            let message = refusal(&exporting(body));
            assert!(message.contains(expected), "{body}: {message}");
        }
    }

    #[test]
    fn a_resource_that_is_only_used_is_refused_too() {
        let message = refusal(
            "package a:b; interface r { resource bucket; } interface c { use r.{bucket}; f: func(x: borrow<bucket>); }
             world w { export c; }",
        );
        assert!(
            message.contains("resources are not supported yet"),
            "{message}"
        );
    }

    #[test]
    fn what_has_no_name_is_refused() {
        for (item, expected) in [
            (
                "export f: func();",
                "exports function `f` without a package",
            ),
            (
                "import f: func();",
                "imports function `f` without a package",
            ),
            (
                "export i: interface { f: func(); }",
                "exports interface `i` without a package",
            ),
        ] {
            let message = refusal(&format!("package a:b; world w {{ {item} }}"));
            assert!(message.contains(expected), "{message}");
        }
        let message = refusal(&exporting(&format!("{}: func();", "f".repeat(129))));
        assert!(message.contains("names of at most 128"), "{message}");
    }

    #[test]
    fn errors_in_the_text_are_the_parsers_own() {
        let message = refusal("package a:b; world w { export nope; }");
        assert!(
            message.contains("nope") && message.contains("inline:1:"),
            "{message}"
        );
        let message = refusal("package a:b; wurld w {}");
        assert!(message.contains("inline:1:14"), "{message}");
        let message = refusal("package a:b; world w { import x:y/z; }");
        assert!(message.contains("package 'x:y' not found"), "{message}");
    }

    #[test]
    fn errors_about_the_world_name_it() {
        let text = "package a:b; world v {} world w {}";
        let message = expand(quote!({ inline: #text }))
            .expect_err("two worlds")
            .to_string();
        assert!(message.contains("multiple worlds"), "{message}");
        let message = expand(quote!({ inline: #text, world: "u" }))
            .expect_err("no such world")
            .to_string();
        assert!(message.contains("`u` not found"), "{message}");
    }

    #[test]
    fn paths_that_lead_nowhere_are_named() {
        let message = expand(quote!({ path: "no/such/folder" }))
            .expect_err("no such folder")
            .to_string();
        assert!(
            message.contains("no/such/folder") && message.contains("the crate's root"),
            "{message}"
        );
        let message = expand(quote!({ path: "src" }))
            .expect_err("no WIT there")
            .to_string();
        assert!(message.contains("no `.wit` file lies in"), "{message}");
    }

    #[test]
    fn the_projects_own_packages_are_found() {
        let code = expand(quote!({
            inline: "package a:b; world w { import wasi:logging/logging@0.1.0-draft; export lattice:keyvalue/store@0.1.0; }",
        }))
        .expect("valid")
        .to_string();
        assert!(
            code.contains("trait Store") && code.contains("struct LoggingClient"),
            "{code}"
        );
        expand(quote!({ world: "lattice:keyvalue/provider", inline: "package a:b;" }))
            .expect("a world of another package");
    }

    #[test]
    fn what_comes_out_is_rust() {
        let text = exporting(
            "flags f { a, b } variant v { x, y(f) } g: func(%type: v, call: string, context: f) -> result<_, v>;",
        );
        let code = expand(quote!({ inline: #text })).expect("valid");
        syn::parse2::<syn::File>(code).expect("a Rust file");
    }

    #[test]
    fn a_map_has_keys_that_can_be_ordered() {
        for key in ["f32", "f64", "list<u8>", "result"] {
            let message = refusal(&exporting(&format!("f: func(m: map<{key}, u8>);")));
            assert!(message.contains("key"), "{key}: {message}");
        }
    }

    #[test]
    fn a_text_finds_its_dependencies_at_a_path() {
        let text = "package a:b; world w { import test:extra/more@1.0.0; }";
        for path in [
            "../tests/wit/deps/extra",
            "../tests/wit/deps/extra/more.wit",
            "../tests/wit",
        ] {
            let code = expand(quote!({ inline: #text, path: #path }))
                .expect(path)
                .to_string();
            assert!(
                code.contains("include_bytes !") && code.contains("more.wit"),
                "{path}: {code}"
            );
        }
    }

    #[test]
    fn unstable_items_come_with_their_feature() {
        let text = "package a:b@0.1.0; interface c { @unstable(feature = later) f: func(); } world w { export c; }";
        let functions = |code: TokenStream| code.to_string().contains("fn f");
        assert!(!functions(
            expand(quote!({ inline: #text })).expect("without")
        ));
        assert!(functions(
            expand(quote!({ inline: #text, features: ["later"] })).expect("with")
        ));
    }
}
