//! The program of a provider, and what it gets from its host.

use super::Installed;
use crate::{artifact::ImageDigest, limits::ByteSize};
use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Settings with this prefix are the host's, and aren't passed to the provider.
const OWN: &str = "lattice.";
/// The one with the most memory that the process may map.
const MEMORY: &str = "lattice.memory";
/// The one with the longest time until it serves, in seconds.
const START: &str = "lattice.start-seconds";
/// The one with the program's arguments, a list in JSON.
const ARGUMENTS: &str = "lattice.arguments";
/// Those with variables of its environment, by their names.
const VARIABLE: &str = "lattice.env.";
/// Variables that begin with these have the system's loader run other code than the program, such
/// as a file that a provider of the same app has written. An allowed program would be any program.
const LOADERS: [&str; 4] = ["LD_", "DYLD_", "GLIBC_TUNABLES", "GCONV_PATH"];

/// How long a process may take by default until it serves. Shorter than the time that the node
/// gives a service, so that the reason has the last lines of the process.
const START_WITHIN: Duration = Duration::from_secs(9);

/// A program that a host can run as a provider.
#[derive(Clone)]
pub(crate) struct Program {
    pub(super) path: PathBuf,
    pub(super) arguments: Vec<String>,
    /// The whole environment of the process: nothing is inherited.
    pub(super) environment: BTreeMap<String, String>,
    /// The most memory that it may map, if that is limited.
    pub(super) memory: Option<ByteSize>,
    /// The longest time until it serves.
    pub(super) start: Duration,
    /// Its file, if it is from a registry.
    installed: Option<Arc<Installed>>,
}

/// Why a program can't be run as a provider.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ProgramError {
    /// The file can't be used.
    #[error("the program `{}` can't be used; check its path on this host", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The file is no program.
    #[error("`{}` isn't a program that this host can run; make it an executable file", path.display())]
    NotExecutable {
        /// Its path.
        path: PathBuf,
    },
    /// The file has changed since the app was applied.
    #[error(
        "`{}` has other contents than when its app was applied: {found} and not {expected}; apply the app again, or put the file back",
        path.display()
    )]
    Changed {
        /// Its path.
        path: PathBuf,
        /// The declared digest.
        expected: ImageDigest,
        /// The one of its contents.
        found: ImageDigest,
    },
    /// A setting for the process doesn't fit.
    #[error("the setting `{setting}` doesn't fit: it should be {expected}")]
    Setting {
        /// Its name.
        setting: String,
        /// What it should be.
        expected: &'static str,
    },
}

impl Program {
    /// Takes the settings for the process out of those of a provider, and checks its file, which
    /// has to have this digest, if one is declared.
    pub(crate) async fn new(
        path: &Path,
        digest: Option<ImageDigest>,
        settings: &mut BTreeMap<String, String>,
    ) -> Result<Self, ProgramError> {
        let own: Vec<String> = settings
            .keys()
            .filter(|key| key.starts_with(OWN))
            .cloned()
            .collect();
        let mut program = Self {
            path: checked(path, digest).await?,
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            memory: None,
            start: START_WITHIN,
            installed: None,
        };
        for key in own {
            let value = settings.remove(&key).unwrap_or_default();
            program.set(&key, value)?;
        }
        Ok(program)
    }

    /// Keeps the file of the program for as long as it may be started.
    pub(crate) fn installed(mut self, installed: Installed) -> Self {
        self.installed = Some(Arc::new(installed));
        self
    }

    fn set(&mut self, key: &str, value: String) -> Result<(), ProgramError> {
        let wrong = |expected| ProgramError::Setting {
            setting: key.to_owned(),
            expected,
        };
        match key {
            MEMORY => match value.parse() {
                Ok(memory) => self.memory = Some(memory),
                Err(_) => return Err(wrong("a size, such as `512MiB`")),
            },
            START => match value.parse().map(Duration::try_from_secs_f64) {
                Ok(Ok(start)) if start <= START_WITHIN => self.start = start,
                _ => return Err(wrong("a number of seconds, at most 9")),
            },
            ARGUMENTS => match serde_json::from_str::<Vec<String>>(&value) {
                Ok(arguments) if !arguments.iter().any(|one| one.contains('\0')) => {
                    self.arguments = arguments;
                }
                _ => return Err(wrong("a list in JSON, such as `[\"--verbose\"]`")),
            },
            _ => match key.strip_prefix(VARIABLE) {
                Some(name) if LOADERS.iter().any(|loader| name.starts_with(loader)) => {
                    return Err(wrong(
                        "another variable, because this one has the system run other code than the program",
                    ));
                }
                Some(name) if is_name(name) && !value.contains('\0') => {
                    self.environment.insert(name.to_owned(), value);
                }
                Some(_) => return Err(wrong("a variable, whose name has no `=`")),
                None => {
                    let expected = "one of `lattice.memory`, `lattice.start-seconds`, `lattice.arguments` and `lattice.env.NAME`, which are for the process";
                    return Err(wrong(expected));
                }
            },
        }
        Ok(())
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Arguments and variables may be secrets.
        f.debug_struct("Program")
            .field("path", &self.path)
            .field("memory", &self.memory)
            .field("installed", &self.installed)
            .finish_non_exhaustive()
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

/// Returns the full path of an executable file with this digest.
async fn checked(path: &Path, digest: Option<ImageDigest>) -> Result<PathBuf, ProgramError> {
    let owned = path.to_owned();
    let found = tokio::task::spawn_blocking(move || {
        // A name without a folder would be looked up in the search path.
        let full = owned.canonicalize()?;
        if !is_executable(&full.metadata()?) {
            return Ok(None);
        }
        let found = match digest {
            Some(_) => Some(ImageDigest::of(&std::fs::read(&full)?)),
            None => None,
        };
        Ok::<_, io::Error>(Some((full, found)))
    });
    let found = found.await;
    let found = found.unwrap_or_else(|lost| Err(io::Error::other(lost)));
    let path = path.to_owned();
    match found {
        Ok(None) => Err(ProgramError::NotExecutable { path }),
        Ok(Some((full, found))) => match (digest, found) {
            (Some(expected), Some(found)) if expected != found => Err(ProgramError::Changed {
                path,
                expected,
                found,
            }),
            _ => Ok(full),
        },
        Err(source) => Err(ProgramError::File { path, source }),
    }
}

#[cfg(unix)]
fn is_executable(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
fn is_executable(metadata: &std::fs::Metadata) -> bool {
    metadata.is_file()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn settings(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        entries.iter().map(owned).collect()
    }

    #[tokio::test]
    async fn settings_for_the_process_are_taken_out_of_those_of_the_provider() {
        let mut all = settings(&[
            ("url", "db:1"),
            ("lattice.memory", "64MiB"),
            ("lattice.arguments", r#"["-v", "x y"]"#),
            ("lattice.env.RUST_LOG", "debug"),
        ]);
        let program = Program::new(Path::new("/bin/sh"), None, &mut all).await;
        let program = program.expect("it fits");
        assert_eq!(all, settings(&[("url", "db:1")]));
        assert_eq!(program.memory, Some(ByteSize::mib(64)));
        assert_eq!(program.arguments, ["-v", "x y"]);
        assert_eq!(program.environment, settings(&[("RUST_LOG", "debug")]));
        assert!(program.path.is_absolute());
    }

    #[tokio::test]
    async fn what_cannot_be_run_is_refused_and_no_value_is_repeated() {
        for (path, entry, expected) in [
            (
                "/no/such/program",
                ("a", "b"),
                "`/no/such/program` can't be used",
            ),
            ("/", ("a", "b"), "isn't a program"),
            ("/bin/sh", ("lattice.memory", "hunter2"), "a size"),
            (
                "/bin/sh",
                ("lattice.arguments", "hunter2"),
                "a list in JSON",
            ),
            ("/bin/sh", ("lattice.start-seconds", "hunter2"), "at most 9"),
            ("/bin/sh", ("lattice.start-seconds", "-1"), "at most 9"),
            ("/bin/sh", ("lattice.env.", "hunter2"), "a variable"),
            ("/bin/sh", ("lattice.env.A=B", "hunter2"), "a variable"),
            (
                "/bin/sh",
                ("lattice.env.LD_PRELOAD", "hunter2"),
                "run other code",
            ),
            (
                "/bin/sh",
                ("lattice.env.DYLD_INSERT_LIBRARIES", "hunter2"),
                "run other code",
            ),
            (
                "/bin/sh",
                ("lattice.other", "hunter2"),
                "one of `lattice.memory`",
            ),
        ] {
            let made = Program::new(Path::new(path), None, &mut settings(&[entry])).await;
            let error = made.expect_err(expected).to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_file_that_was_changed_after_it_was_declared_is_refused() {
        let other = Some(ImageDigest::of(b"another program"));
        let made = Program::new(Path::new("/bin/sh"), other, &mut BTreeMap::new()).await;
        let error = made.expect_err("it has changed");
        assert!(matches!(error, ProgramError::Changed { .. }), "{error}");
        let contents = std::fs::read("/bin/sh").expect("it can be read");
        let its_own = Some(ImageDigest::of(&contents));
        let made = Program::new(Path::new("/bin/sh"), its_own, &mut BTreeMap::new()).await;
        made.expect("it is the declared one");
    }
}
