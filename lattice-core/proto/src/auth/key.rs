//! The secret that all members of a lattice share.

use std::{fmt, io, path::PathBuf};
use zeroize::{Zeroize, Zeroizing};

/// Length of a key in bytes.
pub(super) const LEN: usize = 32;

/// The 32-byte key of a lattice. Every holder of it is a member: hosts, providers, operators.
///
/// It is never printed, and is wiped from memory when dropped. Its text form is 64 hexadecimal
/// digits.
///
/// ```
/// use lattice_proto::auth::LatticeKey;
///
/// let key = LatticeKey::from_hex(&"01".repeat(32))?;
/// let same = LatticeKey::from_hex(&key.expose_hex())?;
/// assert_eq!(format!("{same:?}"), "LatticeKey(…)");
/// # Ok::<_, lattice_proto::auth::KeyError>(())
/// ```
#[derive(Clone)]
pub struct LatticeKey(pub(super) [u8; LEN]);

impl LatticeKey {
    /// Parses a key from 64 hexadecimal digits. White space and a byte order mark around them are
    /// ignored.
    ///
    /// # Errors
    /// Fails with [`KeyError::NotAKey`].
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        let text = text.trim_start_matches('\u{feff}').trim();
        let mut key = Self([0; LEN]);
        hex::decode_to_slice(text, &mut key.0).map_err(|_| KeyError::NotAKey {
            length: text.chars().count(),
        })?;
        Ok(key)
    }

    /// Returns the key as 64 hexadecimal digits, to be stored. The text is wiped from memory when
    /// dropped: don't copy it.
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

/// Why a key could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text isn't a valid key. It is not repeated here, since it may be a mistyped secret.
    #[error(
        "a lattice key is 64 hexadecimal digits, this text has {length} characters; make a key with `lattice key new`"
    )]
    NotAKey {
        /// How many characters the text has.
        length: usize,
    },
    /// The key file isn't plain text.
    #[error(
        "key file `{}` isn't plain text; save it as UTF-8 or ASCII, with 64 hexadecimal digits", path.display()
    )]
    BinaryFile {
        /// The file.
        path: PathBuf,
    },
    /// The environment variable's value isn't valid text.
    #[error(
        "a lattice key is 64 hexadecimal digits, this value isn't valid text; make a key with `lattice key new`"
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
        /// The error of the operating system.
        source: io::Error,
    },
    /// Every user of the machine may read or change the key file.
    #[error("key file `{}` is open to every user of this machine; close it with `chmod 600 {}`", path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    #[test]
    fn a_key_round_trips_through_hex_and_is_never_printed() {
        let key = LatticeKey::from_hex(&format!(" {HEX}\n")).expect("a key");
        assert_eq!(*key.expose_hex(), HEX);
        assert_eq!(format!("{key:?} {key:#?}"), "LatticeKey(…) LatticeKey(…)");
    }

    #[test]
    fn an_invalid_key_is_rejected_without_printing_it() {
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
}
