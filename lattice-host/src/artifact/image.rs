//! Where an image is, as people write it.

use super::digest::{Digest, DigestError};
use serde::{Deserialize, Serialize};
use std::{fmt, path::PathBuf, str::FromStr};

/// Where a component's bytes come from: a file, or an OCI registry.
///
/// ```
/// use lattice_host::artifact::ImageRef;
///
/// let file: ImageRef = "file:target/greeter.wasm".parse()?;
/// let tag: ImageRef = "oci:registry.example.com/team/greeter:1.0".parse()?;
/// let short: ImageRef = "registry.example.com/team/greeter:1.0".parse()?;
/// assert_eq!(tag, short);
/// assert_ne!(tag, file);
/// # Ok::<_, lattice_host::artifact::ImageRefError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum ImageRef {
    /// `file:` and a path, absolute or from the working directory of the process that reads it.
    File(PathBuf),
    /// `oci:registry/repository`, with a `:tag`, an `@sha256:…`, or both. `oci:` may be left out.
    Oci(OciRef),
}

/// An image in a registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OciRef {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// A text that is no image; each says what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageRefError {
    /// Nothing is there.
    #[error(
        "the image is empty: write `file:path/to/component.wasm` or `oci:registry/repository:tag`"
    )]
    Empty,
    /// A URL, or another kind of place.
    #[error(
        "`{text}` starts with `{scheme}`, which is none of `file:` and `oci:`: write `{}`",
        without(text, scheme)
    )]
    Scheme {
        /// The whole text.
        text: String,
        /// The part of it that can't be.
        scheme: String,
    },
    /// It looks like a path.
    #[error("`{text}` looks like a file: write `file:{text}`")]
    BarePath {
        /// The whole text.
        text: String,
    },
    /// `file:` without a path.
    #[error("`file:` has no path: write `file:path/to/component.wasm`")]
    NoPath,
    /// No host comes first.
    #[error("`{text}` doesn't name its registry: write `oci:registry.example.com/{text}`")]
    NoRegistry {
        /// The whole text, without `oci:`.
        text: String,
    },
    /// What comes first is no host.
    #[error(
        "`{registry}` is not a registry: write a host name, and a port if it has one, such as `registry.example.com:5000`"
    )]
    Registry {
        /// What comes first.
        registry: String,
    },
    /// What comes next is no repository.
    #[error(
        "`{repository}` is not a repository: write lower case letters, digits and single `.`, `_` or `-` between them, with `/` between parts"
    )]
    Repository {
        /// What comes between the registry and the tag.
        repository: String,
    },
    /// What follows `:` is no tag.
    #[error(
        "`{tag}` is not a tag: write 1 to 128 letters, digits, `.`, `_` and `-`, not starting with `.` or `-`"
    )]
    Tag {
        /// What follows the `:`.
        tag: String,
    },
    /// What follows `@` is no digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// It doesn't say which version.
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

impl FromStr for ImageRef {
    type Err = ImageRefError;

    fn from_str(text: &str) -> Result<Self, ImageRefError> {
        if text.is_empty() {
            return Err(ImageRefError::Empty);
        }
        if let Some((before, _)) = text.split_once("://") {
            let scheme = format!("{before}://");
            return Err(ImageRefError::Scheme {
                text: text.into(),
                scheme,
            });
        }
        if let Some(path) = text.strip_prefix("file:") {
            return if path.is_empty() {
                Err(ImageRefError::NoPath)
            } else {
                Ok(Self::File(path.into()))
            };
        }
        if let Some(reference) = text.strip_prefix("oci:") {
            return reference.parse().map(Self::Oci);
        }
        let path = text.starts_with(['.', '/', '~'])
            || [".wasm", ".wat"]
                .iter()
                .any(|ending| text.ends_with(ending));
        if path {
            return Err(ImageRefError::BarePath { text: text.into() });
        }
        text.parse().map(Self::Oci)
    }
}

impl FromStr for OciRef {
    type Err = ImageRefError;

    fn from_str(text: &str) -> Result<Self, ImageRefError> {
        if text.is_empty() {
            return Err(ImageRefError::Empty);
        }
        let registry = text
            .split_once('/')
            .filter(|(first, _)| is_host_like(first));
        let Some((registry, rest)) = registry else {
            return Err(ImageRefError::NoRegistry { text: text.into() });
        };
        if !is_registry(registry) {
            return Err(ImageRefError::Registry {
                registry: registry.into(),
            });
        }
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (rest, None),
        };
        let (repository, tag) = match rest.split_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (rest, None),
        };
        if !is_repository(repository) {
            return Err(ImageRefError::Repository {
                repository: repository.into(),
            });
        }
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(ImageRefError::Tag { tag: tag.into() });
        }
        if tag.is_none() && digest.is_none() {
            return Err(ImageRefError::NoVersion { text: text.into() });
        }
        Ok(Self {
            registry: registry.into(),
            repository: repository.into(),
            tag: tag.map(str::to_owned),
            digest,
        })
    }
}

impl OciRef {
    /// Host of the registry, and its port if one is given.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Path of the image within the registry.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, which may move.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest of the image's manifest, which can't change. Where it is given, the tag is only a remark.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The same, fixed to the manifest with this digest.
    pub fn pinned(&self, manifest: Digest) -> Self {
        Self {
            digest: Some(manifest),
            ..self.clone()
        }
    }
}

/// Whether somebody who wrote this in front of a `/` meant a host.
fn is_host_like(text: &str) -> bool {
    text == "localhost" || text.contains(['.', ':'])
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        // An IPv6 address has colons of its own, inside its brackets.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host_is_right = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(|label| {
            let edges = !label.starts_with('-') && !label.ends_with('-');
            (1..=63).contains(&label.len())
                && edges
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        }),
    };
    let digits = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let port_is_right =
        port.is_none_or(|port| digits(port) && port.parse::<u16>().is_ok_and(|port| port > 0));
    host.len() <= 253 && host_is_right && port_is_right
}

fn is_repository(text: &str) -> bool {
    text.len() <= 255 && text.split('/').all(is_repository_part)
}

/// Letters and digits, with separators only between them: `.`, `_`, `__`, or any number of `-`.
fn is_repository_part(part: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let separators = part.split(|char: char| char.is_ascii() && word(char as u8));
    let bytes = part.as_bytes();
    bytes.first().is_some_and(|byte| word(*byte))
        && bytes.last().is_some_and(|byte| word(*byte))
        && separators.into_iter().all(|between| {
            matches!(between, "" | "." | "_" | "__") || between.bytes().all(|byte| byte == b'-')
        })
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .enumerate()
            .all(|(at, byte)| word(byte) || (at > 0 && matches!(byte, b'.' | b'-')))
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Oci(reference) => write!(f, "oci:{reference}"),
        }
    }
}

/// Without `oci:`.
impl fmt::Display for OciRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl From<ImageRef> for String {
    fn from(image: ImageRef) -> Self {
        image.to_string()
    }
}

impl TryFrom<String> for ImageRef {
    type Error = ImageRefError;

    fn try_from(text: String) -> Result<Self, ImageRefError> {
        text.parse()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#[path = "image_tests.rs"]
mod tests;
