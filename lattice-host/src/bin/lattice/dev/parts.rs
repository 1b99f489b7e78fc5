//! The parts of a project: what below its folder is built into an actor or a provider.

use super::{
    child, ignore,
    tool::{self, ToolError, WASM},
};
use lattice_core::error::chain;
use serde::Deserialize;
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};
use toml::de::{DeTable, DeValue};

/// How deep below the folder of a project its parts can be.
const DEPTH: usize = 3;
/// How many folders are looked at.
const FOLDERS: usize = 2_000;
/// The package on which the program of a provider depends.
const PROVIDER_SDK: &str = "lattice-mesh-provider-sdk";

/// One actor or provider that can be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// The name of its package.
    pub(super) name: String,
    /// The folder with its sources.
    pub(super) folder: PathBuf,
    pub(super) kind: PartKind,
    pub(super) recipe: Recipe,
    /// Where the tool puts what it builds.
    pub(super) output: PathBuf,
    /// Where a manifest says that it is: there, or where it would be without `CARGO_TARGET_DIR`.
    pub(super) named: BTreeSet<PathBuf>,
}

/// What a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PartKind {
    Actor,
    Provider,
}

/// How a part is built.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Recipe {
    /// By cargo, in the workspace of this folder.
    Cargo(PathBuf),
    /// By `npm run build`.
    Npm,
    /// By this program with these arguments.
    Program(Vec<String>),
}

/// Why the parts of a project can't be found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum PartsError {
    /// A tool that describes them is missing, or has failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// cargo can't read a manifest.
    #[error("cargo can't read `{}`:\n{said}", manifest.display())]
    Cargo {
        /// The manifest.
        manifest: PathBuf,
        /// What cargo says.
        said: String,
    },
    /// A file can't be read, or isn't valid.
    #[error("`{}`: {reason}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
}

/// Finds the parts of a project in a folder and those below it.
///
/// # Errors
/// Fails with a [`PartsError`].
pub(super) async fn find(root: &Path) -> Result<Vec<Part>, PartsError> {
    let mut parts: Vec<Part> = Vec::new();
    let mut described = BTreeSet::new();
    for folder in folders(root) {
        let manifest = folder.join("Cargo.toml");
        if manifest.is_file() && !described.contains(&manifest) {
            let metadata = metadata(&manifest).await?;
            let packages = metadata.packages.iter();
            described.extend(packages.map(|package| package.manifest_path.clone()));
            parts.extend(metadata.parts(root));
        }
        parts.extend(javascript(&folder)?);
        parts.extend(python(&folder)?);
    }
    // A workspace may have been described twice, by a member of it and by its own manifest.
    let mut once: Vec<Part> = Vec::new();
    for part in parts {
        if !once.contains(&part) {
            once.push(part);
        }
    }
    Ok(once)
}

/// Returns a folder and those below it that may be parts, each before those in it.
fn folders(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![root.to_path_buf()];
    let mut level = found.clone();
    for _ in 0..DEPTH {
        let mut next: Vec<PathBuf> = Vec::new();
        for folder in &level {
            let entries = fs::read_dir(folder).into_iter().flatten();
            let below = entries.filter_map(|entry| {
                let entry = entry.ok()?;
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                is_folder.then(|| entry.path())
            });
            next.extend(below.filter(|folder| !ignore::folder(folder)));
        }
        next.sort();
        next.truncate(FOLDERS.saturating_sub(found.len()));
        found.extend(next.iter().cloned());
        level = next;
    }
    found
}

/// What cargo says of a workspace.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
    workspace_root: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
    crate_types: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
}

/// Asks cargo for the packages of a workspace. Dependencies aren't resolved, so nothing is fetched.
async fn metadata(manifest: &Path) -> Result<Metadata, PartsError> {
    let mut cargo = tool::cargo();
    cargo
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .arg("--manifest-path")
        .arg(manifest)
        .current_dir(manifest.parent().unwrap_or(Path::new(".")));
    let said = child::output(&mut cargo).await;
    let said =
        said.map_err(|error| ToolError::start("cargo", error, ToolError::NoRust("cargo")))?;
    let failed = |said: String| PartsError::Cargo {
        manifest: manifest.into(),
        said,
    };
    if !said.status.success() {
        return Err(failed(String::from_utf8_lossy(&said.stderr).into_owned()));
    }
    serde_json::from_slice(&said.stdout).map_err(|error| failed(chain(&error)))
}

impl Metadata {
    /// Returns the actors and providers below a folder.
    fn parts(&self, root: &Path) -> Vec<Part> {
        let packages = self.packages.iter();
        let below = packages.filter(|package| package.manifest_path.starts_with(root));
        below.filter_map(|package| self.part(package)).collect()
    }

    fn part(&self, package: &Package) -> Option<Part> {
        let has = |all: &[String], one: &str| all.iter().any(|each| each == one);
        let library = package
            .targets
            .iter()
            .find(|target| has(&target.crate_types, "cdylib") && !has(&target.kind, "example"));
        let programs = || {
            let uses_sdk = package
                .dependencies
                .iter()
                .any(|dependency| dependency.name == PROVIDER_SDK);
            let mut targets = package.targets.iter();
            let program = targets.find(|target| has(&target.kind, "bin"));
            program.filter(|_| uses_sdk)
        };
        let (kind, file) = if let Some(library) = library {
            let name = format!("{}.wasm", library.name.replace('-', "_"));
            let file = Path::new(WASM).join("release").join(name);
            (PartKind::Actor, file)
        } else {
            let name = format!("{}{}", programs()?.name, std::env::consts::EXE_SUFFIX);
            (PartKind::Provider, Path::new("release").join(name))
        };
        let output = self.target_directory.join(&file);
        let usual = self.workspace_root.join("target").join(&file);
        Some(Part {
            name: package.name.clone(),
            folder: package.manifest_path.parent()?.to_path_buf(),
            kind,
            recipe: Recipe::Cargo(self.workspace_root.clone()),
            named: [output.clone(), usual].into(),
            output,
        })
    }
}

/// What `package.json` says.
#[derive(Debug, Deserialize)]
struct PackageJson {
    name: Option<String>,
    lattice: Option<LatticeKey>,
}

#[derive(Debug, Deserialize)]
struct LatticeKey {
    component: PathBuf,
}

/// Returns the actor of a `package.json` that says which file `npm run build` makes.
fn javascript(folder: &Path) -> Result<Option<Part>, PartsError> {
    let file = folder.join("package.json");
    let Some(text) = read(&file)? else {
        return Ok(None);
    };
    let package: PackageJson = serde_json::from_str(&text).map_err(|error| PartsError::File {
        reason: format!("{error}; `lattice` is `{{ \"component\": \"name.wasm\" }}`"),
        file,
    })?;
    let made = package.lattice.map(|lattice| {
        let name = package.name.unwrap_or_else(|| name_of(folder));
        (name, lattice.component)
    });
    Ok(made.map(|(name, component)| actor(name, folder, Recipe::Npm, &component)))
}

/// Returns the actor of a `pyproject.toml` that says how it is built.
fn python(folder: &Path) -> Result<Option<Part>, PartsError> {
    let file = folder.join("pyproject.toml");
    let Some(text) = read(&file)? else {
        return Ok(None);
    };
    let wrong = |reason: String| PartsError::File {
        file: file.clone(),
        reason,
    };
    let table = DeTable::parse(&text).map_err(|error| wrong(error.to_string()))?;
    let table = table.get_ref();
    let Some(settings) = entry(table, "tool").and_then(|tool| within(tool, "lattice")) else {
        return Ok(None);
    };
    let component = within(settings, "component").and_then(text_of);
    let build = within(settings, "build").and_then(texts_of);
    let (Some(component), Some(build)) = (component, build.filter(|build| !build.is_empty()))
    else {
        return Err(wrong(
            "`[tool.lattice]` has `build`, a list of a program and its arguments, and `component`, the file that it makes".to_owned(),
        ));
    };
    let project = entry(table, "project");
    let name = project.and_then(|project| text_of(within(project, "name")?));
    let name = name.unwrap_or_else(|| name_of(folder));
    Ok(Some(actor(
        name,
        folder,
        Recipe::Program(build),
        Path::new(&component),
    )))
}

fn actor(name: String, folder: &Path, recipe: Recipe, component: &Path) -> Part {
    let output = folder.join(component);
    Part {
        name,
        folder: folder.into(),
        kind: PartKind::Actor,
        recipe,
        named: [output.clone()].into(),
        output,
    }
}

fn name_of(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Returns the text of a file, or `None` if there is none.
fn read(file: &Path) -> Result<Option<String>, PartsError> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(PartsError::File {
            file: file.into(),
            reason: format!("it can't be read: {error}"),
        }),
    }
}

fn entry<'t, 'i>(table: &'t DeTable<'i>, name: &str) -> Option<&'t DeValue<'i>> {
    let mut entries = table.iter();
    let found = entries.find(|(key, _)| **key.get_ref() == *name);
    found.map(|(_, value)| value.get_ref())
}

fn within<'t, 'i>(value: &'t DeValue<'i>, name: &str) -> Option<&'t DeValue<'i>> {
    match value {
        DeValue::Table(table) => entry(table, name),
        _ => None,
    }
}

fn text_of(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        _ => None,
    }
}

fn texts_of(value: &DeValue<'_>) -> Option<Vec<String>> {
    match value {
        DeValue::Array(all) => all.iter().map(|one| text_of(one.get_ref())).collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, file: &str, text: &str) {
        let file = root.join(file);
        fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        fs::write(file, text).expect("written");
    }

    #[test]
    fn actors_in_other_languages_say_how_they_are_built() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        write(
            root,
            "js/package.json",
            r#"{"name":"hi","lattice":{"component":"hi.wasm"}}"#,
        );
        write(root, "other/package.json", r#"{"name":"other"}"#);
        let python_project = "[project]\nname = \"py\"\n[tool.lattice]\nbuild = [\"make\", \"it\"]\ncomponent = \"py.wasm\"\n";
        write(root, "py/pyproject.toml", python_project);
        let found = javascript(&root.join("js"))
            .expect("valid")
            .expect("an actor");
        assert_eq!((&*found.name, &found.recipe), ("hi", &Recipe::Npm));
        assert_eq!(found.output, root.join("js/hi.wasm"));
        assert!(matches!(javascript(&root.join("other")), Ok(None)));
        let found = python(&root.join("py")).expect("valid").expect("an actor");
        let recipe = Recipe::Program(vec!["make".to_owned(), "it".to_owned()]);
        assert_eq!((&*found.name, found.recipe), ("py", recipe));
        assert!(matches!(python(&root.join("js")), Ok(None)));

        write(
            root,
            "py/pyproject.toml",
            "[tool.lattice]\nbuild = \"make\"\n",
        );
        let error = python(&root.join("py")).expect_err("wrong").to_string();
        assert!(error.contains("a list of a program"), "{error}");
        write(root, "js/package.json", "{");
        assert!(javascript(&root.join("js")).is_err());
    }

    #[test]
    fn packages_are_actors_or_providers_by_what_they_make() {
        let metadata = r#"{
            "workspace_root": "/w", "target_directory": "/shared",
            "packages": [
                {"name": "front", "manifest_path": "/w/front/Cargo.toml", "dependencies": [],
                 "targets": [{"name": "front", "kind": ["cdylib"], "crate_types": ["cdylib"]}]},
                {"name": "my-store", "manifest_path": "/w/store/Cargo.toml",
                 "dependencies": [{"name": "lattice-mesh-provider-sdk"}],
                 "targets": [{"name": "my_store", "kind": ["lib"], "crate_types": ["lib"]},
                             {"name": "my-store", "kind": ["bin"], "crate_types": ["bin"]}]},
                {"name": "tool", "manifest_path": "/w/tool/Cargo.toml", "dependencies": [],
                 "targets": [{"name": "tool", "kind": ["bin"], "crate_types": ["bin"]}]}]}"#;
        let metadata: Metadata = serde_json::from_str(metadata).expect("valid");
        let parts = metadata.parts(Path::new("/w"));
        let [front, store] = &parts[..] else {
            panic!("{parts:?}");
        };
        assert_eq!(front.kind, PartKind::Actor);
        assert_eq!(
            front.output,
            Path::new("/shared/wasm32-wasip2/release/front.wasm")
        );
        let usual = Path::new("/w/target/wasm32-wasip2/release/front.wasm");
        assert!(front.named.contains(usual), "{front:?}");
        assert_eq!(store.kind, PartKind::Provider);
        assert!(store.output.starts_with("/shared/release"), "{store:?}");
        assert_eq!(metadata.parts(Path::new("/w/front")).len(), 1);
    }
}
