//! Names as keys of a store.
//!
//! A key looks like its name as far as a store takes that: letters, digits and some marks stay, and
//! so do the slashes of a name that is a path without empty or dotted segments. All else is `%XX`.

use crate::blobstore::{
    bindings::lattice::blobstore::types::{Error, ObjectId},
    names,
};
use lattice_provider_sdk::Refusal;
use object_store::path::Path;
use std::fmt::Write as _;

/// Longest key, in bytes, of S3 and the others.
const MAX_KEY: usize = 1_024;
/// The folder of the markers of containers. No container has this name, encoded.
const MARKERS: &str = ".containers";

/// Makes the keys of one store.
#[derive(Debug)]
pub(super) struct Keys {
    /// Empty, or ends with a slash.
    prefix: String,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Result<Self, Refusal> {
        let trimmed = prefix.trim_matches('/');
        if trimmed.is_empty() {
            return Ok(Self {
                prefix: String::new(),
            });
        }
        let parsed = Path::parse(trimmed).map_err(|error| {
            Refusal::new(format!("`prefix` isn't the name of a folder: {error}"))
        })?;
        Ok(Self {
            prefix: format!("{parsed}/"),
        })
    }

    /// Returns the folder of all markers.
    pub(super) fn markers(&self) -> Path {
        Path::parse(format!("{}{MARKERS}", self.prefix)).unwrap_or_default()
    }

    /// Returns the key of a container's marker.
    pub(super) fn marker(&self, container: &str) -> Result<Path, Error> {
        key(format!(
            "{}{MARKERS}/{}",
            self.prefix,
            names::encode(container)
        ))
    }

    /// Returns the folder of a container's objects.
    pub(super) fn folder(&self, container: &str) -> Result<Path, Error> {
        key(format!("{}{}", self.prefix, names::encode(container)))
    }

    /// Returns the key of an object.
    pub(super) fn object(&self, id: &ObjectId) -> Result<Path, Error> {
        let container = names::encode(&id.container);
        key(format!("{}{container}/{}", self.prefix, encode(&id.object)))
    }
}

fn key(key: String) -> Result<Path, Error> {
    if key.len() > MAX_KEY {
        return Err(Error::InvalidName(format!(
            "the key of the object has at most {MAX_KEY} bytes with its container, encoded, and this one has {}",
            key.len()
        )));
    }
    Path::parse(key).map_err(|error| Error::InvalidName(error.to_string()))
}

/// Returns the name of an object in a folder. `None` for keys that no object of a link has.
pub(super) fn name(folder: &Path, key: &Path) -> Option<String> {
    let encoded = key
        .as_ref()
        .strip_prefix(folder.as_ref())?
        .strip_prefix('/')?;
    decode(encoded)
}

fn encode(name: &str) -> String {
    let is_path = name.split('/').all(|segment| !is_odd(segment));
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        let stays = match byte {
            b'/' | b'.' => is_path,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => true,
            byte => b"-_=+@,!()'".contains(&byte),
        };
        if stays {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string doesn't fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Whether a segment of a path means something else than itself.
fn is_odd(segment: &str) -> bool {
    segment.bytes().all(|byte| byte == b'.')
}

fn decode(encoded: &str) -> Option<String> {
    let name = names::unescape(encoded)?;
    (encode(&name) == encoded).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_look_like_names_and_come_back() {
        for (name, key) in [
            ("a/b/C.txt", "a/b/C.txt"),
            ("..", "%2E%2E"),
            ("a//b", "a%2F%2Fb"),
            ("/a", "%2Fa"),
            ("a/../b.c", "a%2F%2E%2E%2Fb%2Ec"),
            ("a b#é", "a%20b%23%C3%A9"),
            ("%41", "%2541"),
            ("\0\n", "%00%0A"),
        ] {
            assert_eq!(encode(name), key);
            assert_eq!(decode(key).as_deref(), Some(name));
            Path::parse(key).expect("a store takes it");
        }
        for foreign in ["a b", "%61", "a%2Fb", "%"] {
            assert_eq!(decode(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn objects_are_in_the_folder_of_their_container() {
        let keys = Keys::new("/some/prefix/").expect("a folder");
        let id = ObjectId {
            container: "..".to_owned(),
            object: "a/b".to_owned(),
        };
        let (folder, object) = (
            keys.folder("..").expect("valid"),
            keys.object(&id).expect("valid"),
        );
        assert_eq!(object.as_ref(), "some/prefix/%2E%2E/a/b");
        assert_eq!(name(&folder, &object).as_deref(), Some("a/b"));
        let marker = keys.marker(MARKERS).expect("valid");
        assert_eq!(marker.as_ref(), "some/prefix/.containers/%2Econtainers");
        assert!(Keys::new("a/../b").is_err());
        let object = "é".repeat(500);
        assert!(matches!(
            keys.object(&ObjectId { object, ..id }),
            Err(Error::InvalidName(_))
        ));
    }
}
