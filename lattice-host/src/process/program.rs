//! The program of a provider, and what it gets from its host.

use super::{
    Installed,
    error::ProgramError,
    file::{CheckedFile, ProgramFile},
    wrapper::{ProcessLimits, Wrapper, most_open_files},
};
use crate::artifact::ImageDigest;
use std::{collections::BTreeMap, fmt, io, ops::RangeInclusive, path::Path, time::Duration};
use tokio::process::Command;

/// Settings with this prefix are the host's, and aren't passed to the provider.
const OWN: &str = "lattice.";
/// The one with the most memory that the process may map.
const MEMORY: &str = "lattice.memory";
/// The one with how many files and connections it may have open.
const OPEN_FILES: &str = "lattice.open-files";
/// The one with the longest time until it serves, in seconds.
const START: &str = "lattice.start-seconds";
/// The one with the longest time for which it may not say that it is alive, in seconds.
const SILENT: &str = "lattice.silent-seconds";
/// The one with the program's arguments, a list in JSON.
const ARGUMENTS: &str = "lattice.arguments";
/// Those with variables of its environment, by their names.
const VARIABLE: &str = "lattice.env.";
/// Variables that begin with these have the system's loader run other code than the program, such
/// as a file that a provider of the same app has written. An allowed program would be any program.
const LOADERS: [&str; 4] = ["LD_", "DYLD_", "GLIBC_TUNABLES", "GCONV_PATH"];

/// With fewer open files, no provider starts.
const FEWEST_OPEN_FILES: u64 = 32;

/// How long a process may take by default until it serves. Shorter than the time that the node
/// gives a service, so that the reason has the last lines of the process.
const START_WITHIN: Duration = Duration::from_secs(9);
/// How long a process may be silent by default. That is ten times what other nodes take to notice
/// that a node is dead, and longer than a busy machine keeps all threads of a process from running.
const SILENT_FOR: Duration = Duration::from_secs(30);
/// The least of that, and the most.
const SILENCES: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);

/// A program that a host can run as a provider.
#[derive(Clone)]
pub(crate) struct Program {
    file: ProgramFile,
    arguments: Vec<String>,
    /// The whole environment of the process: nothing is inherited.
    environment: BTreeMap<String, String>,
    pub(super) limits: ProcessLimits,
    /// What sets them.
    pub(super) wrapper: Wrapper,
    /// The longest time until it serves.
    pub(super) start: Duration,
    /// The longest time for which it may not say that it is alive.
    pub(super) silence: Duration,
}

impl Program {
    /// Takes the settings for the process out of those of a provider, and checks its file, which
    /// has to have this digest, if one is declared.
    pub(crate) async fn named(
        path: &Path,
        digest: Option<ImageDigest>,
        settings: &mut BTreeMap<String, String>,
    ) -> Result<Self, ProgramError> {
        Self::new(ProgramFile::named(path, digest).await?, settings)
    }

    /// The same for a program from a registry, whose file stays for as long as it may be started.
    pub(crate) fn installed(
        installed: Installed,
        settings: &mut BTreeMap<String, String>,
    ) -> Result<Self, ProgramError> {
        Self::new(ProgramFile::installed(installed), settings)
    }

    fn new(
        file: ProgramFile,
        settings: &mut BTreeMap<String, String>,
    ) -> Result<Self, ProgramError> {
        let own: Vec<String> = settings
            .keys()
            .filter(|key| key.starts_with(OWN))
            .cloned()
            .collect();
        let mut program = Self {
            file,
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            limits: ProcessLimits::default(),
            wrapper: Wrapper::find(),
            start: START_WITHIN,
            silence: SILENT_FOR,
        };
        for key in own {
            let value = settings.remove(&key).unwrap_or_default();
            program.set(&key, value)?;
        }
        Ok(program)
    }

    /// Checks the file of the program again, before a process is started.
    pub(super) async fn check(&self) -> Result<CheckedFile, ProgramError> {
        self.file.check().await
    }

    /// Returns the command that starts a process of the program.
    pub(super) fn command(&self, file: &CheckedFile) -> io::Result<Command> {
        let command = self.wrapper.command(file, &self.arguments, &self.limits);
        let mut command = command?;
        command.env_clear().envs(&self.environment);
        Ok(command)
    }

    /// Returns the path of the program, for people.
    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    fn set(&mut self, key: &str, value: String) -> Result<(), ProgramError> {
        let wrong = |expected| ProgramError::Setting {
            setting: key.to_owned(),
            expected,
        };
        match key {
            MEMORY => match value.parse() {
                Ok(memory) => {
                    self.limits.memory = Some(memory);
                    self.check_limit(MEMORY)?;
                }
                Err(_) => return Err(wrong("a size, such as `512MiB`")),
            },
            OPEN_FILES => match value.parse() {
                Ok(wanted) if wanted >= FEWEST_OPEN_FILES => {
                    let most = most_open_files();
                    if wanted > most {
                        return Err(ProgramError::OpenFiles { wanted, most });
                    }
                    self.limits.open_files = wanted;
                    self.check_limit(OPEN_FILES)?;
                }
                _ => return Err(wrong("a number, at least 32")),
            },
            START => match value.parse().map(Duration::try_from_secs_f64) {
                Ok(Ok(start)) if start <= START_WITHIN => self.start = start,
                _ => return Err(wrong("a number of seconds, at most 9")),
            },
            SILENT => match value.parse().map(Duration::try_from_secs_f64) {
                Ok(Ok(silence)) if SILENCES.contains(&silence) => self.silence = silence,
                _ => return Err(wrong("a number of seconds, from 1 to 86400")),
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
                    let expected = "one of `lattice.memory`, `lattice.open-files`, `lattice.start-seconds`, `lattice.silent-seconds`, `lattice.arguments` and `lattice.env.NAME`, which are for the process";
                    return Err(wrong(expected));
                }
            },
        }
        Ok(())
    }

    /// Checks that the limit of a setting will be in force before the program runs.
    fn check_limit(&self, setting: &'static str) -> Result<(), ProgramError> {
        #[cfg(not(target_os = "linux"))]
        if setting == MEMORY {
            return Err(ProgramError::NoLimit { setting });
        }
        match self.wrapper {
            Wrapper::Own | Wrapper::Tool(_) => Ok(()),
            Wrapper::None => Err(ProgramError::NoWrapper { setting }),
        }
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Arguments and variables may be secrets.
        f.debug_struct("Program")
            .field("file", &self.file)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::limits::ByteSize;

    fn settings(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        entries.iter().map(owned).collect()
    }

    #[tokio::test]
    async fn settings_for_the_process_are_taken_out_of_those_of_the_provider() {
        let mut all = settings(&[
            ("url", "db:1"),
            ("lattice.memory", "64MiB"),
            ("lattice.open-files", "64"),
            ("lattice.silent-seconds", "1.5"),
            ("lattice.arguments", r#"["-v", "x y"]"#),
            ("lattice.env.RUST_LOG", "debug"),
        ]);
        let program = Program::named(Path::new("/bin/sh"), None, &mut all).await;
        let program = program.expect("it fits");
        assert_eq!(all, settings(&[("url", "db:1")]));
        assert_eq!(program.limits.memory, Some(ByteSize::mib(64)));
        assert_eq!(program.limits.open_files, 64);
        assert_eq!(program.silence, Duration::from_millis(1_500));
        assert_eq!(program.arguments, ["-v", "x y"]);
        assert_eq!(program.environment, settings(&[("RUST_LOG", "debug")]));
        assert!(program.path().is_absolute());
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
            ("/bin/sh", ("lattice.open-files", "hunter2"), "at least 32"),
            ("/bin/sh", ("lattice.open-files", "31"), "at least 32"),
            ("/bin/sh", ("lattice.start-seconds", "hunter2"), "at most 9"),
            ("/bin/sh", ("lattice.start-seconds", "-1"), "at most 9"),
            ("/bin/sh", ("lattice.silent-seconds", "0.9"), "from 1 to"),
            ("/bin/sh", ("lattice.silent-seconds", "inf"), "from 1 to"),
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
            let made = Program::named(Path::new(path), None, &mut settings(&[entry])).await;
            let error = made.expect_err(expected).to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_limit_that_the_host_itself_does_not_have_is_refused() {
        let most = most_open_files();
        if most == u64::MAX {
            println!("skipped: this machine has no limit of open files");
            return;
        }
        let wanted = (most + 1).to_string();
        let mut all = settings(&[("lattice.open-files", &wanted)]);
        let made = Program::named(Path::new("/bin/sh"), None, &mut all).await;
        let error = made.expect_err("it is too much");
        assert!(matches!(error, ProgramError::OpenFiles { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_limit_that_nothing_can_set_in_time_is_refused() {
        let file = ProgramFile::named(Path::new("/bin/sh"), None).await;
        let mut program =
            Program::new(file.expect("it is there"), &mut BTreeMap::new()).expect("it fits");
        program.wrapper = Wrapper::None;
        let refused = program.set(OPEN_FILES, "64".to_owned());
        let error = refused.expect_err("nothing sets it").to_string();
        assert!(error.contains("`lattice_host::wrap_programs`"), "{error}");
    }
}
