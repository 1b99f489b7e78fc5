//! References to artifacts in registries.

use super::{
    digest::ImageDigest,
    image::{ImageError, cut},
    text::as_text,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{borrow::Cow, fmt, str::FromStr, sync::Arc};

/// An artifact in a registry: `registry[:port]/repository`, with a `:tag`, an `@sha256:…`, or both.
/// Cheap to clone.
///
/// The registry must always be named. There is no default registry, so nothing is ever fetched from
/// an unintended place. The version must always be named, too.
///
/// ```
/// use lattice_core::desired::OciReference;
///
/// let reference: OciReference = "ghcr.io/shop/greeter:1.2".parse()?;
/// assert_eq!((reference.registry(), reference.repository()), ("ghcr.io", "shop/greeter"));
/// assert_eq!(reference.tag(), Some("1.2"));
/// # Ok::<_, lattice_core::desired::ImageError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OciReference {
    registry: Arc<str>,
    repository: Arc<str>,
    tag: Option<Arc<str>>,
    digest: Option<ImageDigest>,
}

impl FromStr for OciReference {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        if text.is_empty() {
            return Err(ImageError::Empty);
        }
        if has_login(text) {
            return Err(ImageError::Login);
        }
        let registry = text
            .split_once('/')
            .filter(|(first, _)| is_host_like(first));
        let Some((registry, rest)) = registry else {
            return Err(ImageError::NoRegistry { text: cut(text) });
        };
        if !is_registry(registry) {
            return Err(ImageError::Registry {
                registry: cut(registry),
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
            return Err(ImageError::Repository {
                repository: cut(repository),
            });
        }
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(ImageError::Tag { tag: cut(tag) });
        }
        if tag.is_none() && digest.is_none() {
            return Err(ImageError::NoVersion { text: cut(text) });
        }
        Ok(Self {
            registry: registry.into(),
            repository: repository.into(),
            tag: tag.map(Into::into),
            digest,
        })
    }
}

impl OciReference {
    /// Returns the host of the registry, with its port if one is given.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Returns the path of the image within the registry.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Returns the tag, which may move.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Returns the digest of the image's manifest, which can't change. If there is a digest, the
    /// tag is only informative.
    pub fn digest(&self) -> Option<ImageDigest> {
        self.digest
    }

    /// Returns the same reference, fixed to the manifest with this digest.
    pub fn pinned(&self, manifest: ImageDigest) -> Self {
        Self {
            digest: Some(manifest),
            ..self.clone()
        }
    }
}

/// Returns whether a text in front of the first `/` is most likely meant as a host.
fn is_host_like(text: &str) -> bool {
    text == "localhost" || text.contains(['.', ':'])
}

/// Returns whether the name of an image begins with a user, which may have a password. A digest
/// follows the only `@` of a name, behind a registry.
pub(super) fn has_login(text: &str) -> bool {
    let Some((before, after)) = text.split_once('@') else {
        return false;
    };
    let begins_with_registry = || {
        let first = before.split('/').next().unwrap_or_default();
        before.contains('/') && is_host_like(first) && is_registry(first)
    };
    let may_be_digest = after.starts_with("sha256:") || begins_with_registry();
    after.contains(['/', '@']) || !may_be_digest
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

/// Returns whether a text has only letters and digits, with separators only between them: `.`, `_`,
/// `__`, or any number of `-`.
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

pub(super) fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .enumerate()
            .all(|(at, byte)| word(byte) || (at > 0 && matches!(byte, b'.' | b'-')))
}

/// The text without `oci:`.
impl fmt::Display for OciReference {
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

impl fmt::Debug for OciReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

as_text!(OciReference);
