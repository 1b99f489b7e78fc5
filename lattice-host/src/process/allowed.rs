//! Which programs a host runs.

use crate::artifact::Image;
use std::{
    fmt, io,
    path::{Path, PathBuf},
    str::FromStr,
};

/// Programs that a host may run as providers in processes of their own, for
/// [`HostBuilder::programs`](crate::HostBuilder::programs). A host runs none by default: such a
/// process has the rights of the host's user and the lattice's key, so whoever may apply an app
/// would have them on every host.
///
/// ```
/// use lattice_host::Programs;
///
/// let installed: Programs = "file:/usr/lib/lattice".parse()?;
/// let own: Programs = "oci:ghcr.io/shop".parse()?;
/// # Ok::<_, lattice_host::ProgramsError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Programs {
    /// Every program that an app names. For hosts whose apps are as trusted as the host itself.
    Any,
    /// The files in this folder and the folders in it, which only trusted people can write to.
    Folder(PathBuf),
    /// The images of this registry, such as `ghcr.io`, or below this path in one, such as
    /// `ghcr.io/shop`.
    Registry(String),
}

/// What a host may run, and where it keeps programs from registries.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProgramSettings {
    pub(crate) allowed: Vec<Programs>,
    /// The folder for temporary files by default.
    pub(crate) folder: Option<PathBuf>,
}

/// A text that names no programs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` names no programs: write `file:/folder`, `oci:registry/path`, or `any` for all that apps name"
)]
pub struct ProgramsError(String);

impl Programs {
    /// Whether the program of this image is one of them. The path of a file is its full one,
    /// without symbolic links.
    fn has(&self, image: &Image) -> io::Result<bool> {
        Ok(match (self, image) {
            (Self::Any, _) => true,
            (Self::Folder(folder), Image::File(path)) => {
                path.canonicalize()?.starts_with(folder.canonicalize()?)
            }
            (Self::Registry(path), Image::Oci(reference)) => {
                let name = format!("{}/{}", reference.registry(), reference.repository());
                name.strip_prefix(path.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            _ => false,
        })
    }

    /// Returns the image if one of these has its program, with the full path of a file: a link in
    /// the declared one may lead elsewhere a moment later. A file that isn't there is none of them.
    pub(crate) fn allowed(all: &[Self], image: Image) -> Option<Image> {
        let image = match &image {
            Image::File(path) => match path.canonicalize() {
                Ok(full) => Image::File(full),
                // Its start says why.
                Err(_) => return all.contains(&Self::Any).then_some(image),
            },
            _ => image,
        };
        let mut all = all.iter();
        let is_allowed = all.any(|one| one.has(&image).unwrap_or(false));
        is_allowed.then_some(image)
    }
}

impl FromStr for Programs {
    type Err = ProgramsError;

    fn from_str(text: &str) -> Result<Self, ProgramsError> {
        let wrong = || ProgramsError(text.to_owned());
        if text == "any" {
            return Ok(Self::Any);
        }
        if let Some(folder) = text.strip_prefix("file:").map(Path::new) {
            return if folder.is_absolute() {
                Ok(Self::Folder(folder.to_owned()))
            } else {
                Err(wrong())
            };
        }
        let path = text
            .strip_prefix("oci:")
            .map(|path| path.trim_end_matches('/'));
        match path {
            Some(path) if !path.is_empty() => Ok(Self::Registry(path.to_owned())),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Folder(folder) => write!(f, "file:{}", folder.display()),
            Self::Registry(path) => write!(f, "oci:{path}"),
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn has(programs: &str, image: &str) -> bool {
        let programs: Programs = programs.parse().expect(programs);
        assert_eq!(
            programs.to_string().parse::<Programs>(),
            Ok(programs.clone())
        );
        Programs::allowed(&[programs], image.parse().expect(image)).is_some()
    }

    #[test]
    fn a_program_is_run_from_the_folders_and_registries_that_are_named() {
        for (programs, image, expected) in [
            ("any", "file:/bin/sh", true),
            ("file:/dev", "file:/dev/null", true),
            ("file:/dev/", "file:/dev/null", true),
            ("file:/dev", "file:/dev/../bin/sh", false),
            ("file:/de", "file:/dev/null", false),
            ("file:/dev", "file:/dev/no-such-file", false),
            ("file:/no-such-folder", "file:/dev/null", false),
            ("file:/dev", "oci:dev.example.com/null:1", false),
            ("oci:ghcr.io", "oci:ghcr.io/shop/kv:1", true),
            ("oci:ghcr.io/shop/", "oci:ghcr.io/shop/kv:1", true),
            ("oci:ghcr.io/shop/kv", "oci:ghcr.io/shop/kv:1", true),
            ("oci:ghcr.io/shop", "oci:ghcr.io/shopping/kv:1", false),
            ("oci:ghcr.io/shop", "file:/dev/null", false),
        ] {
            assert_eq!(has(programs, image), expected, "{programs} {image}");
        }
        let image = "file:/bin/sh".parse().expect("an image");
        assert_eq!(Programs::allowed(&[], image), None, "none by default");
    }

    #[test]
    fn a_symbolic_link_does_not_lead_out_of_a_folder() {
        let folder = std::env::temp_dir().join(format!("lattice-programs-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let link = folder.join("sh");
        let made = std::os::unix::fs::symlink("/bin/sh", &link);
        let image = Image::File(link);
        let outside = Programs::allowed(&[Programs::Folder(folder.clone())], image.clone());
        let any = Programs::allowed(&[Programs::Any], image);
        std::fs::remove_dir_all(&folder).expect("removed");
        made.expect("a link");
        assert_eq!(outside, None);
        // What runs is what was checked, wherever the link leads by then.
        let full = Path::new("/bin/sh").canonicalize().expect("it is there");
        assert_eq!(any, Some(Image::File(full)));
    }

    #[test]
    fn texts_that_name_no_programs_are_refused() {
        for text in ["", "file:", "file:relative", "oci:", "oci:/", "/bin", "all"] {
            let error = text.parse::<Programs>().expect_err(text).to_string();
            assert!(error.contains("names no programs"), "{error}");
        }
    }
}
