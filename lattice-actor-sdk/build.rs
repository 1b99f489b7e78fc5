//! Generates the typed clients: bindings for a world that imports every interface of `lattice-wit`.
//!
//! The linker drops the clients that an actor doesn't call, so importing everything costs nothing.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use wit_bindgen_core::wit_parser::{Resolve, SourceMap, WorldId};
use wit_bindgen_core::{Files, WorldGenerator as _};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let (mut resolve, world) = clients()?;
    let options = wit_bindgen_rust::Opts {
        format: true,
        generate_all: true,
        // `lattice:rpc/types` has no functions, so only the WIT of guests uses its types.
        generate_unused_types: true,
        ..Default::default()
    };
    let mut files = Files::default();
    options.build().generate(&mut resolve, world, &mut files)?;
    let (_, bindings) = files.iter().next().ok_or("no bindings were generated")?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("bindings.rs"), bindings)?;
    Ok(())
}

fn clients() -> Result<(Resolve, WorldId), Box<dyn Error>> {
    let mut resolve = Resolve::default();
    let mut imports = String::new();
    for package in lattice_wit::PACKAGES {
        let mut sources = SourceMap::new();
        for file in package.files {
            sources.push(Path::new(file.path), file.text);
        }
        let group = sources.parse().map_err(|(_, error)| error)?;
        let id = resolve.push_group(group)?;
        // The SDK has no bindings for it, see the macros' `WITHOUT_BINDINGS`.
        if package.name == "wasi:keyvalue" {
            continue;
        }
        for interface in resolve.packages[id].interfaces.keys() {
            writeln!(
                imports,
                "import {}/{interface}@{};",
                package.name, package.version
            )?;
        }
    }
    let text = format!("package lattice:actor-sdk; world clients {{ {imports} }}");
    let package = resolve.push_str("clients.wit", &text)?;
    let world = resolve.select_world(&[package], Some("clients"))?;
    Ok((resolve, world))
}
