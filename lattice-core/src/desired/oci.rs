//! Names of artifacts in registries.

use super::image::{DigestError, ImageDigest, as_text};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{borrow::Cow, fmt, str::FromStr, sync::Arc};

/// An artifact in a registry: `registry[:port]/path[:tag][@sha256:…]`. Cheap to clone.
///
/// The registry is always named: there is no default one, so that nothing is ever fetched from where nobody meant.
///
/// ```
/// use lattice_core::desired::OciReference;
///
/// let reference: OciReference = "ghcr.io/shop/greeter:1.2".parse()?;
/// assert_eq!((reference.registry(), reference.repository(), reference.tag()), ("ghcr.io", "shop/greeter", Some("1.2")));
/// # Ok::<_, lattice_core::desired::OciReferenceError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OciReference {
    text: Arc<str>,
    /// Where the path begins, after the registry's `/`.
    path: usize,
    /// Where the tag's `:` is, or where the path ends.
    tag: usize,
    /// Where the digest's `@` is, or the end.
    at: usize,
}

/// A text that is no reference of a registry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OciReferenceError {
    /// A part of it breaks its rule.
    #[error(
        "`{given}` is no artifact in a registry; write it as `registry/path:tag`, for example `ghcr.io/shop/greeter:1.0`, in lower case"
    )]
    Malformed {
        /// The text, cut to 200 characters.
        given: String,
    },
    /// What follows `@` is no digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

/// Longest reference: 255 for registry and path, as registries have it, 128 for the tag, 71 for the digest.
const MAX: usize = 255 + 1 + 128 + 1 + 71;

impl OciReference {
    /// The registry's host name, with its port if it has one.
    pub fn registry(&self) -> &str {
        self.text.get(..self.path - 1).unwrap_or_default()
    }

    /// The path in the registry.
    pub fn repository(&self) -> &str {
        self.text.get(self.path..self.tag).unwrap_or_default()
    }

    /// The tag.
    pub fn tag(&self) -> Option<&str> {
        self.text.get(self.tag + 1..self.at)
    }

    /// The digest of the artifact's manifest: with it, the reference means the same for ever.
    pub fn digest(&self) -> Option<ImageDigest> {
        self.text.get(self.at + 1..)?.parse().ok()
    }

    /// The whole as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for OciReference {
    type Err = OciReferenceError;

    fn from_str(text: &str) -> Result<Self, OciReferenceError> {
        let refuse = || OciReferenceError::Malformed {
            given: text.chars().take(200).collect(),
        };
        let at = text.find('@').unwrap_or(text.len());
        if let Some(digest) = text.get(at + 1..) {
            digest.parse::<ImageDigest>()?;
        }
        let named = text.get(..at).unwrap_or_default();
        let path = named.find('/').ok_or_else(refuse)? + 1;
        let tag = named
            .get(path..)
            .and_then(|rest| rest.find(':'))
            .map_or(at, |tag| path + tag);
        let reference = Self {
            text: text.into(),
            path,
            tag,
            at,
        };
        let fits = text.len() <= MAX
            && is_registry(reference.registry())
            && reference.repository().split('/').all(is_path_part)
            && reference.tag().is_none_or(is_tag);
        if fits { Ok(reference) } else { Err(refuse()) }
    }
}

fn is_registry(text: &str) -> bool {
    let (host, port) = text
        .split_once(':')
        .map_or((text, None), |(h, p)| (h, Some(p)));
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    host.split('.').all(label) && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|p| p > 0))
}

fn is_path_part(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends = [text.bytes().next(), text.bytes().last()];
    ends.iter().all(|b| b.is_some_and(plain))
        && text
            .bytes()
            .all(|b| plain(b) || matches!(b, b'.' | b'_' | b'-'))
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

impl fmt::Display for OciReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for OciReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

as_text!(OciReference);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_have_their_parts() {
        let digest = ImageDigest::of(b"x");
        let pinned = format!("r.example/a/b:v1@{digest}");
        for (text, registry, repository, tag, pin) in [
            ("ghcr.io/a/b:1.0", "ghcr.io", "a/b", Some("1.0"), None),
            ("localhost:5000/a", "localhost:5000", "a", None, None),
            (
                &format!("r.example/a@{digest}"),
                "r.example",
                "a",
                None,
                Some(digest),
            ),
            (&pinned, "r.example", "a/b", Some("v1"), Some(digest)),
        ] {
            let found: OciReference = text.parse().expect(text);
            assert_eq!(
                (
                    found.registry(),
                    found.repository(),
                    found.tag(),
                    found.digest()
                ),
                (registry, repository, tag, pin),
                "{text}"
            );
        }
    }

    #[test]
    fn what_no_registry_has_is_refused() {
        for bad in [
            "",
            "a",
            "a/",
            "/a",
            "a//b",
            "a/B",
            "A/b",
            "a/b:",
            "a/b:-x",
            "a/b:x:y",
            "a/b@",
            "a/b@sha256:00",
            "a:0/b",
            "a:99999/b",
            "a/.b",
            "a/b c",
            "a/é",
            &format!("a/{}", "b".repeat(1_000)),
        ] {
            assert!(bad.parse::<OciReference>().is_err(), "{bad}");
        }
    }
}
