//! The secret that all members of a lattice share.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};
use zeroize::{Zeroize, Zeroizing};

/// Length of a key in bytes.
const LEN: usize = 32;
/// A key file holds 64 digits and perhaps a line end; whatever is larger is another file.
const MAX_FILE: u64 = 4096;

/// The 32-byte key of a lattice. Whoever holds it is a member: hosts, providers, operators.
///
/// It is never printed, and wiped from memory when dropped. Written down it is 64 hexadecimal digits.
///
/// ```
/// use lattice_core::auth::LatticeKey;
///
/// let key = LatticeKey::generate();
/// let same = LatticeKey::from_hex(&key.expose_hex())?;
/// assert_eq!(format!("{same:?}"), "LatticeKey(…)");
/// # Ok::<_, lattice_core::auth::KeyError>(())
/// ```
#[derive(Clone)]
pub struct LatticeKey([u8; LEN]);

impl LatticeKey {
    /// A new random key.
    ///
    /// # Panics
    /// When the operating system has no randomness to give.
    pub fn generate() -> Self {
        let mut key = Self([0; LEN]);
        getrandom::fill(&mut key.0).expect("the operating system gives randomness");
        key
    }

    /// A key from 64 hexadecimal digits; white space around them is ignored.
    ///
    /// # Errors
    /// [`KeyError::NotAKey`].
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let mut key = Self([0; LEN]);
        hex::decode_to_slice(text, &mut key.0).map_err(|_| KeyError::NotAKey {
            length: text.chars().count(),
        })?;
        Ok(key)
    }

    /// A key from a file that holds 64 hexadecimal digits.
    ///
    /// On Unix a file that everybody may read or write is refused; one that its group may, as mounted secrets often are, is
    /// accepted with a warning in the log.
    ///
    /// # Errors
    /// [`KeyError::Unreadable`], [`KeyError::Exposed`], [`KeyError::NotAKey`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, KeyError> {
        let path = path.as_ref();
        let text = read_secret(path)?;
        Self::from_hex(&text)
    }

    /// A key from an environment variable that holds 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`KeyError::NotSet`], [`KeyError::NotAKey`].
    pub fn from_env(variable: &str) -> Result<Self, KeyError> {
        let text = std::env::var_os(variable).ok_or_else(|| KeyError::NotSet {
            variable: variable.to_owned(),
        })?;
        let text = Zeroizing::new(text.into_string().map_err(|_| KeyError::NotText)?);
        Self::from_hex(&text)
    }

    /// The key in 64 hexadecimal digits, to be written down. The text is wiped from memory when dropped: do not copy it.
    pub fn expose_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(self.0))
    }

    pub(super) fn bytes(&self) -> &[u8; LEN] {
        &self.0
    }
}

impl Drop for LatticeKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for LatticeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LatticeKey(…)")
    }
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text is no key. It is not repeated here, it may be a mistyped secret.
    #[error(
        "a lattice key is 64 hexadecimal digits, this text has {length} characters; make a key with `lattice key new`"
    )]
    NotAKey {
        /// How many characters it has.
        length: usize,
    },
    /// The environment variable's value is not text.
    #[error(
        "a lattice key is 64 hexadecimal digits, this value is not even text; make a key with `lattice key new`"
    )]
    NotText,
    /// The environment variable is not set.
    #[error(
        "environment variable `{variable}` is not set; set it to the lattice key, 64 hexadecimal digits"
    )]
    NotSet {
        /// Its name.
        variable: String,
    },
    /// The key file can't be read.
    #[error("key file `{}` can't be read; check its path and its owner", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Everybody on the machine may read or change the key file.
    #[error("key file `{}` is open to everybody on this machine; close it with `chmod 600 {}`", path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
}

fn read_secret(path: &Path) -> Result<Zeroizing<String>, KeyError> {
    use io::Read as _;
    let unreadable = |source| KeyError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    // Asked of the open file, so that nobody can swap it in between.
    refuse_exposed(path, &file.metadata().map_err(unreadable)?)?;
    // Room for all of it, so that growing leaves no copies behind.
    let mut text = Zeroizing::new(String::with_capacity(MAX_FILE as usize));
    file.take(MAX_FILE)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    Ok(text)
}

#[cfg(unix)]
fn refuse_exposed(path: &Path, file: &std::fs::Metadata) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = file.permissions().mode();
    if mode & 0o007 != 0 {
        return Err(KeyError::Exposed {
            path: path.to_owned(),
        });
    }
    if mode & 0o070 != 0 {
        tracing::warn!(file = %path.display(), "the key file is open to its group; close it with `chmod 600` unless that is meant");
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_exposed(_: &Path, _: &std::fs::Metadata) -> Result<(), KeyError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    #[test]
    fn hex_round_trips_and_is_never_printed() {
        let key = LatticeKey::from_hex(&format!(" {HEX}\n")).expect("a key");
        assert_eq!(*key.expose_hex(), HEX);
        assert_eq!(format!("{key:?} {key:#?}"), "LatticeKey(…) LatticeKey(…)");
        assert_ne!(
            *LatticeKey::generate().expose_hex(),
            *LatticeKey::generate().expose_hex()
        );
    }

    #[test]
    fn what_is_no_key_is_refused_without_repeating_it() {
        let odd = &HEX[1..];
        let long = format!("{HEX}00");
        let wrong = HEX.replace('f', "g");
        for bad in ["", "secret", odd, &long, &wrong] {
            let error = LatticeKey::from_hex(bad).expect_err(bad);
            let text = format!("{error} {error:?}");
            assert!(text.contains("64 hexadecimal digits"), "{text}");
            assert!(bad.is_empty() || !text.contains(bad), "{text}");
        }
    }

    #[test]
    fn files_are_read_with_care() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("key");
        let missing = LatticeKey::from_file(&path).expect_err("no file");
        assert!(matches!(missing, KeyError::Unreadable { .. }), "{missing}");

        std::fs::write(&path, format!("{HEX}\n")).expect("written");
        restrict(&path, 0o600);
        let key = LatticeKey::from_file(&path).expect("a key");
        assert_eq!(*key.expose_hex(), HEX);

        std::fs::write(&path, "x".repeat(10_000)).expect("written");
        let large = LatticeKey::from_file(&path).expect_err("no key");
        assert!(matches!(large, KeyError::NotAKey { .. }), "{large}");
        std::fs::write(&path, [0xff; 64]).expect("written");
        let binary = LatticeKey::from_file(&path).expect_err("no text");
        assert!(matches!(binary, KeyError::Unreadable { .. }), "{binary}");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_open_to_everybody_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("key");
        std::fs::write(&path, HEX).expect("written");
        for (mode, accepted) in [(0o644, false), (0o602, false), (0o440, true), (0o600, true)] {
            restrict(&path, mode);
            let result = LatticeKey::from_file(&path);
            assert_eq!(result.is_ok(), accepted, "{mode:o} {result:?}");
        }
    }

    #[test]
    fn the_environment_is_read() {
        const VARIABLE: &str = "LATTICE_CORE_TEST_KEY";
        if std::env::var_os(VARIABLE).is_some() {
            let key = LatticeKey::from_env(VARIABLE).expect("a key");
            assert_eq!(*key.expose_hex(), HEX);
            return;
        }
        let error = LatticeKey::from_env(VARIABLE).expect_err("not set");
        assert!(error.to_string().contains(VARIABLE), "{error}");
        // Changing this process's environment would be a race: a child sees it set.
        let child = std::process::Command::new(std::env::current_exe().expect("this test"))
            .args([
                "--exact",
                "auth::key::tests::the_environment_is_read",
                "--nocapture",
            ])
            .env(VARIABLE, HEX)
            .output()
            .expect("the child runs");
        let output = String::from_utf8_lossy(&child.stdout);
        assert!(
            child.status.success() && output.contains("1 passed"),
            "{output}"
        );
    }

    #[cfg(unix)]
    fn restrict(path: &Path, mode: u32) {
        use std::os::unix::fs::PermissionsExt as _;
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(path, permissions).expect("permissions set");
    }

    #[cfg(not(unix))]
    fn restrict(_: &Path, _: u32) {}
}
