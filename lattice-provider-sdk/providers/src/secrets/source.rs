//! Where secrets are.

use lattice_core::quantity::ByteSize;
use std::{
    env,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

/// The longest key. A file's name has up to 255 bytes.
const MAX_KEY: usize = 253;

/// Where secrets are.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// Each is a file of this folder.
    Folder(PathBuf),
    /// Each is a variable whose name starts with this.
    Environment(String),
}

/// A secret. It is wiped from memory when it is dropped.
pub(super) struct Found(Zeroizing<Vec<u8>>);

/// Why a secret can't be read.
#[derive(Debug)]
pub(super) enum Failure {
    Missing,
    /// It is there, and can't be read for this reason.
    Unreadable(String),
}

/// Returns whether a text can be a key: a file's name without anything that leads elsewhere.
pub(super) fn is_key(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (1..=MAX_KEY).contains(&text.len()) && !text.starts_with('.') && text.bytes().all(is_allowed)
}

impl Source {
    /// Returns what traces call it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Folder(_) => "folder",
            Self::Environment(_) => "environment",
        }
    }

    /// Reads the secret under a valid key, of at most this size.
    pub(super) async fn read(&self, key: &str, most: ByteSize) -> Result<Found, Failure> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(key);
                let read = spawn_blocking(move || read_file(&path, most)).await;
                match read.unwrap_or_else(|lost| Err(io::Error::other(lost))) {
                    Ok(bytes) => Ok(Found(bytes)),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Failure::Missing),
                    Err(error) => Err(Failure::Unreadable(error.to_string())),
                }
            }
            Self::Environment(prefix) => {
                let name = variable(prefix, key);
                if is_of_host(&name) {
                    return Err(Failure::Missing);
                }
                let value = env::var_os(name).ok_or(Failure::Missing)?;
                let bytes = Zeroizing::new(value.into_encoded_bytes());
                if bytes.len() as u64 > most.as_u64() {
                    return Err(Failure::Unreadable(too_large(most)));
                }
                Ok(Found(bytes))
            }
        }
    }

    /// Fails with the reason if the source itself can't be read.
    pub(super) async fn check(&self) -> Result<(), String> {
        let Self::Folder(folder) = self else {
            return Ok(());
        };
        let path = folder.clone();
        let read = spawn_blocking(move || path.read_dir().map(drop)).await;
        let read = read.unwrap_or_else(|lost| Err(io::Error::other(lost)));
        let folder = folder.display();
        read.map_err(|error| format!("the folder `{folder}` can't be read: {error}"))
    }
}

/// Returns the name of the variable with the secret under a key.
fn variable(prefix: &str, key: &str) -> String {
    prefix.to_owned() + &key.to_uppercase().replace(['.', '-'], "_")
}

/// Returns whether a variable is the host's own: one of them has its key.
fn is_of_host(name: &str) -> bool {
    name.to_uppercase().starts_with("LATTICE_")
}

fn too_large(most: ByteSize) -> String {
    format!("the secret is larger than {most}")
}

fn read_file(path: &Path, most: ByteSize) -> io::Result<Zeroizing<Vec<u8>>> {
    // The environment of the process, with the key of the host, is in such a file.
    if path.canonicalize()?.starts_with("/proc") {
        return Err(io::ErrorKind::NotFound.into());
    }
    // A pipe would block, and a device may never end.
    let metadata = path.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it isn't a regular file"));
    }
    // All of it is reserved, so that no copy is left behind when it grows.
    let size = usize::try_from(metadata.len().min(most.as_u64())).unwrap_or(usize::MAX);
    let mut bytes = Zeroizing::new(Vec::with_capacity(size.saturating_add(1)));
    let file = File::open(path)?;
    file.take(most.as_u64().saturating_add(1))
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most.as_u64() {
        return Err(io::Error::other(too_large(most)));
    }
    Ok(bytes)
}

impl Found {
    pub(super) fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// Returns it as a text without one line break at its end, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        let text = str::from_utf8(&self.0).ok()?;
        let Some(line) = text.strip_suffix('\n') else {
            return Some(text);
        };
        Some(line.strip_suffix('\r').unwrap_or(line))
    }

    /// Returns its bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_leads_nowhere_else() {
        for key in ["a", "db.password", "API_KEY-2", &"x".repeat(MAX_KEY)] {
            assert!(is_key(key), "{key}");
        }
        for key in [
            "", ".", "..", ".hidden", "a/b", "a\\b", "a b", "a\0", "é", "*", "a=b",
        ] {
            assert!(!is_key(key), "{key}");
        }
        assert!(!is_key(&"x".repeat(MAX_KEY + 1)));
    }

    #[test]
    fn a_text_loses_one_line_break() {
        for (bytes, text) in [
            (&b"x\n"[..], Some("x")),
            (b"x\r\n", Some("x")),
            (b"x\n\n", Some("x\n")),
            (b"x\r", Some("x\r")),
            (b"", Some("")),
            (b"\xff\n", None),
        ] {
            assert_eq!(Found(Zeroizing::new(bytes.to_vec())).text(), text);
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_environment_of_the_host_is_no_source_of_its_own_secrets() {
        let most = ByteSize::mib(1);
        // Cargo sets this variable for tests.
        let other = Source::Environment("CARGO_".to_owned());
        assert!(other.read("manifest-dir", most).await.is_ok());
        let folder = Source::Folder("/proc/self".into());
        assert!(matches!(
            folder.read("environ", most).await,
            Err(Failure::Missing)
        ));
        // No variable of a host can be set in a test, so a refusal is told from a missing one by
        // its check alone.
        for (prefix, key) in [
            ("LATTICE_", "key"),
            ("L", "attice.key"),
            ("lattice_", "key"),
        ] {
            assert!(is_of_host(&variable(prefix, key)), "{prefix} {key}");
        }
        assert!(!is_of_host(&variable("SECRET_", "lattice.key")));
    }
}
