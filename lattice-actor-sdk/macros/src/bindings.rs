//! Generates Rust from WIT.
//!
//! A package that the actor's WIT refers to, but that isn't in its `deps`, is taken from
//! `lattice-wit`. Where the world imports an interface that the SDK has a client for, the bindings
//! refer to the SDK's types, so that both are the same types.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::LitStr;
use wit_bindgen_core::wit_parser::{
    InterfaceId, PackageId, Resolve, SourceMap, WorldId, WorldItem,
};
use wit_bindgen_core::{Files, WorldGenerator as _};
use wit_bindgen_rust::{Opts, WithOption};

use crate::names;
use crate::options::{Options, Source};

/// The packages of `lattice-wit` that the SDK has no bindings for.
const WITHOUT_BINDINGS: [&str; 3] = ["lattice:blobstore", "lattice:http", "wasi:keyvalue"];

/// The path of the SDK in generated code. A macro can't find out whether the crate was renamed.
const SDK: &str = "::lattice_actor_sdk";

/// The resolved WIT of an actor.
struct Wit {
    resolve: Resolve,
    package: PackageId,
    files: Vec<PathBuf>,
}

pub(crate) fn generate(options: &Options) -> syn::Result<TokenStream> {
    let mut wit = match &options.source {
        Source::Inline(text) => at(text.span(), parse_text(&text.value())),
        Source::Path(path) => at(path.span(), parse_path(&path.value())),
        Source::Default => at(Span::call_site(), parse_path("wit")),
    }?;
    let world = select(&wit, options.world.as_ref())?;
    let code: TokenStream = at(Span::call_site(), bindings(&mut wit.resolve, world))?.parse()?;

    // Makes cargo rebuild the code when one of these files changes.
    let files = wit.files.iter().map(|path| path.display().to_string());
    let export = options
        .export
        .as_ref()
        .map(|actor| quote!(export!(#actor);));
    Ok(quote! {
        #code
        #(const _: &[u8] = ::core::include_bytes!(#files);)*
        #export
    })
}

fn at<T>(span: Span, result: Result<T, String>) -> syn::Result<T> {
    result.map_err(|message| syn::Error::new(span, message))
}

fn parse_path(path: &str) -> Result<Wit, String> {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .ok_or("CARGO_MANIFEST_DIR is not set; build with cargo")?;
    let path = Path::new(&manifest).join(path);
    let path = path.canonicalize().map_err(|error| {
        format!(
            "no WIT at {}: {error}; set `path` to where it is",
            path.display()
        )
    })?;
    let mut resolve = known_packages_except(&declared_beside(&path))?;
    let (package, sources) = resolve
        .push_path(&path)
        .map_err(|error| format!("{error:#}"))?;
    let files = sources.paths().map(Path::to_owned).collect();
    Ok(Wit {
        resolve,
        package,
        files,
    })
}

fn parse_text(text: &str) -> Result<Wit, String> {
    let mut sources = SourceMap::new();
    sources.push_str("inline", text);
    let mut resolve = known_packages_except(&declared_in(sources))?;
    let package = resolve
        .push_str("inline", text)
        .map_err(|error| format!("{error:#}"))?;
    Ok(Wit {
        resolve,
        package,
        files: Vec::new(),
    })
}

/// Resolves the packages of `lattice-wit`, without those in `declared`.
fn known_packages_except(declared: &BTreeSet<String>) -> Result<Resolve, String> {
    let mut resolve = Resolve::default();
    for package in lattice_wit::PACKAGES {
        if declared.contains(&full_name(package)) {
            continue;
        }
        let mut sources = SourceMap::new();
        for file in package.files {
            sources.push_str(file.path, file.text);
        }
        let group = sources.parse().map_err(|(_, error)| error.to_string())?;
        resolve
            .push_group(group)
            .map_err(|error| error.to_string())?;
    }
    Ok(resolve)
}

/// Returns the packages that `path` and its `deps` define. Files that don't parse are skipped here;
/// resolving the package reports them.
fn declared_beside(path: &Path) -> BTreeSet<String> {
    let deps = std::fs::read_dir(path.join("deps")).into_iter().flatten();
    let deps = deps.filter_map(|entry| Some(entry.ok()?.path()));
    let mut declared = BTreeSet::new();
    for path in deps.chain([path.to_owned()]) {
        let mut sources = SourceMap::new();
        let read = if path.is_dir() {
            sources.push_dir(&path)
        } else {
            sources.push_file(&path)
        };
        if read.is_ok() {
            declared.append(&mut declared_in(sources));
        }
    }
    declared
}

fn declared_in(sources: SourceMap) -> BTreeSet<String> {
    let Ok(group) = sources.parse() else {
        return BTreeSet::new();
    };
    let packages = group.nested.iter().chain([&group.main]);
    packages.map(|package| package.name.to_string()).collect()
}

fn select(wit: &Wit, name: Option<&LitStr>) -> syn::Result<WorldId> {
    let span = name.map_or_else(Span::call_site, LitStr::span);
    let name = name.map(LitStr::value);
    let world = wit.resolve.select_world(&[wit.package], name.as_deref());
    at(span, world.map_err(|error| format!("{error:#}")))
}

fn bindings(resolve: &mut Resolve, world: WorldId) -> Result<String, String> {
    names::check(resolve, world)?;
    let options = Opts {
        generate_all: true,
        runtime_path: Some(format!("{SDK}::rt")),
        with: clients_in(resolve, world),
        ..Opts::default()
    };
    let mut files = Files::default();
    let generated = options.build().generate(resolve, world, &mut files);
    generated.map_err(|error| format!("{error:#}"))?;
    let (_, code) = files.iter().next().ok_or("no bindings were generated")?;
    String::from_utf8(code.to_vec()).map_err(|error| error.to_string())
}

/// Returns the world's imports that the SDK has bindings for, each with the path of its bindings.
fn clients_in(resolve: &Resolve, world: WorldId) -> Vec<(String, WithOption)> {
    let imports = resolve.worlds[world].imports.values();
    let interfaces = imports.filter_map(|item| match item {
        WorldItem::Interface { id, .. } => client(resolve, *id),
        _ => None,
    });
    interfaces.collect()
}

fn client(resolve: &Resolve, id: InterfaceId) -> Option<(String, WithOption)> {
    let interface = &resolve.interfaces[id];
    let package = resolve.packages[interface.package?].name.clone();
    let known = lattice_wit::PACKAGES.iter();
    let known = known.filter(|package| !WITHOUT_BINDINGS.contains(&package.name));
    let mut known = known.map(full_name);
    if !known.any(|known| known == package.to_string()) {
        return None;
    }
    let path = [&package.namespace, &package.name, interface.name.as_ref()?];
    let path = path.map(|part| part.replace('-', "_")).join("::");
    let module = WithOption::Path(format!("{SDK}::bindings::{path}"));
    Some((resolve.id_of(id)?, module))
}

fn full_name(package: &lattice_wit::Package) -> String {
    format!("{}@{}", package.name, package.version)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &str = "
        package acme:shop@1.0.0;
        interface stock {
            use lattice:rpc/types@0.1.0.{error};
            count: func(item: string) -> result<u32, error>;
        }
        world shop {
            import stock;
            import lattice:keyvalue/store@0.1.0;
            export stock;
        }
    ";

    fn code(wit: Result<Wit, String>) -> Result<String, String> {
        let mut wit = wit?;
        let world = select(&wit, None).map_err(|error| error.to_string())?;
        bindings(&mut wit.resolve, world)
    }

    #[test]
    fn the_sdks_own_packages_are_found_and_referred_to() -> Result<(), String> {
        let code = code(parse_text(SHOP))?;
        assert!(code.contains("use ::lattice_actor_sdk::bindings::lattice::rpc::types as"));
        assert!(
            !code.contains("pub mod keyvalue"),
            "generated again:\n{code}"
        );
        assert!(code.contains("pub mod stock"));
        Ok(())
    }

    #[test]
    fn names_that_rust_does_not_have_are_refused_with_both() {
        let message = |body: &str| {
            let text = format!(
                "package a:b; interface c {{ {body} }} interface d {{ use c.{{t}}; g: func(x: t); }} world w {{ import d; export c; }}"
            );
            code(parse_text(&text)).err().unwrap_or_default()
        };
        for (body, expected) in [
            ("enum t { v12, v1-2 }", "`v12` and `v1-2`"),
            ("variant t { a, self }", "`self`"),
            ("enum t { a1, a-1 }", "`a1` and `a-1`"),
            (
                "flags t { a1, b }  enum x1 { a } enum x-1 { a }",
                "`x1` and `x-1`",
            ),
        ] {
            let message = message(body);
            assert!(message.contains(expected), "{body}: {message}");
        }
        for body in ["flags t { v12, v1-2 }", "record t { %type: u8, self: u8 }"] {
            assert_eq!(message(body), "", "{body}");
        }
    }

    #[test]
    fn a_copy_in_deps_takes_the_place_of_the_sdks() -> Result<(), String> {
        let folder =
            std::env::temp_dir().join(format!("lattice-actor-macros-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = folder.join(path);
            let parent = path.parent().unwrap_or(&folder);
            std::fs::create_dir_all(parent).and_then(|()| std::fs::write(&path, text))
        };
        write("shop.wit", SHOP).map_err(|error| error.to_string())?;
        for file in lattice_wit::LATTICE_RPC.files {
            write(&format!("deps/{}", file.path), file.text).map_err(|error| error.to_string())?;
        }
        let wit = parse_path(&folder.display().to_string());
        std::fs::remove_dir_all(&folder).map_err(|error| error.to_string())?;

        let tracked = wit.as_ref().map_or(0, |wit| wit.files.len());
        assert_eq!(tracked, 1 + lattice_wit::LATTICE_RPC.files.len());
        code(wit).map(|_| ())
    }

    #[test]
    fn errors_in_the_wit_are_reported() {
        let message = |wit: Result<Wit, String>| code(wit).err().unwrap_or_default();
        assert!(message(parse_path("no-such-folder")).contains("set `path` to where it is"));
        assert!(
            message(parse_text("package a:b; world w { import nothing; }")).contains("nothing")
        );
        let two = "package a:b; world one {} world two {}";
        assert!(message(parse_text(two)).contains("world"));
    }
}
