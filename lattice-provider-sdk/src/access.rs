//! What of its machine the settings of a provider may name.

use lattice_core::quantity::ByteSize;
use serde::{Deserialize, Deserializer, Serialize, de};
use std::{
    cell::RefCell,
    fmt,
    fs::File,
    io::{self, Read as _},
    ops::Deref,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// Folders whose files belong to the system. Variables of the process are in some of them.
const OF_SYSTEM: [&str; 3] = ["/proc", "/sys", "/dev"];
const NO_FILES: &str = "this host lets providers use no files; start it with `lattice up --provider-files`, or `HostBuilder::provider_access`";
const OUTSIDE: &str = "it isn't in a folder that this host lets providers use; move it to one, or start the host with `lattice up --provider-files`, or `HostBuilder::provider_access`";
const NOT_ALLOWED: &str = "this host doesn't let providers use variables that start so; start it with `lattice up --provider-env`, or `HostBuilder::provider_access`";
const IN_LINK: &str =
    "the config of a link can't name files and variables; name them in the provider's settings";
const SYSTEM: &str = "files below `/proc`, `/sys` and `/dev` are the system's";

thread_local! {
    /// What is parsed on this thread may reach this. `None` outside of [`Access::scope`].
    static CURRENT: RefCell<Option<Access>> = const { RefCell::new(None) };
}

/// What of its machine the settings of a provider may name: files in folders, and variables of the
/// environment. A host has it for the settings that apps declare, which would otherwise reach
/// everything that the host's user can. It has it for the configs of their actors, too.
///
/// It holds for [`Secret`](crate::Secret), [`HostPath`] and [`EnvPrefix`] when they are
/// deserialized, and for [`read_places`](crate::read_places). A program that parses settings of its
/// own operator has no need of it: outside of [`scope`](Self::scope), everything may be named.
///
/// ```
/// use lattice_provider_sdk::{Access, HostPath, settings};
/// use std::collections::BTreeMap;
///
/// #[derive(Debug, serde::Deserialize)]
/// struct Settings { path: HostPath }
///
/// let entries = BTreeMap::from([("path".to_owned(), "/etc/passwd".to_owned())]);
/// let access = Access::none().folder("/var/lib/lattice");
/// let refusal = access.scope(|| settings::<Settings>(&entries)).expect_err("it is outside");
/// assert!(refusal.reason().contains("isn't in a folder"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access(Reach);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Reach {
    All,
    Within {
        folders: Vec<PathBuf>,
        variables: Vec<String>,
    },
    /// Nothing, because the config of a link is parsed.
    Link,
}

/// Nothing, as [`Access::none`].
impl Default for Access {
    fn default() -> Self {
        Self::none()
    }
}

impl Access {
    /// No files and no variables.
    pub fn none() -> Self {
        Self(Reach::Within {
            folders: Vec::new(),
            variables: Vec::new(),
        })
    }

    /// Everything that the process can reach, except for variables that start with `LATTICE_`, and
    /// files below `/proc`, `/sys` and `/dev`.
    pub fn all() -> Self {
        Self(Reach::All)
    }

    /// Adds the files in a folder and those in its folders. May be repeated. Relative paths in
    /// settings are below the first folder. Symbolic links and `..` are followed before a path is
    /// compared, and must not lead out.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        if let Reach::Within { folders, .. } = &mut self.0 {
            folders.push(folder.into());
        }
        self
    }

    /// Adds the variables whose names start with `prefix`, except for those that start with
    /// `LATTICE_`. May be repeated.
    pub fn env(mut self, prefix: impl Into<String>) -> Self {
        if let Reach::Within { variables, .. } = &mut self.0 {
            variables.push(prefix.into());
        }
        self
    }

    /// Returns what settings that are parsed here may name: that of the innermost
    /// [`scope`](Self::scope) on this thread, or everything outside of one.
    pub fn current() -> Self {
        CURRENT.with_borrow(|current| current.clone().unwrap_or_else(Self::all))
    }

    /// Returns whether it is [`all`](Self::all). Only then, a provider may use other things that
    /// its machine has, such as the credentials of a cloud's machine.
    pub fn is_all(&self) -> bool {
        matches!(self.0, Reach::All)
    }

    /// What the configs of links may name.
    pub(crate) fn of_link() -> Self {
        Self(Reach::Link)
    }

    /// Runs `parse`, in which everything that is deserialized on this thread may name only what
    /// this access has. An inner scope replaces an outer one until it ends.
    pub fn scope<T>(&self, parse: impl FnOnce() -> T) -> T {
        /// Restores the outer scope, also after a panic.
        struct Restore(Option<Access>);

        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.set(self.0.take());
            }
        }

        let _restore = Restore(CURRENT.replace(Some(self.clone())));
        parse()
    }

    /// Returns where a file is that may be named, or why it may not be.
    fn path(&self, path: &Path) -> Result<PathBuf, &'static str> {
        let folders = match &self.0 {
            Reach::Link => return Err(IN_LINK),
            Reach::All => {
                let is_of_system = followed(path).is_ok_and(|full| is_of_system(&full));
                return if is_of_system {
                    Err(SYSTEM)
                } else {
                    Ok(path.to_owned())
                };
            }
            Reach::Within { folders, .. } => folders,
        };
        let first = folders.first().ok_or(NO_FILES)?;
        // Why it can't be followed would tell what there is outside.
        let full = followed(&first.join(path)).map_err(|_| OUTSIDE)?;
        if is_of_system(&full) {
            return Err(SYSTEM);
        }
        let mut allowed = folders.iter().filter_map(|folder| followed(folder).ok());
        if allowed.any(|folder| full.starts_with(folder)) {
            Ok(full)
        } else {
            Err(OUTSIDE)
        }
    }

    /// Returns why variables whose names start so may not be named.
    fn variables(&self, start: &str) -> Result<(), &'static str> {
        match &self.0 {
            Reach::All => Ok(()),
            Reach::Within { variables, .. } => {
                let mut allowed = variables.iter();
                let is_allowed = allowed.any(|prefix| start.starts_with(prefix.as_str()));
                is_allowed.then_some(()).ok_or(NOT_ALLOWED)
            }
            Reach::Link => Err(IN_LINK),
        }
    }
}

/// Returns where the file is that is being deserialized, or why it may not be named.
pub(crate) fn allowed_path(path: &Path) -> Result<PathBuf, &'static str> {
    Access::current().path(path)
}

/// Returns why variables whose names start so may not be named by what is being deserialized.
pub(crate) fn allowed_variables(start: &str) -> Result<(), &'static str> {
    Access::current().variables(start)
}

fn is_of_system(full: &Path) -> bool {
    OF_SYSTEM.iter().any(|folder| full.starts_with(folder))
}

/// Returns the path without symbolic links and `..`. The end of it need not exist.
fn followed(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let mut existing = path.as_path();
    let mut rest = Vec::new();
    loop {
        match existing.canonicalize() {
            Ok(full) => return Ok(rest.iter().rev().fold(full, |full, name| full.join(name))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        // To create a file through a link to nothing is to create it elsewhere.
        if existing.symlink_metadata().is_ok() {
            return Err(io::Error::other("it is a link to nothing"));
        }
        // `..` has no name: what it leads to is unknown when the folder before it is missing.
        let (Some(parent), Some(name)) = (existing.parent(), existing.file_name()) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        rest.push(name);
        existing = parent;
    }
}

/// The path of a file or a folder of the provider's machine, in its settings. Those of an app may
/// name only what the host's [`Access`] has; it is then absolute, without symbolic links.
///
/// It derefs to [`Path`], and is made from paths and strings, which aren't checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPath(PathBuf);

impl HostPath {
    /// Returns the path.
    pub fn into_path_buf(self) -> PathBuf {
        self.0
    }

    /// Reads the file, such as one of certificates. Blocks while the disk does.
    ///
    /// # Errors
    /// Fails when there is no file, when it may not be read, when it isn't a regular one (a pipe
    /// would block, and a device may never end), and when it has more than `most`.
    pub fn read(&self, most: ByteSize) -> io::Result<Vec<u8>> {
        read_file(&self.0, most)
    }
}

/// Reads a regular file that has at most `most`.
pub(crate) fn read_file(path: &Path, most: ByteSize) -> io::Result<Vec<u8>> {
    if !path.metadata()?.is_file() {
        let reason = "it isn't a regular file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    let limit = most.as_u64();
    // It may be a secret, so what isn't returned is wiped.
    let mut bytes = Zeroizing::new(Vec::new());
    let mut file = File::open(path)?.take(limit.saturating_add(1));
    file.read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let reason = format!("it has more than {most}");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    Ok(std::mem::take(&mut *bytes))
}

impl Deref for HostPath {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl AsRef<Path> for HostPath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl From<PathBuf> for HostPath {
    fn from(path: PathBuf) -> Self {
        Self(path)
    }
}

impl From<&Path> for HostPath {
    fn from(path: &Path) -> Self {
        Self(path.to_owned())
    }
}

impl From<&str> for HostPath {
    fn from(path: &str) -> Self {
        Self(path.into())
    }
}

impl From<String> for HostPath {
    fn from(path: String) -> Self {
        Self(path.into())
    }
}

impl<'de> Deserialize<'de> for HostPath {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_string(Text {
            expected: "a path",
            parse: |text| allowed_path(Path::new(text)).map(Self),
        })
    }
}

/// What the names of some variables of the provider's environment start with, in its settings.
/// Those of an app may name only what the host's [`Access`] has.
///
/// It derefs to [`str`], and is made from strings, which aren't checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvPrefix(String);

impl Deref for EnvPrefix {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for EnvPrefix {
    fn from(prefix: &str) -> Self {
        Self(prefix.to_owned())
    }
}

impl From<String> for EnvPrefix {
    fn from(prefix: String) -> Self {
        Self(prefix)
    }
}

impl<'de> Deserialize<'de> for EnvPrefix {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_string(Text {
            expected: "the start of the names of variables",
            parse: |text| allowed_variables(text).map(|()| Self(text.to_owned())),
        })
    }
}

/// Visits a text. What is parsed inside of a visitor has the name of its setting in its error.
struct Text<T> {
    expected: &'static str,
    parse: fn(&str) -> Result<T, &'static str>,
}

impl<T> de::Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).map_err(E::custom)
    }
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
