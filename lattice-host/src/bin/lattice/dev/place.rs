//! Where a project is: its folder, and its manifest.

use std::{
    io,
    path::{Path, PathBuf},
};

/// What a manifest is called in a folder, the first before the others.
const MANIFESTS: [&str; 2] = ["app.toml", "app.json"];

/// The place of a project.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The full path of its folder.
    pub(super) root: PathBuf,
    manifest: Option<PathBuf>,
}

/// Why there is no project at a path.
#[derive(Debug, thiserror::Error)]
#[error("`{}` can't be opened; name the folder of an app, an actor or a provider, or a manifest", path.display())]
pub(super) struct PlaceError {
    path: PathBuf,
    source: io::Error,
}

impl Place {
    /// Returns the project in a folder, or of a manifest.
    ///
    /// # Errors
    /// Fails with a [`PlaceError`] when there is nothing at the path.
    pub(super) fn of(path: &Path) -> Result<Self, PlaceError> {
        let failed = |source| PlaceError {
            path: path.into(),
            source,
        };
        let full = path.canonicalize().map_err(failed)?;
        if full.is_dir() {
            return Ok(Self {
                root: full,
                manifest: None,
            });
        }
        Ok(Self {
            root: full.parent().unwrap_or(Path::new("/")).into(),
            manifest: Some(full),
        })
    }

    /// Returns the manifest, if there is one or once was one: without its manifest, an app isn't
    /// another one that is made up from its parts.
    pub(super) fn manifest(&mut self) -> Option<&Path> {
        if self.manifest.is_none() {
            let mut paths = MANIFESTS.iter().map(|name| self.root.join(name));
            self.manifest = paths.find(|path| path.is_file());
        }
        self.manifest.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_a_folder_or_a_manifest() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().canonicalize().expect("its path");
        let mut place = Place::of(&root).expect("a folder");
        assert_eq!(place.root, root);
        assert_eq!(place.manifest(), None);
        std::fs::write(root.join("app.toml"), "name = \"a\"").expect("written");
        let manifest = root.join("app.toml");
        assert_eq!(place.manifest(), Some(&*manifest));
        std::fs::remove_file(&manifest).expect("removed");
        assert_eq!(place.manifest(), Some(&*manifest), "it should be there");
        std::fs::write(root.join("b.toml"), "name = \"b\"").expect("written");
        let mut other = Place::of(&root.join("b.toml")).expect("a manifest");
        assert_eq!(other.root, root);
        assert_eq!(other.manifest(), Some(&*root.join("b.toml")));
        let error = Place::of(&root.join("c")).expect_err("nothing");
        assert!(error.to_string().contains("can't be opened"), "{error}");
    }
}
