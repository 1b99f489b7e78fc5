//! The app that a project declares: by its manifest, or made up from its parts.

use super::{
    parts::{Part, PartKind},
    stage::Stage,
};
use lattice_core::{
    app::{ActorManifest, App, AppManifest, LoadError, ProviderManifest, WormholeManifest},
    desired::Image,
    name::{ComponentId, NameError, WormholeId},
};
use lattice_wit::binary::{BinaryError, describe};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Component, Path, PathBuf},
};

/// What actors export that serve HTTP.
const HTTP: [&str; 2] = ["wasi:http/incoming-handler@", "wasi:http/handler@"];

/// Why a project declares no app.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum DeclaredError {
    /// The manifest can't be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// There is neither a manifest nor anything to build.
    #[error(
        "there is nothing to run in `{}`: no `app.toml`, no package of cargo that is a `cdylib` or a provider, no `package.json` and no `pyproject.toml` that says how an actor is built; `lattice new` makes projects", .0.display()
    )]
    Nothing(PathBuf),
    /// The name of a package can't be that of a component.
    #[error("the package `{package}` can't be a component: {source}")]
    Name {
        /// The package.
        package: String,
        /// The rule that its name breaks.
        source: NameError,
    },
    /// Two packages have names that are one as that of a component.
    #[error(
        "the packages `{first}` and `{second}` would both be the component `{id}`; rename one of them, or name them in an `app.toml`"
    )]
    SameName {
        /// One package.
        first: String,
        /// The other one.
        second: String,
        /// The name of their component.
        id: ComponentId,
    },
    /// Two parts are built into one file.
    #[error(
        "`{first}` and `{second}` are both built into `{}`, and each would replace the other; give one of them another name", output.display()
    )]
    SameOutput {
        /// One part.
        first: String,
        /// The other one.
        second: String,
        /// The file.
        output: PathBuf,
    },
    /// A file that is named isn't there, or can't be copied.
    #[error("`{}` can't be read; build it, or correct the manifest", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What was built isn't a component.
    #[error("`{}` isn't a component", file.display())]
    Component {
        /// The file.
        file: PathBuf,
        /// Why.
        source: BinaryError,
    },
}

/// An app whose files may have to be built first.
#[derive(Debug)]
pub(super) enum Declared {
    /// By a manifest.
    Manifest {
        app: App,
        /// The files that it names, as it does and by their full paths.
        files: BTreeMap<PathBuf, PathBuf>,
    },
    /// By nothing but its parts.
    Parts,
}

impl Declared {
    /// Loads the manifest, if there is one.
    ///
    /// # Errors
    /// Fails with [`DeclaredError::Load`].
    pub(super) fn load(manifest: Option<&Path>) -> Result<Self, DeclaredError> {
        let Some(manifest) = manifest else {
            return Ok(Self::Parts);
        };
        let app = App::load(manifest)?;
        let base = manifest.parent().unwrap_or(Path::new(""));
        let actors = app.manifest().actors.values().map(|actor| &actor.image);
        let providers = app.manifest().providers.values();
        let images = actors.chain(providers.filter_map(|provider| provider.image.as_ref()));
        let files = images.filter_map(|image| match image {
            Image::File(file) => Some((file.clone(), plain(&base.join(file)))),
            _ => None,
        });
        let files = files.collect();
        Ok(Self::Manifest { app, files })
    }

    /// Returns the parts that the app consists of.
    ///
    /// # Errors
    /// Fails with [`DeclaredError::Nothing`] or [`DeclaredError::SameOutput`].
    pub(super) fn parts<'p>(
        &self,
        root: &Path,
        parts: &'p [Part],
    ) -> Result<Vec<&'p Part>, DeclaredError> {
        let wanted: Vec<&Part> = match self {
            Self::Manifest { files, .. } => {
                let is_named = |part: &&Part| files.values().any(|file| part.named.contains(file));
                parts.iter().filter(is_named).collect()
            }
            Self::Parts if parts.is_empty() => return Err(DeclaredError::Nothing(root.into())),
            Self::Parts => parts.iter().collect(),
        };
        let mut outputs = BTreeMap::new();
        for part in &wanted {
            if let Some(first) = outputs.insert(&part.output, &part.name) {
                return Err(DeclaredError::SameOutput {
                    first: first.clone(),
                    second: part.name.clone(),
                    output: part.output.clone(),
                });
            }
        }
        Ok(wanted)
    }

    /// Returns the files that the app names and no part builds.
    pub(super) fn prebuilt(&self, parts: &[Part]) -> BTreeSet<PathBuf> {
        let Self::Manifest { files, .. } = self else {
            return BTreeSet::new();
        };
        let is_built = |file: &Path| parts.iter().any(|part| part.named.contains(file));
        files
            .values()
            .filter(|file| !is_built(file))
            .cloned()
            .collect()
    }

    /// Returns whether the app has programs, which run in processes of their own.
    pub(super) fn has_programs(&self, parts: &[Part]) -> bool {
        match self {
            Self::Manifest { app, .. } => {
                let mut providers = app.manifest().providers.values();
                providers.any(|provider| provider.image.is_some())
            }
            Self::Parts => parts.iter().any(|part| part.kind == PartKind::Provider),
        }
    }

    /// Returns whether the app has providers of any kind.
    pub(super) fn has_providers(&self, parts: &[Part]) -> bool {
        match self {
            Self::Manifest { app, .. } => !app.manifest().providers.is_empty(),
            Self::Parts => self.has_programs(parts),
        }
    }

    /// Returns the app with copies of its files.
    ///
    /// # Errors
    /// Fails with a [`DeclaredError`].
    pub(super) fn app(
        self,
        root: &Path,
        parts: &[Part],
        stage: &mut Stage,
    ) -> Result<App, DeclaredError> {
        let mut copy = |file: &Path| {
            let copied = stage.copy(file);
            copied.map_err(|source| DeclaredError::File {
                file: file.into(),
                source,
            })
        };
        match self {
            Self::Manifest { mut app, files } => {
                for (named, file) in files {
                    let part = parts.iter().find(|part| part.named.contains(&file));
                    let copied = copy(part.map_or(&file, |part| &part.output))?;
                    app = app.file_at(named, copied);
                }
                Ok(app)
            }
            Self::Parts => {
                let mut copies = Vec::new();
                for part in parts {
                    copies.push((part, copy(&part.output)?));
                }
                made_up(root, &copies)
            }
        }
    }
}

/// Makes an app of parts: a wormhole leads to each actor that serves HTTP. The only one serves all
/// host names, and each of several the one that it is called.
fn made_up(root: &Path, copies: &[(&Part, PathBuf)]) -> Result<App, DeclaredError> {
    let folder = root.file_name().unwrap_or_default().to_string_lossy();
    let name = label(&folder);
    let app = AppManifest::new(&*name).or_else(|_| AppManifest::new("dev"));
    let mut app = app.map_err(|source| DeclaredError::Name {
        package: folder.into_owned(),
        source,
    })?;
    let mut http = Vec::new();
    let mut packages = BTreeMap::new();
    for (part, copy) in copies {
        let id = ComponentId::new(&label(&part.name)).map_err(|source| DeclaredError::Name {
            package: part.name.clone(),
            source,
        })?;
        if let Some(first) = packages.insert(id.clone(), &part.name) {
            return Err(DeclaredError::SameName {
                first: first.clone(),
                second: part.name.clone(),
                id,
            });
        }
        let image = Image::File(copy.clone());
        match part.kind {
            PartKind::Actor => {
                if serves_http(copy, &part.output)? {
                    http.push(id.clone());
                }
                app.actors.insert(id, ActorManifest::new(image));
            }
            PartKind::Provider => {
                let provider = ProviderManifest {
                    image: Some(image),
                    ..ProviderManifest::default()
                };
                app.providers.insert(id, provider);
            }
        }
    }
    let is_only = http.len() == 1;
    for actor in http {
        let mut wormhole = WormholeManifest::new(actor.clone());
        wormhole.host = (!is_only).then(|| actor.to_string());
        if let Ok(id) = WormholeId::new(actor.as_str()) {
            app.wormholes.insert(id, wormhole);
        }
    }
    Ok(App::new(app))
}

/// Returns whether a component serves HTTP. `file` is where it was built.
fn serves_http(copy: &Path, file: &Path) -> Result<bool, DeclaredError> {
    let bytes = fs::read(copy).map_err(|source| DeclaredError::File {
        file: file.into(),
        source,
    })?;
    let described = describe(&bytes).map_err(|source| DeclaredError::Component {
        file: file.into(),
        source,
    })?;
    let mut exports = described
        .exports()
        .map(|key| described.resolve.name_world_key(key));
    Ok(exports.any(|export| HTTP.iter().any(|http| export.starts_with(http))))
}

/// Returns the name of a package as ids are written.
fn label(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.', ' '], "-")
}

/// Returns a path without `.` and `..`, which is enough to compare it. The file may not be there.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::parts::Recipe;

    const HANDLER: &str = r#"(component
        (instance $i)
        (export "wasi:http/incoming-handler@0.2.0" (instance $i)))"#;

    fn part(root: &Path, name: &str, kind: PartKind) -> Part {
        let output = root.join(format!("built/{name}"));
        Part {
            name: name.to_owned(),
            folder: root.join(name),
            kind,
            recipe: Recipe::Npm,
            named: [output.clone(), root.join(format!("usual/{name}"))].into(),
            output,
        }
    }

    #[test]
    fn a_manifest_names_what_is_built_and_what_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        fs::create_dir(root.join("built")).expect("a folder");
        fs::write(root.join("built/front"), "front").expect("written");
        fs::write(root.join("ready.wasm"), "ready").expect("written");
        let manifest = root.join("app.toml");
        let text = "name = \"shop\"\n[actors]\nfront = { image = \"file:usual/../usual/front\" }\nready = { image = \"file:ready.wasm\" }\nthere = { image = \"ghcr.io/a/b:1\" }\n";
        fs::write(&manifest, text).expect("written");
        let parts = [
            part(root, "front", PartKind::Actor),
            part(root, "other", PartKind::Actor),
        ];
        let declared = Declared::load(Some(&manifest)).expect("valid");
        let wanted = declared.parts(root, &parts).expect("some");
        assert_eq!(wanted, [&parts[0]], "only what the manifest names");
        let ready = root.join("ready.wasm");
        assert_eq!(declared.prebuilt(&parts), [ready].into());
        assert!(!declared.has_programs(&parts));
        let mut stage = Stage::new().expect("a folder");
        let app = declared.app(root, &parts, &mut stage).expect("there");
        for (actor, content) in [("front", "front"), ("ready", "ready")] {
            let id = ComponentId::new(actor).expect("an id");
            let image = app.fetched(&app.manifest().actors[&id].image);
            let Image::File(copy) = image else {
                panic!("{image}");
            };
            assert!(copy.starts_with(stage.folder()), "{}", copy.display());
            assert_eq!(fs::read_to_string(copy).expect("a file"), content);
        }
    }

    #[test]
    fn parts_without_a_manifest_are_an_app_with_wormholes() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        fs::create_dir(root.join("built")).expect("a folder");
        let handler = wat::parse_str(HANDLER).expect("a component");
        fs::write(root.join("built/my_front"), handler).expect("written");
        let silent =
            wat::parse_str(r#"(component (import "a:b/c" (instance)))"#).expect("a component");
        fs::write(root.join("built/quiet"), silent).expect("written");
        fs::write(root.join("built/store"), "a program").expect("written");
        let parts = [
            part(root, "my_front", PartKind::Actor),
            part(root, "quiet", PartKind::Actor),
            part(root, "store", PartKind::Provider),
        ];
        let declared = Declared::load(None).expect("nothing is loaded");
        assert!(declared.has_programs(&parts));
        let mut stage = Stage::new().expect("a folder");
        let app = declared.app(root, &parts, &mut stage).expect("there");
        let manifest = app.manifest();
        assert_eq!((manifest.actors.len(), manifest.providers.len()), (2, 1));
        let wormholes: Vec<_> = manifest.wormholes.values().collect();
        let [wormhole] = &wormholes[..] else {
            panic!("{wormholes:?}");
        };
        assert_eq!(
            (wormhole.actor.as_str(), &wormhole.host),
            ("my-front", &None)
        );

        let twice = [&parts[..], &[part(root, "My_Front", PartKind::Actor)]].concat();
        fs::copy(root.join("built/my_front"), root.join("built/My_Front")).expect("copied");
        let error = Declared::Parts.app(root, &twice, &mut stage);
        let error = error.expect_err("one would be lost").to_string();
        assert!(
            error.contains("both be the component `my-front`"),
            "{error}"
        );
        let mut other = part(root, "other", PartKind::Actor);
        other.output = parts[0].output.clone();
        let both = [parts[0].clone(), other];
        let error = Declared::Parts.parts(root, &both).expect_err("one file");
        assert!(
            error
                .to_string()
                .contains("`my_front` and `other` are both"),
            "{error}"
        );

        let error = Declared::Parts.parts(root, &[]).expect_err("nothing");
        assert!(error.to_string().contains("`lattice new`"), "{error}");
        let gone = part(root, "gone", PartKind::Actor);
        let error = Declared::Parts.app(root, &[gone], &mut stage);
        let error = error.expect_err("it isn't there").to_string();
        assert!(error.contains("can't be read; build it"), "{error}");
    }
}
