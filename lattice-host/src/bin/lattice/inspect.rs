//! `lattice inspect`.

use crate::{
    failure::Failure,
    output::{Format, in_one_line, on_one_line, print, print_json},
    registry::{Login, Registries, bar, show},
};
use clap::Args;
use lattice_core::error::chain;
use lattice_host::{
    ActorError, ComponentCheck, Limits, Side, Unserved,
    artifact::{Artifact, Image, WasmKind, producers},
};
use lattice_wit::binary::describe;
use serde_json::{Value as Json, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::Path,
};

const EXAMPLES: &str = "Examples:
  lattice inspect target/greeter.wasm
  lattice inspect registry.example.com/shop/greeter:1.0 -o json";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Inspect {
    /// A component: a file, or an image in a registry
    #[arg(value_name = "FILE")]
    image: String,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    registries: Registries,
    #[command(flatten)]
    login: Login,
}

/// The description of a component that is printed.
struct Inspected {
    image: Image,
    digest: String,
    size: usize,
    made_by: BTreeMap<String, BTreeSet<String>>,
    exports: Vec<Interface>,
    imports: Vec<Interface>,
    /// How a host would serve it, or the reason that it refuses it.
    check: Result<ComponentCheck, ActorError>,
}

/// An export or an import.
struct Interface {
    name: String,
    /// `None` for an item outside of any interface.
    wit: Option<String>,
}

impl Inspect {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let image = image(&self.image)?;
        let artifacts = self.registries.artifacts_for(&image, &self.login)?;
        let (pinned, artifact) = match &image {
            Image::Oci(_) => {
                let resolved = artifacts.resolve(&image).await?;
                let bar = bar("fetching");
                let fetched = artifacts
                    .fetch_with(&resolved.image, resolved.digest, |progress| {
                        show(&bar, progress);
                    })
                    .await;
                bar.finish_and_clear();
                (resolved.image, fetched?)
            }
            _ => (image.clone(), artifacts.fetch(&image, None).await?),
        };
        let found = Inspected::new(pinned, &artifact)?;
        match self.output {
            Format::Table => print(&found.text()),
            Format::Json => print_json(&format!("{:#}", found.json())),
        }?;
        match &found.check {
            Ok(_) => Ok(()),
            Err(refused) => Err(Failure::Refused(format!(
                "no host starts {}: {}",
                found.image,
                chain(refused)
            ))),
        }
    }
}

/// Returns a file if there is one of this name or the text looks like a file, and an image in a
/// registry otherwise.
fn image(text: &str) -> Result<Image, Failure> {
    let path = Path::new(text);
    if path.exists() {
        return Ok(Image::File(path.to_owned()));
    }
    text.parse().or_else(|error| match error {
        lattice_host::artifact::ImageError::BarePath { .. } => Ok(Image::File(path.to_owned())),
        error @ lattice_host::artifact::ImageError::Login => Err(Failure::Usage(error.to_string())),
        error => Err(Failure::Usage(format!(
            "there is no file `{text}`, and it isn't an image in a registry: {error}"
        ))),
    })
}

impl Inspected {
    fn new(image: Image, artifact: &Artifact) -> Result<Self, Failure> {
        let bytes = &artifact.bytes;
        match WasmKind::of(bytes) {
            Ok(WasmKind::Component) => {}
            Ok(_) => {
                return Err(Failure::Refused(format!(
                    "{image} is a core module, not a component; build it for `wasm32-wasip2`, or turn it into a component with `wasm-tools component new`"
                )));
            }
            Err(found) => {
                return Err(Failure::Refused(format!(
                    "{image} is not a WebAssembly component but {found}"
                )));
            }
        }
        let described = describe(bytes)
            .map_err(|error| Failure::Refused(format!("{image} can't be read: {error}")))?;
        Ok(Self {
            digest: artifact.digest.to_string(),
            size: bytes.len(),
            made_by: producers(bytes),
            exports: described
                .exports()
                .map(|key| Interface {
                    name: described.resolve.name_world_key(key),
                    wit: described.text(key).ok().flatten(),
                })
                .collect(),
            imports: described
                .imports()
                .map(|key| Interface {
                    name: described.resolve.name_world_key(key),
                    wit: described.text(key).ok().flatten(),
                })
                .collect(),
            image,
            check: check(bytes),
        })
    }

    /// Returns the parts that can't be served.
    fn unserved(&self) -> &[Unserved] {
        match &self.check {
            Ok(check) => &check.unserved,
            Err(ActorError::NothingToCall { unserved }) => unserved,
            Err(_) => &[],
        }
    }

    /// Returns the reason that an import or an export can't be served.
    fn advice(&self, side: Side, name: &str) -> Option<&str> {
        let mut unserved = self.unserved().iter();
        let found = unserved.find(|unserved| unserved.side == side && unserved.name == name);
        found.map(|unserved| &*unserved.reason)
    }

    /// Returns what serves an import: the host, a link or nothing. `None` for one that is only
    /// types, or in a component that no host starts.
    fn answered_by(&self, name: &str) -> Option<&'static str> {
        let check = self.check.as_ref().ok()?;
        let is = |names: &[String]| names.iter().any(|one| one == name);
        if is(&check.by_host) {
            return Some("host");
        }
        if is(&check.by_link) {
            return Some("link");
        }
        self.advice(Side::Import, name).map(|_| "nothing")
    }

    /// Returns why hosts with the default limits don't start it.
    fn over_defaults(&self) -> Option<ActorError> {
        let check = self.check.as_ref().ok()?;
        check.fits(&Limits::default()).err()
    }

    fn text(&self) -> String {
        let mut out = String::new();
        let mut line = |name: &str, value: &str| {
            // Writing to a string never fails.
            let _ = writeln!(out, "{name:<11} {}", on_one_line(value));
        };
        line("image", &self.image.to_string());
        line("digest", &self.digest);
        line("size", &format!("{} bytes", self.size));
        let made_by: Vec<&str> = self
            .made_by
            .values()
            .flatten()
            .map(String::as_str)
            .collect();
        line("made by", &made_by.join(", "));
        if let Ok(check) = &self.check {
            let (memory, elements) = (check.initial_memory, check.initial_table_elements);
            let starts_with = format!("{memory} of memory, {elements} table elements");
            line("starts with", &starts_with);
        }
        if let Some(over) = self.over_defaults() {
            let note = format!("hosts with the default limits don't start it: {over}");
            line("note", &note);
        }
        let answered_by = |wanted| {
            let imports = self.imports.iter();
            imports.filter(move |import| self.answered_by(&import.name) == Some(wanted))
        };
        section(&mut out, "exports", self.exports.iter().collect());
        section(
            &mut out,
            "imports that need a link",
            answered_by("link").collect(),
        );
        let by_host = answered_by("host");
        names(&mut out, "imports that its host serves", by_host);
        if !self.unserved().is_empty() {
            let _ = writeln!(out, "\nparts that can't be served");
        }
        for unserved in self.unserved() {
            let _ = writeln!(out, "  {}", in_one_line(&unserved.to_string()));
        }
        out
    }

    fn json(&self) -> Json {
        let exports = self.exports.iter().map(|export| {
            let check = self.check.as_ref().ok();
            json!({
                "name": export.name,
                "wit": export.wit,
                "callable": check.is_some_and(|check| check.callable.contains(&export.name)),
                "advice": self.advice(Side::Export, &export.name),
            })
        });
        let imports = self.imports.iter().map(|import| {
            json!({
                "name": import.name,
                "wit": import.wit,
                "answered_by": self.answered_by(&import.name),
                "advice": self.advice(Side::Import, &import.name),
            })
        });
        json!({
            "image": self.image.to_string(),
            "digest": self.digest,
            "size": self.size,
            "made_by": self.made_by,
            "initial_memory": self.check.as_ref().ok().map(|check| check.initial_memory.as_u64()),
            "initial_table_elements": self.check.as_ref().ok().map(|check| check.initial_table_elements),
            "over_default_limits": self.over_defaults().map(|over| over.to_string()),
            "exports": exports.collect::<Json>(),
            "imports": imports.collect::<Json>(),
            "refused": self.check.as_ref().err().map(|refused| chain(refused)),
        })
    }
}

/// Checks a component as a host does. One with too many parts is refused whatever the limits are.
fn check(bytes: &[u8]) -> Result<ComponentCheck, ActorError> {
    let check = ComponentCheck::of(bytes)?;
    match check.fits(&Limits::default()) {
        Err(refused @ ActorError::TooManyParts { .. }) => Err(refused),
        _ => Ok(check),
    }
}

/// Prints interfaces with their functions and types.
fn section(out: &mut String, title: &str, interfaces: Vec<&Interface>) {
    if interfaces.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{title}");
    for interface in interfaces {
        let _ = writeln!(out, "  {}", on_one_line(&interface.name));
        for line in interface.wit.iter().flat_map(|wit| wit.lines()) {
            let _ = writeln!(out, "    {}", on_one_line(line));
        }
    }
}

fn names<'i>(out: &mut String, title: &str, interfaces: impl Iterator<Item = &'i Interface>) {
    let mut interfaces = interfaces.peekable();
    if interfaces.peek().is_some() {
        let _ = writeln!(out, "\n{title}");
    }
    for interface in interfaces {
        let _ = writeln!(out, "  {}", on_one_line(&interface.name));
    }
}
