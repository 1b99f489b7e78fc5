//! Names of containers and objects, as people write them and as stores can have them.
//!
//! An encoded name is one or more segments of lower-case letters, digits, `-`, `_`, `.` and `%XX`.
//! Every other byte is `%XX`, and so is a dot at an end of the name, so that no segment is `.`,
//! `..` or hidden, and names that differ in case differ everywhere.

use super::bindings::lattice::blobstore::types::Error;
use std::fmt::Write as _;

/// Longest name of a container in the store, in bytes: one segment of a path, encoded in hex.
pub(crate) const MAX_CONTAINER: usize = 255;
/// Longest name of an object, in bytes. S3 has the same limit.
pub(crate) const MAX_OBJECT: usize = 1_024;
/// Longest name in a message, in bytes.
const SHOWN: usize = 64;

/// Checks the name of a container, which has `full` bytes in the store.
pub(crate) fn check_container(name: &str, full: usize) -> Result<(), Error> {
    if name.is_empty() {
        return Err(Error::InvalidName(
            "the name of a container is empty".to_owned(),
        ));
    }
    if full > MAX_CONTAINER {
        return Err(Error::InvalidName(format!(
            "the name of a container has at most {MAX_CONTAINER} bytes with the link's prefix, and this one has {full}"
        )));
    }
    Ok(())
}

/// Checks the name of an object.
pub(crate) fn check_object(name: &str) -> Result<(), Error> {
    if name.is_empty() {
        return Err(Error::InvalidName(
            "the name of an object is empty".to_owned(),
        ));
    }
    if name.len() > MAX_OBJECT {
        return Err(Error::InvalidName(format!(
            "the name of an object has at most {MAX_OBJECT} bytes, and this one has {}",
            name.len()
        )));
    }
    Ok(())
}

/// Returns the beginning of a name, for messages.
pub(crate) fn shown(name: &str) -> &str {
    &name[..name.floor_char_boundary(SHOWN)]
}

/// Encodes a name.
pub(crate) fn encode(name: &str) -> String {
    let bytes = name.as_bytes();
    let mut encoded = String::with_capacity(bytes.len());
    for (at, byte) in bytes.iter().enumerate() {
        let is_inside = at > 0 && at + 1 < bytes.len();
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => encoded.push(char::from(*byte)),
            b'.' if is_inside => encoded.push('.'),
            byte => {
                // Writing to a string doesn't fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

/// Decodes a name. `None` for what is no encoded name.
pub(crate) fn decode(encoded: &str) -> Option<String> {
    let name = unescape(encoded)?;
    // Others are files of something else.
    (encode(&name) == encoded).then_some(name)
}

/// Replaces every `%XX` by its byte.
pub(crate) fn unescape(encoded: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
            bytes.push((high << 4) | low);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_comes_back_and_none_is_a_path() {
        let every_byte: String = (0..=127_u8).map(char::from).collect();
        let names = [
            "a",
            "A",
            ".",
            "..",
            "...",
            "../../etc/passwd",
            "/",
            "a/b",
            "a.b",
            ".a",
            "a.",
            "%41",
            "é",
            "\0",
            "con",
            "a\\b",
            "💾",
            " ",
            "~",
            "#?&",
            &every_byte,
            &"é".repeat(512),
        ];
        for name in names {
            let encoded = encode(name);
            assert_eq!(decode(&encoded).as_deref(), Some(name));
            assert!(
                !encoded.starts_with('.') && !encoded.ends_with('.'),
                "{encoded}"
            );
            assert!(
                encoded
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.%".contains(&byte))
            );
        }
        let encoded: std::collections::BTreeSet<_> = names
            .iter()
            .map(|name| encode(name).to_ascii_lowercase())
            .collect();
        assert_eq!(encoded.len(), names.len(), "also where case doesn't count");
    }

    #[test]
    fn what_is_no_encoded_name_is_passed_over() {
        for other in ["A", "%4", "%zz", "%61", "..", "a/b", ".tmp", "%FF", "a%"] {
            assert_eq!(decode(other), None, "{other}");
        }
    }

    #[test]
    fn names_have_limits() {
        assert!(check_object("").is_err());
        assert!(check_object(&"a".repeat(MAX_OBJECT)).is_ok());
        assert!(check_object(&"a".repeat(MAX_OBJECT + 1)).is_err());
        assert!(check_container("", 0).is_err());
        assert!(check_container("a", MAX_CONTAINER + 1).is_err());
        assert_eq!(shown(&"é".repeat(100)).len(), SHOWN);
    }
}
