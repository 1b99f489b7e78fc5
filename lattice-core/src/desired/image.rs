//! Where a component's code comes from.
//!
//! | text | image |
//! | --- | --- |
//! | `file:target/greeter.wasm` | a file |
//! | `oci:ghcr.io/shop/greeter:1.2`, or without `oci:` | an artifact in a registry |
//! | `sha256:` and 64 hexadecimal digits | bytes that hosts already have, by their digest |

use super::{
    digest::{DigestError, ImageDigest},
    oci::{OciReference, has_login, is_tag},
    text::as_text,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{borrow::Cow, fmt, path::PathBuf, str::FromStr};

/// Where a component's code comes from. Its text is `file:…`, a reference to an artifact in a
/// registry, or a digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Image {
    /// A file. Its path is relative to the manifest in a manifest, and absolute in the store. A
    /// host that doesn't have the file at that path looks for its digest.
    File(PathBuf),
    /// An artifact in a registry.
    Oci(OciReference),
    /// Bytes with this digest, from wherever a host can get them.
    Bytes(ImageDigest),
}

/// A text that isn't a valid image. Each error says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The text is empty.
    #[error(
        "the image is empty: write `file:path/to/component.wasm` or `oci:registry/repository:tag`"
    )]
    Empty,
    /// The name has a user, which may have a password. It isn't repeated here.
    #[error(
        "the name of an image has no user and no password: write `oci:registry/repository:tag`, and log in to the registry with `docker login`"
    )]
    Login,
    /// The text is a URL, or starts with another scheme.
    #[error(
        "`{text}` starts with `{scheme}`, which is neither `file:` nor `oci:`: write `{}`",
        without(text, scheme)
    )]
    Scheme {
        /// The text, without a query.
        text: String,
        /// The scheme that is not supported.
        scheme: String,
    },
    /// The text looks like a path.
    #[error("`{text}` looks like a file: write `file:{text}`")]
    BarePath {
        /// The whole text.
        text: String,
    },
    /// The text is `file:` without a path.
    #[error("`file:` has no path: write `file:path/to/component.wasm`")]
    NoPath,
    /// The text does not start with the host of a registry.
    #[error("`{text}` doesn't name its registry: write `oci:registry.example.com/{text}`")]
    NoRegistry {
        /// The whole text, without `oci:`.
        text: String,
    },
    /// The first part isn't a valid registry.
    #[error(
        "`{registry}` is not a registry: write a host name, and a port if it has one, such as `registry.example.com:5000`"
    )]
    Registry {
        /// The first part.
        registry: String,
    },
    /// The part after the registry isn't a valid repository.
    #[error(
        "`{repository}` is not a repository: write lower case letters, digits and single `.`, `_` or `-` between them, with `/` between parts"
    )]
    Repository {
        /// The part between the registry and the tag.
        repository: String,
    },
    /// The part after `:` isn't a valid tag.
    #[error(
        "`{tag}` is not a tag: {}write 1 to 128 letters, digits, `.`, `_` and `-`, not starting with `.` or `-`",
        instead(tag)
    )]
    Tag {
        /// The part after the `:`.
        tag: String,
    },
    /// The part after `@` isn't a valid digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// The text has neither a tag nor a digest.
    #[error("`{text}` has neither tag nor digest: write `{text}:1.0` or `{text}@sha256:…`")]
    NoVersion {
        /// The whole text.
        text: String,
    },
}

fn without(text: &str, scheme: &str) -> String {
    match scheme {
        "oci://" | "http://" | "https://" | "docker://" => format!("oci:{}", &text[scheme.len()..]),
        "file://" => format!("file:{}", &text[scheme.len()..]),
        _ => "file:path/to/component.wasm` or `oci:registry/repository:tag".into(),
    }
}

/// Proposes the tag under which a version with build metadata is usually pushed.
fn instead(tag: &str) -> String {
    let written = tag.replace('+', "_");
    if written != tag && is_tag(&written) {
        format!("a tag can't contain `+`, and tools push such a version as `{written}`; ")
    } else {
        String::new()
    }
}

/// Cuts a text to the length that an error shows.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(200).collect()
}

impl Image {
    /// Returns the digest, if the text alone determines the bytes.
    pub fn digest(&self) -> Option<ImageDigest> {
        match self {
            Self::File(_) => None,
            Self::Oci(reference) => reference.digest(),
            Self::Bytes(digest) => Some(*digest),
        }
    }
}

impl FromStr for Image {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        if text.is_empty() {
            return Err(ImageError::Empty);
        }
        if let Some((before, rest)) = text.split_once("://") {
            let is_digest = |after: &str| after.starts_with("sha256:");
            if has_login(rest)
                || rest
                    .rsplit_once('@')
                    .is_some_and(|(_, after)| !is_digest(after))
            {
                return Err(ImageError::Login);
            }
            let scheme = format!("{before}://");
            // What follows may be a signature or a token.
            let shown = text.split(['?', '#']).next().unwrap_or_default();
            return Err(ImageError::Scheme {
                text: cut(shown),
                scheme,
            });
        }
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
            return reference.parse().map(Self::Oci);
        }
        let path = text.starts_with(['.', '/', '~'])
            || [".wasm", ".wat"]
                .iter()
                .any(|ending| text.ends_with(ending));
        if path {
            return Err(ImageError::BarePath { text: cut(text) });
        }
        text.parse().map(Self::Oci)
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

as_text!(Image);

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
