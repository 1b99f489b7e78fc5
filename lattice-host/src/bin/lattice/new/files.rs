//! The files of new projects, from the templates in `lattice-host/templates`. The placeholders in
//! them are valid names, so that each template is valid source.

use super::{Kind, Language, dependency::Dependency, name::ProjectName, wasi};
use std::path::PathBuf;

/// The placeholder for the name, and the one for the name as an identifier of Rust.
const NAME: &str = "placeholder-name";
const IN_RUST: &str = "placeholder_name";

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

const APP: &[Template] = template!(
    "app": "Cargo.toml" from "Cargo.toml.template", "README.md", "app.toml",
    "front/Cargo.toml" from "front/Cargo.toml.template", "front/src/lib.rs"
);

impl Kind {
    /// Returns the files of a project of this kind.
    pub(super) fn files(self, name: &ProjectName, dependency: &Dependency) -> Vec<File> {
        let template = match self {
            Self::Actor(Language::Rust) => RUST_ACTOR,
            Self::Actor(Language::Python) => PYTHON_ACTOR,
            Self::Actor(Language::JavaScript) => JAVASCRIPT_ACTOR,
            Self::Provider => PROVIDER,
            Self::App => APP,
        };
        let files = template.iter().map(|(path, text)| {
            let text = text
                .replace(NAME, name.as_str())
                .replace(IN_RUST, &name.in_rust());
            let text = if path.ends_with("Cargo.toml") {
                dependency.applied_to(&text)
            } else {
                text
            };
            (PathBuf::from(path), text)
        });
        let ignored = (PathBuf::from(".gitignore"), IGNORED.to_owned());
        let wasi = self.wasi().into_iter().flat_map(wasi::packages);
        files.chain([ignored]).chain(wasi).collect()
    }

    /// Returns the version of WASI whose packages a project of this kind has as files.
    fn wasi(self) -> Option<&'static str> {
        match self {
            Self::Actor(Language::Python) => Some("0.2.12"),
            // The only one that works: its engine was built for it.
            Self::Actor(Language::JavaScript) => Some("0.2.3"),
            Self::Actor(Language::Rust) | Self::Provider | Self::App => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Kind; 5] = [
        Kind::Actor(Language::Rust),
        Kind::Actor(Language::Python),
        Kind::Actor(Language::JavaScript),
        Kind::Provider,
        Kind::App,
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
        let files = Kind::App.files(&name, &Dependency::Git);
        let manifest = files
            .iter()
            .find(|(path, _)| path.as_os_str() == "app.toml");
        let (path, text) = manifest.expect("a manifest");
        let app = lattice_core::app::App::from_toml(path, text).expect("valid");
        assert_eq!(app.manifest().name.as_str(), "shop");
        assert_eq!(app.manifest().links.len(), 1);
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
