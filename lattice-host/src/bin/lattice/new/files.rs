//! The files of new projects, from the templates in `lattice-host/templates`. The placeholders in
//! them are valid names, so that each template is valid source.

use super::{Kind, Language, dependency::Dependency, name::ProjectName, wasi};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The placeholder for the name, the one for the name as an identifier of Rust, and the one for the
/// file in which an app's actor is.
const NAME: &str = "placeholder-name";
const IN_RUST: &str = "placeholder_name";
const IMAGE: &str = "placeholder-image.wasm";

/// The actor of an app: its name, and the folder that it is in.
const FRONT: &str = "front";
const README: &str = "README.md";

/// Files that git doesn't track.
const IGNORED: &str = include_str!("../../../../templates/gitignore");

/// A file of a project: its path in it, and its text.
pub(super) type File = (PathBuf, String);

type Template = (&'static str, &'static str);

/// A file of a template, under the path that it has in a project. Manifests of cargo have another
/// name in the template, because cargo leaves folders with manifests out of a package.
macro_rules! template {
    ($folder:literal: $($file:literal $(from $source:literal)?),+ $(,)?) => {
        &[$(($file, template!(@ $folder, $file $(, $source)?))),+]
    };
    (@ $folder:literal, $file:literal, $source:literal) => {
        include_str!(concat!("../../../../templates/", $folder, "/", $source))
    };
    (@ $folder:literal, $file:literal) => {
        include_str!(concat!("../../../../templates/", $folder, "/", $file))
    };
}

const RUST_ACTOR: &[Template] = template!(
    "rust-actor": "Cargo.toml" from "Cargo.toml.template", "README.md", "src/lib.rs"
);

const PYTHON_ACTOR: &[Template] = template!(
    "python-actor": "README.md", "pyproject.toml", "requirements.txt", "src/app.py",
    "src/greeting.py", "src/test_greeting.py", "wit/world.wit"
);

const JAVASCRIPT_ACTOR: &[Template] = template!(
    "javascript-actor": "README.md", "index.js", "index.test.js", "package.json", "wit/world.wit"
);

const PROVIDER: &[Template] = template!(
    "provider": "Cargo.toml" from "Cargo.toml.template", "README.md", "src/lib.rs", "src/main.rs",
    "tests/counts.rs", "wit/world.wit"
);

const APP: &[Template] = template!("app": "app.toml");

const RUST_APP: &[Template] = template!(
    "app-rust": "Cargo.toml" from "Cargo.toml.template", "README.md",
    "front/Cargo.toml" from "front/Cargo.toml.template", "front/src/lib.rs"
);

/// An app in Python, without what its actor has in common with one that is made alone.
const PYTHON_APP: &[Template] = template!(
    "app-python": "README.md", "front/src/greeting.py", "front/src/test_greeting.py",
    "front/src/visits.py", "front/wit/world.wit"
);

/// An app in JavaScript, without what its actor has in common with one that is made alone.
const JAVASCRIPT_APP: &[Template] = template!(
    "app-javascript": "README.md", "front/index.js", "front/index.test.js", "front/wit/world.wit"
);

impl Kind {
    /// Returns the files of a project of this kind.
    pub(super) fn files(self, name: &ProjectName, dependency: &Dependency) -> Vec<File> {
        let mut files: BTreeMap<PathBuf, String> = match self {
            Self::Actor(lang) => packages(lang).collect(),
            Self::App(lang) => front(lang).into_iter().collect(),
            Self::Provider => BTreeMap::new(),
        };
        // What an app has itself replaces what its actor has in common with others.
        for (path, text) in self.templates().into_iter().flatten() {
            let text = text
                .replace(NAME, name.as_str())
                .replace(IN_RUST, &name.in_rust())
                .replace(IMAGE, self.image());
            let text = if path.ends_with("Cargo.toml") {
                dependency.applied_to(&text)
            } else {
                text
            };
            files.insert(PathBuf::from(path), text);
        }
        files.insert(PathBuf::from(".gitignore"), IGNORED.to_owned());
        files.into_iter().collect()
    }

    /// Returns the templates of a project of this kind, apart from what [`front`] returns.
    fn templates(self) -> Vec<&'static [Template]> {
        match self {
            Self::Actor(lang) => vec![actor(lang)],
            Self::Provider => vec![PROVIDER],
            Self::App(Language::Rust) => vec![APP, RUST_APP],
            Self::App(Language::Python) => vec![APP, PYTHON_APP],
            Self::App(Language::JavaScript) => vec![APP, JAVASCRIPT_APP],
        }
    }

    /// Returns the file in which an app's actor is.
    fn image(self) -> &'static str {
        match self {
            Self::App(Language::Python | Language::JavaScript) => "front/front.wasm",
            _ => "target/wasm32-wasip2/release/front.wasm",
        }
    }
}
/// Returns the templates of an actor that is made alone.
fn actor(lang: Language) -> &'static [Template] {
    match lang {
        Language::Rust => RUST_ACTOR,
        Language::Python => PYTHON_ACTOR,
        Language::JavaScript => JAVASCRIPT_ACTOR,
    }
}

/// Returns what the actor of an app has in common with one that is made alone, and the interface of
/// its link, which in Rust is part of the SDK.
fn front(lang: Language) -> Vec<File> {
    if lang == Language::Rust {
        return Vec::new();
    }
    let common = actor(lang).iter().filter(|(path, _)| *path != README);
    let common = common.map(|(path, text)| (PathBuf::from(path), text.replace(NAME, FRONT)));
    let store = lattice_wit::LATTICE_KEYVALUE.files.iter();
    let store = store.map(|file| (Path::new(wasi::DEPS).join(file.path), file.text.to_owned()));
    let all = common.chain(store).chain(packages(lang));
    all.map(|(path, text)| (Path::new(FRONT).join(path), text))
        .collect()
}

/// Returns the packages of WASI that an actor has as files.
fn packages(lang: Language) -> impl Iterator<Item = File> {
    let version = match lang {
        Language::Rust => None,
        Language::Python => Some("0.2.12"),
        // The only one that works: its engine was built for it.
        Language::JavaScript => Some("0.2.3"),
    };
    version.into_iter().flat_map(wasi::packages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const KINDS: [Kind; 7] = [
        Kind::Actor(Language::Rust),
        Kind::Actor(Language::Python),
        Kind::Actor(Language::JavaScript),
        Kind::Provider,
        Kind::App(Language::Rust),
        Kind::App(Language::Python),
        Kind::App(Language::JavaScript),
    ];

    #[test]
    fn no_placeholder_is_left() {
        let name = ProjectName::new("front-desk").expect("a name");
        for kind in KINDS {
            let files = kind.files(&name, &Dependency::Git);
            for (path, text) in &files {
                assert!(
                    !text.contains("placeholder"),
                    "{kind:?}: {}",
                    path.display()
                );
            }
            let has = |path: &str| files.iter().any(|(file, _)| file.as_os_str() == path);
            assert!(has("README.md") && has(".gitignore"), "{kind:?}");
        }
    }

    #[test]
    fn the_manifest_of_an_app_is_valid() {
        let name = ProjectName::new("shop").expect("a name");
        for lang in [Language::Rust, Language::Python, Language::JavaScript] {
            let files = Kind::App(lang).files(&name, &Dependency::Git);
            let manifest = files
                .iter()
                .find(|(path, _)| path.as_os_str() == "app.toml");
            let (path, text) = manifest.expect("a manifest");
            let app = lattice_core::app::App::from_toml(path, text).expect("valid");
            assert_eq!(app.manifest().name.as_str(), "shop");
            assert_eq!(app.manifest().links.len(), 1);
        }
    }

    #[test]
    fn the_actor_of_an_app_is_one_with_the_interface_of_its_link() {
        let name = ProjectName::new("shop").expect("a name");
        for (lang, described) in [
            (Language::Python, "front/pyproject.toml"),
            (Language::JavaScript, "front/package.json"),
        ] {
            let alone = Kind::Actor(lang).files(&name, &Dependency::Git);
            let app = Kind::App(lang).files(&name, &Dependency::Git);
            let text = |path: &Path| {
                let found = app.iter().find(|(file, _)| file == path);
                found.map(|(_, text)| text.as_str())
            };
            // All that the actor has alone, apart from what the whole has.
            for (path, _) in &alone {
                let is_of_the_whole = [README, ".gitignore"].contains(&&*path.to_string_lossy());
                let has = text(&Path::new(FRONT).join(path)).is_some();
                assert_ne!(has, is_of_the_whole, "{lang:?}: {}", path.display());
            }
            let described = text(Path::new(described)).expect("it says how it is built");
            assert!(described.contains("\"front.wasm\""), "{described}");
            let manifest = text(Path::new("app.toml")).expect("a manifest");
            assert!(manifest.contains("\"file:front/front.wasm\""), "{manifest}");

            // Its world is valid, and all that it has more is the store: so what builds the one
            // builds the other.
            let (alone, mut of_app) = (world(&alone, "wit"), world(&app, "front/wit"));
            let imports = of_app.0.len();
            of_app
                .0
                .retain(|import| !import.starts_with("lattice:keyvalue/"));
            assert!(of_app.0.len() < imports, "{lang:?}: {of_app:?}");
            assert_eq!(alone, of_app, "{lang:?}");
        }
    }

    /// Returns what the world of an actor imports and exports.
    fn world(files: &[File], wit: &str) -> (BTreeSet<String>, BTreeSet<String>) {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        let mut resolve = wit_parser::Resolve::new();
        let pushed = resolve.push_dir(folder.path().join(wit));
        let (package, _) = pushed.unwrap_or_else(|error| panic!("{wit}: {error:?}"));
        let world = resolve.select_world(&[package], Some("actor")).expect("it");
        let world = &resolve.worlds[world];
        let [imports, exports] = [&world.imports, &world.exports].map(|items| {
            let names = items.keys().map(|item| resolve.name_world_key(item));
            names.collect()
        });
        (imports, exports)
    }

    #[test]
    fn the_manifests_in_the_readmes_are_valid() {
        let name = ProjectName::new("shop").expect("a name");
        for kind in KINDS {
            let files = kind.files(&name, &Dependency::Git);
            let readme = files
                .iter()
                .find(|(path, _)| path.as_os_str() == "README.md");
            let (_, readme) = readme.expect("a README");
            let blocks = readme.split("```toml\n").skip(1);
            for block in blocks.filter_map(|rest| rest.split("```").next()) {
                let app = lattice_core::app::App::from_toml("app.toml", block);
                app.unwrap_or_else(|error| panic!("{kind:?}: {error}"));
            }
        }
    }
}
