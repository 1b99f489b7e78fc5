//! Starts programs under limits that are in force before their first instruction.
//!
//! ```text
//! host ──starts──► wrapper: sets its own limits, then becomes ──► the program, as the same process
//! ```
//! The wrapper is the host's own program in another mode, if its `main` allows that, or else the
//! command `prlimit` of the system. Without either, a process has no limits but those that the host
//! sets a moment after it has started: before it is told any secret, it makes no core dumps.

use super::file::CheckedFile;
use crate::limits::ByteSize;
use std::{
    env,
    ffi::{OsStr, OsString},
    io::{self, Write as _},
    path::Path,
    process::exit,
    sync::atomic::{AtomicBool, Ordering},
};
use tokio::process::Command;

/// The first argument of a program that is to be a wrapper.
const MARK: &str = "lattice:wrap-program";
/// The exit code of a wrapper that can't become the program, as that of a shell.
const CANT_RUN: i32 = 126;
/// Where systems have the command that sets limits.
const TOOLS: [&str; 2] = ["/usr/bin/prlimit", "/bin/prlimit"];
/// This program, whatever is at its path by now.
#[cfg(target_os = "linux")]
const OWN: &str = "/proc/self/exe";
/// Written in place of a limit that isn't set.
const NONE: &str = "-";

/// How many files a process may have open by default. A provider has a connection for each client
/// of a pool at most, and some files.
const OPEN_FILES: u64 = 4_096;

/// Whether this program can be a wrapper.
static IS_WRAPPER: AtomicBool = AtomicBool::new(false);

/// Makes this program able to start the programs of providers under limits: call it first in
/// `main`, before anything else. It returns at once, and not at all in a process that a host of
/// this program has started as a wrapper, which becomes the provider.
///
/// Programs that don't call it have the system's command `prlimit` set the limits, where there is
/// one. The command `lattice` calls it.
///
/// ```no_run
/// lattice_host::wrap_programs();
/// // Then start a runtime and hosts.
/// ```
pub fn wrap_programs() {
    let mut words = env::args_os().skip(1);
    if words.next().is_some_and(|first| first == MARK) {
        let reason = become_program(words);
        // The host reads it as the last line of the process.
        let _ = writeln!(io::stderr(), "{reason}");
        exit(CANT_RUN);
    }
    IS_WRAPPER.store(true, Ordering::Relaxed);
}

/// What sets the limits of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrapper {
    /// This program.
    Own,
    /// A command of the system, at this path.
    Tool(&'static str),
    /// Nothing can.
    None,
}

/// The limits of a process. It never makes core dumps, because it has secrets in its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProcessLimits {
    /// The most memory that it may map. No limit by default.
    pub(super) memory: Option<ByteSize>,
    /// How many files and connections it may have open.
    pub(super) open_files: u64,
}

impl Default for ProcessLimits {
    fn default() -> Self {
        Self {
            memory: None,
            open_files: OPEN_FILES.min(most_open_files()),
        }
    }
}

impl Wrapper {
    /// Returns what this host has.
    pub(super) fn find() -> Self {
        if IS_WRAPPER.load(Ordering::Relaxed) {
            return Self::Own;
        }
        let mut tools = TOOLS.into_iter().filter(|_| cfg!(target_os = "linux"));
        let tool = tools.find(|tool| Path::new(tool).is_file());
        tool.map_or(Self::None, Self::Tool)
    }

    /// Returns the command that becomes this program under these limits.
    pub(super) fn command(
        self,
        file: &CheckedFile,
        arguments: &[String],
        limits: &ProcessLimits,
    ) -> io::Result<Command> {
        let ProcessLimits { memory, open_files } = *limits;
        let mut command = match self {
            Self::Own => {
                let memory = memory.map_or_else(|| NONE.to_owned(), number);
                let mut command = Command::new(own()?);
                command.args([MARK, &memory, &open_files.to_string()]);
                command.arg(file.runs()).arg(file.path());
                command
            }
            Self::Tool(tool) => {
                let mut command = Command::new(tool);
                command.arg("--core=0");
                command.arg(format!("--nofile={open_files}"));
                if let Some(memory) = memory {
                    command.arg(format!("--as={}", number(memory)));
                }
                command.arg(file.runs());
                command
            }
            Self::None => {
                let mut command = Command::new(file.runs());
                #[cfg(unix)]
                command.arg0(file.path());
                command
            }
        };
        command.args(arguments);
        Ok(command)
    }
}

fn number(size: ByteSize) -> String {
    size.as_u64().to_string()
}

#[cfg(target_os = "linux")]
#[expect(clippy::unnecessary_wraps, reason = "other systems have to ask")]
fn own() -> io::Result<&'static str> {
    Ok(OWN)
}

#[cfg(not(target_os = "linux"))]
fn own() -> io::Result<std::path::PathBuf> {
    env::current_exe()
}

/// Returns how many files a process of this host may have open at most.
#[cfg(unix)]
pub(super) fn most_open_files() -> u64 {
    use rustix::process::{Resource, getrlimit};
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

#[cfg(not(unix))]
pub(super) fn most_open_files() -> u64 {
    u64::MAX
}

/// Sets the limits of this process and becomes the program. Returns only if that fails, with the
/// reason.
#[cfg(unix)]
fn become_program(mut words: impl Iterator<Item = OsString>) -> String {
    use rustix::process::{Resource, Rlimit, setrlimit};
    use std::{
        os::unix::process::CommandExt as _,
        thread::sleep,
        time::{Duration, Instant},
    };
    /// How long the file of the program may be open for writing. While a program is written,
    /// another one that starts has its file open for a moment.
    const BUSY_FOR: Duration = Duration::from_secs(1);
    const BUSY: Duration = Duration::from_millis(10);

    let (Some(memory), Some(files), Some(runs), Some(path)) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return "this is how a host starts a provider, and isn't a command for people".to_owned();
    };
    let mut limits = vec![(Resource::Core, Some(0)), (Resource::Nofile, limit(&files))];
    if cfg!(target_os = "linux") {
        limits.push((Resource::As, limit(&memory)));
    }
    let name = path.to_string_lossy().into_owned();
    // Everything that takes memory comes before its limit.
    let mut program = std::process::Command::new(runs);
    program.arg0(path).args(words);
    for (resource, most) in limits {
        let Some(most) = most else { continue };
        let both = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        if let Err(error) = setrlimit(resource, both) {
            return format!("the limit {resource:?} of the process can't be {most}: {error}");
        }
    }
    let deadline = Instant::now() + BUSY_FOR;
    loop {
        let error = program.exec();
        if error.kind() != io::ErrorKind::ExecutableFileBusy || Instant::now() >= deadline {
            return format!("the program `{name}` can't be run: {error}");
        }
        sleep(BUSY);
    }
}

#[cfg(not(unix))]
fn become_program(_: impl Iterator<Item = OsString>) -> String {
    "this system has no wrappers".to_owned()
}

/// Returns the number of a limit, if it is one.
#[cfg_attr(not(unix), expect(dead_code, reason = "there are no limits"))]
fn limit(word: &OsStr) -> Option<u64> {
    word.to_str()?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::{super::file::ProgramFile, *};

    #[tokio::test]
    async fn a_tool_sets_the_limits_before_the_program_runs() {
        let Some(tool) = TOOLS.into_iter().find(|tool| Path::new(tool).is_file()) else {
            println!("skipped: the system has no `prlimit`");
            return;
        };
        let limits = ProcessLimits {
            memory: Some(ByteSize::mib(512)),
            open_files: 77,
        };
        let file = ProgramFile::named(Path::new("/bin/cat"), None).await;
        let file = file.expect("it is there").check().await.expect("it fits");
        let arguments = ["/proc/self/limits".to_owned()];
        let command = Wrapper::Tool(tool).command(&file, &arguments, &limits);
        let output = command.expect("a command").output().await.expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout);
        for (limit, value) in [
            ("Max address space", "536870912"),
            ("Max open files", "77"),
            ("Max core file size", "0"),
        ] {
            let line = text.lines().find_map(|line| line.strip_prefix(limit));
            let line = line.unwrap_or_else(|| panic!("{text}"));
            let words: Vec<&str> = line.split_whitespace().take(2).collect();
            assert_eq!(words, [value, value], "{limit}");
        }
    }

    #[tokio::test]
    async fn a_wrapper_is_given_the_file_that_was_checked_and_shows_its_path() {
        let file = ProgramFile::named(Path::new("/bin/cat"), None).await;
        let file = file.expect("it is there").check().await.expect("it fits");
        let limits = ProcessLimits {
            memory: None,
            open_files: 77,
        };
        let command = Wrapper::Own.command(&file, &["-n".to_owned()], &limits);
        let command = command.expect("a command");
        let words: Vec<_> = command.as_std().get_args().collect();
        let (runs, path) = (file.runs().as_os_str(), file.path().as_os_str());
        let expected = [MARK, NONE, "77"].map(OsStr::new);
        assert_eq!(words[..3], expected);
        assert_eq!(words[3..], [runs, path, OsStr::new("-n")]);
        let refused = become_program([OsString::from(NONE)].into_iter());
        assert!(refused.contains("isn't a command for people"), "{refused}");
    }
}
