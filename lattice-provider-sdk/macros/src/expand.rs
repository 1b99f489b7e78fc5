//! The macros as an ordinary function, from tokens to tokens.

use crate::{
    client, definition, dispatch,
    docs::docs,
    handler,
    options::{Macro, Options},
    remote, signature,
    source::ResolvedWit,
    world::{Interface, World},
};
use lattice_wit::binary::{self, BinaryError};
use proc_macro2::{Ident, TokenStream};
use quote::quote;
use std::{collections::BTreeMap, env, path::PathBuf};

/// Returns the code that `kind` generates.
///
/// # Errors
/// Fails when the options, the WIT or the world are invalid. The error points at the part of the
/// macro's input that has to change.
pub(crate) fn expand(kind: Macro, input: TokenStream) -> syn::Result<TokenStream> {
    let options = Options::parse(input)?;
    let root = env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .unwrap_or_default();
    let source = ResolvedWit::load(kind, &options, &root)?;
    let world_fault = |message: String| syn::Error::new(options.world_span(), message);
    let world = World::new(kind, &source.resolve, source.world).map_err(world_fault)?;
    let modules = modules(kind, &world);
    let rebuild = rebuild_when_changed(&source.files)?;
    if kind == Macro::Client {
        world.check_callable().map_err(world_fault)?;
        return Ok(quote!(#modules #rebuild));
    }
    check_keys(&world).map_err(world_fault)?;
    let wit = wit(&source).map_err(world_fault)?;
    let marker = dispatch::world(&world, wit.as_deref());
    Ok(quote!(#modules #marker #rebuild))
}

/// Fails when callers can't distinguish two exported functions, because they belong to two versions
/// of an interface that can replace each other.
fn check_keys(world: &World<'_>) -> Result<(), String> {
    let mut known: BTreeMap<u64, &str> = BTreeMap::new();
    for interface in world
        .interfaces
        .iter()
        .filter(|interface| interface.exported)
    {
        for function in interface.wit.functions.values() {
            let key = signature::key(world, interface, function);
            if let Some(other) = known.insert(key, &interface.full_name) {
                return Err(format!(
                    "world `{}` exports `{}` of both `{other}` and `{}`; these versions can replace each other, so callers can't tell them apart: export only one of them",
                    world.name, function.name, interface.full_name
                ));
            }
        }
    }
    Ok(())
}

/// Encodes the world as the bytes that its components publish. Returns `None` when they exceed the
/// size limit.
fn wit(source: &ResolvedWit) -> Result<Option<Vec<u8>>, String> {
    match binary::of_world(&source.resolve, source.world, |_| true) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(BinaryError::TooLarge { .. }) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

type Packages<'w> = BTreeMap<&'w Ident, BTreeMap<&'w Ident, Vec<TokenStream>>>;

/// Generates the modules `namespace::package::interface`.
fn modules(kind: Macro, world: &World<'_>) -> TokenStream {
    let mut namespaces = Packages::new();
    for interface in &world.interfaces {
        let [namespace, package, _] = &interface.modules;
        let packages = namespaces.entry(namespace).or_default();
        packages
            .entry(package)
            .or_default()
            .push(module(kind, world, interface));
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

fn module(kind: Macro, world: &World<'_>, interface: &Interface<'_>) -> TokenStream {
    let name = &interface.modules[2];
    let docs = docs(interface.wit.docs.contents.as_deref(), || {
        format!("The interface `{}`.", interface.full_name)
    });
    let types = definition::definitions(world, interface);
    let description = dispatch::description(world, interface);
    let (is_served, is_called) = match kind {
        Macro::Provider => (interface.exported, interface.imported),
        Macro::Client => (false, interface.has_functions()),
    };
    let handler = is_served.then(|| handler::handler(world, interface));
    let client = is_called.then(|| client::client(world, interface));
    let handles = world
        .is_called(interface)
        .then(|| remote::handles(world, interface));
    quote! {
        #docs
        pub mod #name { #types #description #handler #client #handles }
    }
}

/// Makes cargo rebuild the code when one of the files changes.
fn rebuild_when_changed(files: &[PathBuf]) -> syn::Result<TokenStream> {
    let paths: Vec<_> = files
        .iter()
        .map(|file| {
            let absolute = std::path::absolute(file)
                .ok()
                .and_then(|path| path.to_str().map(str::to_owned));
            let message = || format!("`{}` isn't a valid UTF-8 path; rename it", file.display());
            absolute.ok_or_else(|| syn::Error::new(proc_macro2::Span::call_site(), message()))
        })
        .collect::<syn::Result<_>>()?;
    Ok(quote!(#(const _: &[u8] = ::core::include_bytes!(#paths);)*))
}

#[cfg(test)]
mod flow_tests;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Runs `test` on the only world of a WIT text.
    pub(crate) fn with_world(text: &str, test: impl FnOnce(&World<'_>)) {
        let options = Options::parse(quote!({ inline: #text })).expect("options");
        let source = ResolvedWit::load(Macro::Provider, &options, std::path::Path::new(""))
            .expect("valid WIT");
        test(
            &World::new(Macro::Provider, &source.resolve, source.world)
                .expect("a world that can be generated"),
        );
    }

    pub(crate) fn refusal(text: &str) -> String {
        let Err(error) = expand(Macro::Provider, quote!({ inline: #text })) else {
            panic!("accepted: {text}")
        };
        error.to_string()
    }

    pub(crate) fn exporting(body: &str) -> String {
        format!("package a:b@0.1.0; interface c {{ {body} }} world w {{ export c; }}")
    }

    #[test]
    fn unsupported_types_are_refused_by_name() {
        for (body, expected) in [
            (
                "f: func(x: error-context);",
                "error contexts are not supported yet",
            ),
            (
                "f: func() -> option<stream<error-context>>;",
                "the result of function `f` of `a:b/c@0.1.0` is an `error-context`",
            ),
            (
                "f: func(x: stream<char>);",
                "parameter `x` of function `f` of `a:b/c@0.1.0` is a `stream<char>`",
            ),
            (
                "resource r; f: func(x: list<future<borrow<r>>>);",
                "is a future with a `borrow`, and nothing can be lent by a future",
            ),
            (
                "resource r { m: func() -> list<stream<error-context>>; }",
                "the result of function `[method]r.m` of `a:b/c@0.1.0` is an `error-context`",
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
    fn names_that_become_one_in_rust_are_refused_with_both() {
        for (body, expected) in [
            (
                "enum tls { v12, v1-2 } f: func(x: tls);",
                "the cases of type `tls` of `a:b/c@0.1.0` `v12` and `v1-2` are both `V12` in Rust; rename one of them",
            ),
            (
                "variant v { a1(u8), a-1 } f: func(x: v);",
                "`a1` and `a-1` are both `A1`",
            ),
            (
                "record a1 { x: u8 } record a-1 { x: u8 } f: func(x: a1, y: a-1);",
                "`a1` and `a-1` are both `A1`",
            ),
        ] {
            let message = refusal(&exporting(body));
            assert!(message.contains(expected), "{body}: {message}");
        }
    }

    #[test]
    fn two_indistinguishable_versions_are_refused() {
        let both = |other: &str| {
            format!(
                "package a:b; world w {{ export c:d/e@1.0.0; export c:d/e@{other}; }}
                package c:d@1.0.0 {{ interface e {{ f: func(); }} }}
                package c:d@{other} {{ interface e {{ f: func(); }} }}"
            )
        };
        let message = refusal(&both("1.1.0"));
        assert!(
            message.contains("exports `f` of both `c:d/e@1.0.0` and `c:d/e@1.1.0`"),
            "{message}"
        );
        let text = both("2.0.0");
        expand(Macro::Provider, quote!({ inline: #text })).expect("they differ");
    }

    #[test]
    fn items_without_a_package_and_names_that_are_too_long_are_refused() {
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
    fn errors_in_the_text_are_those_of_the_parser() {
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
        let message = expand(Macro::Provider, quote!({ inline: #text }))
            .expect_err("two worlds")
            .to_string();
        assert!(message.contains("multiple worlds"), "{message}");
        let message = expand(Macro::Provider, quote!({ inline: #text, world: "u" }))
            .expect_err("no such world")
            .to_string();
        assert!(message.contains("`u` not found"), "{message}");
    }

    #[test]
    fn missing_paths_are_refused_by_name() {
        let message = expand(Macro::Provider, quote!({ path: "no/such/folder" }))
            .expect_err("no such folder")
            .to_string();
        assert!(
            message.contains("no/such/folder") && message.contains("the crate's root"),
            "{message}"
        );
        let message = expand(Macro::Provider, quote!({ path: "src" }))
            .expect_err("no WIT there")
            .to_string();
        assert!(message.contains("there is no `.wit` file in"), "{message}");
    }

    #[test]
    fn the_packages_of_lattice_wit_are_found() {
        let code = expand(Macro::Provider, quote!({
            inline: "package a:b; world w { import wasi:logging/logging@0.1.0-draft; export lattice:keyvalue/store@0.1.0; }",
        }))
        .expect("valid")
        .to_string();
        assert!(
            code.contains("trait Store") && code.contains("struct LoggingClient"),
            "{code}"
        );
        expand(
            Macro::Provider,
            quote!({ world: "lattice:keyvalue/provider", inline: "package a:b;" }),
        )
        .expect("a world of another package");
    }

    #[test]
    fn the_generated_code_is_valid_rust() {
        let text = exporting(
            "flags f { a, b } variant v { x, y(f) } g: func(%type: v, call: string, context: f) -> result<_, v>;",
        );
        let code = expand(Macro::Provider, quote!({ inline: #text })).expect("valid");
        syn::parse2::<syn::File>(code).expect("a Rust file");
    }

    #[test]
    fn a_world_without_exports_is_that_of_a_provider_that_only_calls() {
        let text = "package a:b@0.1.0; interface i { f: func(); } world w { import i; }";
        let code = expand(Macro::Provider, quote!({ inline: #text })).expect("valid");
        let code = code.to_string();
        assert!(
            code.contains("IClient") && code.contains("pub enum World"),
            "{code}"
        );
        assert!(!code.contains("match call"), "{code}");
        syn::parse_str::<syn::File>(&code).expect("a Rust file");
    }

    #[test]
    fn a_map_with_keys_that_cannot_be_ordered_is_refused() {
        for key in ["f32", "f64", "list<u8>", "result"] {
            let message = refusal(&exporting(&format!("f: func(m: map<{key}, u8>);")));
            assert!(message.contains("key"), "{key}: {message}");
        }
    }

    #[test]
    fn an_inline_text_uses_the_dependencies_at_its_path() {
        let text = "package a:b; world w { import test:extra/more@1.0.0; }";
        for path in [
            "../tests/wit/deps/extra",
            "../tests/wit/deps/extra/more.wit",
            "../tests/wit",
        ] {
            let code = expand(Macro::Provider, quote!({ inline: #text, path: #path }))
                .expect(path)
                .to_string();
            assert!(
                code.contains("include_bytes !") && code.contains("more.wit"),
                "{path}: {code}"
            );
        }
    }

    #[test]
    fn unstable_items_are_included_with_their_feature() {
        let text = "package a:b@0.1.0; interface c { @unstable(feature = later) f: func(); } world w { export c; }";
        let functions = |code: TokenStream| code.to_string().contains("fn f");
        assert!(!functions(
            expand(Macro::Provider, quote!({ inline: #text })).expect("without")
        ));
        assert!(functions(
            expand(
                Macro::Provider,
                quote!({ inline: #text, features: ["later"] })
            )
            .expect("with")
        ));
    }

    fn client(text: &str) -> syn::Result<String> {
        expand(Macro::Client, quote!({ inline: #text })).map(|code| code.to_string())
    }

    #[test]
    fn a_client_needs_no_world_and_generates_no_provider() {
        let interfaces = "
            package a:b@0.1.0;
            interface types { record point { x: s32 } }
            interface %world { use types.{point}; move: func(by: point) -> point; }
            interface other { f: func(); }
        ";
        let exported = format!("{interfaces} world w {{ export %world; import other; }}");
        for text in [interfaces, exported.as_str()] {
            let code = client(text).expect("valid");
            for client in ["struct WorldClient", "struct OtherClient", "struct Point"] {
                assert!(code.contains(client), "no `{client}`: {code}");
            }
            for other in ["trait", "enum World", "TypesClient"] {
                assert!(!code.contains(other), "`{other}`: {code}");
            }
            syn::parse_str::<syn::File>(&code).expect("a Rust file");
        }
    }

    #[test]
    fn a_client_without_functions_is_refused() {
        let message = |text: &str| client(text).expect_err("nothing to call").to_string();
        let only_types = message("package a:b; interface t { type n = u8; } world w { import t; }");
        assert!(
            only_types.contains("world `w` has no function to call"),
            "{only_types}"
        );
        let empty = message("package a:b;");
        assert!(empty.contains("package `a:b` has no interface"), "{empty}");
        let two = message("package a:b; world v {} world w {}");
        assert!(two.contains("multiple worlds"), "{two}");
    }
}
