//! Lattice keys from the system: its randomness, its files, its environment.

use super::{KeyError, LatticeKey, key::LEN};
use std::{io, path::Path};
use zeroize::Zeroizing;

/// Most bytes that are read of a key file. It holds 64 digits and perhaps a line end; a larger file
/// isn't a key file.
const MAX_FILE: u64 = 4096;

impl LatticeKey {
    /// Generates a random key.
    ///
    /// # Panics
    /// Panics if the operating system provides no randomness.
    pub fn generate() -> Self {
        let mut key = Self([0; LEN]);
        getrandom::fill(&mut key.0).expect("the operating system gives randomness");
        key
    }

    /// Reads a key from a file that holds 64 hexadecimal digits, in UTF-8 or, with a byte order
    /// mark, in UTF-16.
    ///
    /// On Unix a file that every user may read or write is refused. A file that its group may read
    /// or write, as mounted secrets often are, is accepted with a warning in the log.
    ///
    /// # Errors
    /// Fails with [`KeyError::Unreadable`], [`KeyError::Exposed`] or [`KeyError::NotAKey`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, KeyError> {
        let path = path.as_ref();
        let text = read_secret(path)?;
        Self::from_hex(&text)
    }

    /// Reads a key from an environment variable that holds 64 hexadecimal digits.
    ///
    /// # Errors
    /// Fails with [`KeyError::NotSet`], [`KeyError::NotText`] or [`KeyError::NotAKey`].
    pub fn from_env(variable: &str) -> Result<Self, KeyError> {
        let text = std::env::var_os(variable).ok_or_else(|| KeyError::NotSet {
            variable: variable.to_owned(),
        })?;
        let text = Zeroizing::new(text.into_string().map_err(|_| KeyError::NotText)?);
        Self::from_hex(&text)
    }
}

fn read_secret(path: &Path) -> Result<Zeroizing<String>, KeyError> {
    use io::Read as _;
    // A key that was given in place of the path of its file isn't repeated.
    let is_key = path
        .to_str()
        .is_some_and(|text| LatticeKey::from_hex(text).is_ok());
    let shown = if is_key { Path::new("…") } else { path };
    let unreadable = |source| KeyError::Unreadable {
        path: shown.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    // Checked on the open file, so that the file can't be swapped in between.
    refuse_exposed(path, &file.metadata().map_err(unreadable)?)?;
    // Enough capacity for all of it, so that growing leaves no copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE as usize));
    file.take(MAX_FILE)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    text_of(&bytes).ok_or_else(|| KeyError::BinaryFile {
        path: path.to_owned(),
    })
}

/// Returns the text in a file, which some editors save as UTF-16.
fn text_of(bytes: &[u8]) -> Option<Zeroizing<String>> {
    let read: fn([u8; 2]) -> u16 = match bytes {
        [0xff, 0xfe, ..] => u16::from_le_bytes,
        [0xfe, 0xff, ..] => u16::from_be_bytes,
        _ => return Some(Zeroizing::new(std::str::from_utf8(bytes).ok()?.to_owned())),
    };
    let (pairs, rest) = bytes.as_chunks::<2>();
    let text = char::decode_utf16(pairs.iter().map(|pair| read(*pair)));
    let text: Result<String, _> = text.collect();
    text.ok().filter(|_| rest.is_empty()).map(Zeroizing::new)
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
    fn generated_keys_differ() {
        let (one, other) = (LatticeKey::generate(), LatticeKey::generate());
        assert_ne!(*one.expose_hex(), *other.expose_hex());
    }

    #[test]
    fn key_files_are_checked_before_use() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("key");
        let missing = LatticeKey::from_file(&path).expect_err("no file");
        assert!(matches!(missing, KeyError::Unreadable { .. }), "{missing}");
        let key = LatticeKey::from_file(HEX).expect_err("no file");
        assert!(matches!(key, KeyError::Unreadable { .. }), "{key}");
        assert!(!format!("{key} {key:?}").contains(HEX), "{key}");

        std::fs::write(&path, format!("{HEX}\n")).expect("written");
        restrict(&path, 0o600);
        let key = LatticeKey::from_file(&path).expect("a key");
        assert_eq!(*key.expose_hex(), HEX);

        std::fs::write(&path, "x".repeat(10_000)).expect("written");
        let large = LatticeKey::from_file(&path).expect_err("no key");
        assert!(matches!(large, KeyError::NotAKey { .. }), "{large}");
        std::fs::write(&path, [0xff; 64]).expect("written");
        let binary = LatticeKey::from_file(&path).expect_err("no text");
        assert!(matches!(binary, KeyError::BinaryFile { .. }), "{binary}");
    }

    #[test]
    fn files_of_every_editor_are_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("key");
        let utf16 = |to_bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            let text = format!("\u{feff}{HEX}\r\n");
            text.encode_utf16().flat_map(to_bytes).collect()
        };
        for bytes in [
            format!("\u{feff}{HEX}\r\n").into_bytes(),
            format!("\t {HEX} \r\n\r\n").into_bytes(),
            utf16(u16::to_le_bytes),
            utf16(u16::to_be_bytes),
        ] {
            std::fs::write(&path, &bytes).expect("written");
            restrict(&path, 0o600);
            let key = LatticeKey::from_file(&path).expect("a key");
            assert_eq!(*key.expose_hex(), HEX, "{bytes:?}");
        }
        // UTF-16 without a mark is text of another length, with a character between the digits.
        let unmarked: Vec<u8> = HEX.encode_utf16().flat_map(u16::to_le_bytes).collect();
        std::fs::write(&path, unmarked).expect("written");
        let error = LatticeKey::from_file(&path)
            .expect_err("no key")
            .to_string();
        assert!(error.contains("128 characters"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_world_readable_key_file_is_rejected() {
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
    fn a_key_is_read_from_the_environment() {
        const VARIABLE: &str = "LATTICE_CORE_TEST_KEY";
        if std::env::var_os(VARIABLE).is_some() {
            let key = LatticeKey::from_env(VARIABLE).expect("a key");
            assert_eq!(*key.expose_hex(), HEX);
            return;
        }
        let error = LatticeKey::from_env(VARIABLE).expect_err("not set");
        assert!(error.to_string().contains(VARIABLE), "{error}");
        // Changing this process's environment would be a race, so a child process gets the
        // variable.
        let child = std::process::Command::new(std::env::current_exe().expect("this test"))
            .args([
                "--exact",
                "auth::os::tests::a_key_is_read_from_the_environment",
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
