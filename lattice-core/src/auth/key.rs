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
