//! Where new projects have Lattice's crates from.

use std::path::{Path, PathBuf};

/// What the templates depend on.
const BY_GIT: &str = r#"git = "https://github.com/lattice-mesh/lattice""#;

/// Where a project has Lattice's crates from.
#[derive(Debug)]
pub(super) enum Dependency {
    /// The repository, until the crates are published.
    Git,
    /// A checkout of the repository, by its full path.
    Checkout(PathBuf),
}

/// Why a checkout can't be depended on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum CheckoutError {
    /// It isn't one.
    #[error(
        "--sdk: `{}` has no `lattice-actor-sdk/Cargo.toml`; name the root of a clone of Lattice's repository", .0.display()
    )]
    NotACheckout(PathBuf),
    /// Its path can't be written into a manifest.
    #[error(
        "--sdk: the path `{}` can't be written into a `Cargo.toml`; move the checkout to a path of plain characters", .0.display()
    )]
    Path(PathBuf),
}

impl Dependency {
    /// Returns the repository, or this checkout.
    pub(super) fn new(checkout: Option<PathBuf>) -> Result<Self, CheckoutError> {
        let Some(folder) = checkout else {
            return Ok(Self::Git);
        };
        let full = match folder.canonicalize() {
            Ok(full) if full.join("lattice-actor-sdk/Cargo.toml").is_file() => full,
            _ => return Err(CheckoutError::NotACheckout(folder)),
        };
        let is_plain = |path: &str| !path.contains(['"', '\\']) && !path.contains(char::is_control);
        match full.to_str() {
            Some(path) if is_plain(path) => Ok(Self::Checkout(full)),
            _ => Err(CheckoutError::Path(folder)),
        }
    }

    /// Returns a manifest of cargo that depends on the repository with this in its place.
    pub(super) fn applied_to(&self, manifest: &str) -> String {
        match self {
            Self::Git => manifest.to_owned(),
            Self::Checkout(checkout) => {
                let lines = manifest.lines();
                let lines = lines.map(|line| format!("{}\n", on_a_checkout(line, checkout)));
                lines.collect()
            }
        }
    }
}

/// The crate's folder has the name by which it is depended on.
fn on_a_checkout(line: &str, checkout: &Path) -> String {
    match line.split_once(" = ") {
        Some((folder, _)) if line.contains(BY_GIT) => {
            let path = checkout.join(folder);
            line.replace(BY_GIT, &format!(r#"path = "{}""#, path.display()))
        }
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkout_takes_the_place_of_the_repository() {
        let line = format!(
            "[dependencies]\nlattice-actor-sdk = {{ package = \"lattice-mesh-actor-sdk\", {BY_GIT} }}\n"
        );
        assert_eq!(Dependency::Git.applied_to(&line), line);
        let at = Dependency::Checkout("/src/lattice".into()).applied_to(&line);
        assert_eq!(
            at,
            "[dependencies]\nlattice-actor-sdk = { package = \"lattice-mesh-actor-sdk\", path = \"/src/lattice/lattice-actor-sdk\" }\n"
        );
    }

    #[test]
    fn what_is_no_checkout_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = Dependency::new(Some(folder.path().into())).expect_err("refused");
        assert!(error.to_string().contains("lattice-actor-sdk/Cargo.toml"));
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        assert!(matches!(
            Dependency::new(Some(root)),
            Ok(Dependency::Checkout(_))
        ));
    }
}
