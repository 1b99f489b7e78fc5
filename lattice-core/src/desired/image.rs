//! Where a component's code comes from.
//!
//! | text | image |
//! | --- | --- |
//! | `file:target/greeter.wasm` | a file |
//! | `oci:ghcr.io/shop/greeter:1.2`, or without `oci:` | an artifact in a registry |
//! | `sha256:` and 64 hexadecimal digits | bytes that hosts already have, by their digest |

use super::oci::{OciReference, OciReferenceError};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};
use std::{
    borrow::Cow,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

/// Where a component's code comes from; see `desired` for its text: `file:…`, a reference of a registry, or a digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Image {
    /// A file. In a manifest relative to the manifest, in the store absolute: a host that doesn't have it there looks for
    /// the digest.
    File(PathBuf),
    /// An artifact in a registry.
    Oci(OciReference),
    /// Bytes by their digest, wherever a host can get them.
    Bytes(ImageDigest),
}

/// The SHA-256 of an image: of its bytes; of its manifest when it is an artifact in a registry, as registries count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageDigest([u8; 32]);

/// A text that is no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// It looks like a path.
    #[error("`{given}` looks like a file; write `file:{given}`")]
    Path {
        /// The text.
        given: String,
    },
    /// `file:` and nothing.
    #[error("`file:` names no file; write the path of a component after it")]
    NoPath,
    /// It is no digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// It is no reference of a registry.
    #[error(transparent)]
    Oci(#[from] OciReferenceError),
}

/// A text that is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no digest; write `sha256:` and 64 hexadecimal digits")]
pub struct DigestError {
    /// The text, cut to 80 characters.
    pub given: String,
}

impl Image {
    /// Whether the text alone says which bytes are meant.
    pub fn digest(&self) -> Option<ImageDigest> {
        match self {
            Self::File(_) => None,
            Self::Oci(reference) => reference.digest(),
            Self::Bytes(digest) => Some(*digest),
        }
    }
}

impl ImageDigest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// As bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for ImageDigest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl FromStr for ImageDigest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let refuse = || DigestError {
            given: text.chars().take(80).collect(),
        };
        let digits = text.strip_prefix("sha256:").ok_or_else(refuse)?;
        let mut digest = [0; 32];
        hex::decode_to_slice(digits, &mut digest).map_err(|_| refuse())?;
        Ok(Self(digest))
    }
}

impl fmt::Display for ImageDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex::encode(self.0))
    }
}

impl fmt::Debug for ImageDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Image {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        if let Some(path) = text.strip_prefix("file:") {
            return if path.is_empty() {
                Err(ImageError::NoPath)
            } else {
                Ok(Self::File(path.into()))
            };
        }
        if text.starts_with("sha256:") {
            return Ok(Self::Bytes(text.parse()?));
        }
        if let Some(reference) = text.strip_prefix("oci:") {
            return Ok(Self::Oci(reference.parse()?));
        }
        let is_wasm = Path::new(text)
            .extension()
            .is_some_and(|ending| ending.eq_ignore_ascii_case("wasm"));
        let is_path = text.starts_with(['.', '/', '~'])
            || text.contains('\\')
            || (is_wasm && !text.contains(':'));
        if is_path {
            return Err(ImageError::Path {
                given: text.chars().take(200).collect(),
            });
        }
        Ok(Self::Oci(text.parse()?))
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Oci(reference) => write!(f, "oci:{reference}"),
            Self::Bytes(digest) => write!(f, "{digest}"),
        }
    }
}

/// For what is carried by serde as its text.
macro_rules! as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = <Cow<'de, str>>::deserialize(from)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}

pub(super) use as_text;
as_text!(Image);
as_text!(ImageDigest);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn images_read_as_they_are_written() {
        let digest = ImageDigest::of(b"");
        let by_digest = digest.to_string();
        assert_eq!(
            by_digest,
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        for (text, shown) in [
            ("file:target/greeter.wasm", "file:target/greeter.wasm"),
            ("file:/x y/é.wasm", "file:/x y/é.wasm"),
            (
                "oci:localhost:5000/greeter:1.0",
                "oci:localhost:5000/greeter:1.0",
            ),
            ("ghcr.io/shop/greeter", "oci:ghcr.io/shop/greeter"),
            (by_digest.as_str(), by_digest.as_str()),
        ] {
            let image: Image = text.parse().expect(text);
            assert_eq!(image.to_string(), shown);
            assert_eq!(shown.parse(), Ok(image));
        }
    }

    #[test]
    fn what_is_no_image_says_what_to_write() {
        for (text, says) in [
            ("greeter.wasm", "write `file:greeter.wasm`"),
            ("./greeter.wasm", "write `file:./greeter.wasm`"),
            ("/abs/greeter", "write `file:/abs/greeter`"),
            ("file:", "names no file"),
            ("sha256:12", "64 hexadecimal digits"),
            ("", "registry"),
            ("greeter", "registry"),
        ] {
            let error = text.parse::<Image>().expect_err(text).to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_image_or_an_error(text in ".{0,80}") {
            if let Ok(image) = text.parse::<Image>() {
                prop_assert_eq!(image.to_string().parse(), Ok(image));
            }
        }
    }
}
