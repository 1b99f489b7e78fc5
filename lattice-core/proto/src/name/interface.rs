//! WIT interface and function names.

use super::{NameError, text::text};
use semver::Version;
use std::sync::Arc;

const INTERFACE_RULE: &str =
    "write it as `namespace:package/interface@version`, for example `wasi:keyvalue/store@0.2.0`";
const FUNCTION_RULE: &str =
    "use a WIT label: words of letters and digits joined by `-`, for example `list-keys`";
/// Longest name in bytes. Keys and subjects have a length limit, and no person or tool writes
/// longer names.
const MAX: usize = 128;

/// A WIT interface: `ns:pkg/iface@version`. Equality is exact; [`compat`](Self::compat) and
/// [`is_compatible`](Self::is_compatible) follow semantic versioning. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceName(Arc<str>);
text!(InterfaceName);

impl InterfaceName {
    /// Parses `ns:pkg/iface@version`; the version may be left out.
    ///
    /// # Errors
    /// Fails with a [`NameError`] that states the rule.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let refuse = || NameError::new("interface", text, INTERFACE_RULE);
        let (path, version) = match text.split_once('@') {
            Some((path, version)) => (path, Some(version)),
            None => (text, None),
        };
        let (namespace, rest) = path.split_once(':').ok_or_else(refuse)?;
        let (package, interface) = rest.split_once('/').ok_or_else(refuse)?;
        let labels = [namespace, package, interface]
            .iter()
            .all(|part| is_wit_label(part));
        let version_ok = version.is_none_or(|v| Version::parse(v).is_ok());
        if labels && version_ok && text.len() <= MAX {
            Ok(Self(text.into()))
        } else {
            Err(refuse())
        }
    }

    /// Returns namespace, package and interface without the version: `wasi:keyvalue/store`.
    pub fn path(&self) -> &str {
        self.0.split_once('@').map_or(&*self.0, |(path, _)| path)
    }

    /// Returns the version, if the name has one.
    pub fn version(&self) -> Option<Version> {
        let (_, version) = self.0.split_once('@')?;
        Version::parse(version).ok()
    }

    /// Returns the name with its compatible version, which is the same for all versions that can
    /// replace each other: `wasi:keyvalue/store@0.2` for `0.2.0` and `0.2.7`, `a:b/c@1` for `1.x`.
    /// A pre-release is compatible only with itself.
    pub fn compat(&self) -> String {
        match self.version() {
            None => self.path().to_owned(),
            Some(v) if !v.pre.is_empty() => format!(
                "{}@{}.{}.{}-{}",
                self.path(),
                v.major,
                v.minor,
                v.patch,
                v.pre
            ),
            Some(Version {
                major: 0,
                minor: 0,
                patch,
                ..
            }) => format!("{}@0.0.{patch}", self.path()),
            Some(Version {
                major: 0, minor, ..
            }) => format!("{}@0.{minor}", self.path()),
            Some(Version { major, .. }) => format!("{}@{major}", self.path()),
        }
    }

    /// Returns whether one can replace the other by semantic versioning.
    pub fn is_compatible(&self, other: &Self) -> bool {
        self == other || self.compat() == other.compat()
    }
}

/// The name of a function in a WIT interface. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionName(Arc<str>);
text!(FunctionName);

impl FunctionName {
    /// Parses a WIT label, or the name of a function of a resource: `[constructor]bucket`,
    /// `[method]bucket.get` or `[static]bucket.open`.
    ///
    /// # Errors
    /// Fails with a [`NameError`] that states the rule.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if is_function(text) && text.len() <= MAX {
            Ok(Self(text.into()))
        } else {
            Err(NameError::new("function", text, FUNCTION_RULE))
        }
    }
}

/// A label, or the name of a function of a resource.
fn is_function(text: &str) -> bool {
    let Some((kind, name)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) else {
        return is_wit_label(text);
    };
    match (kind, name.split_once('.')) {
        ("constructor", None) => is_wit_label(name),
        ("method" | "static", Some((resource, function))) => {
            is_wit_label(resource) && is_wit_label(function)
        }
        _ => false,
    }
}

/// Words of one case each, joined by single `-`; the first starts with a letter.
fn is_wit_label(text: &str) -> bool {
    let word = |w: &str| {
        !w.is_empty()
            && (w
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
                || w.bytes()
                    .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()))
    };
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.split('-').all(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> InterfaceName {
        InterfaceName::new(text).expect(text)
    }

    #[test]
    fn versions_match_by_semver_compatibility() {
        for (a, b, compatible) in [
            ("a:b/c@0.2.0", "a:b/c@0.2.1", true),
            ("a:b/c@0.2.0", "a:b/c@0.3.0", false),
            ("a:b/c@1.0.0", "a:b/c@1.9.3", true),
            ("a:b/c@1.0.0", "a:b/c@2.0.0", false),
            ("a:b/c@0.0.1", "a:b/c@0.0.2", false),
            ("a:b/c@0.2.0-rc.1", "a:b/c@0.2.0", false),
            ("a:b/c", "a:b/c", true),
            ("a:b/c", "a:b/c@1.0.0", false),
            ("a:b/c@1.0.0", "a:b/d@1.0.0", false),
        ] {
            assert_eq!(name(a).is_compatible(&name(b)), compatible, "{a} {b}");
        }
        assert_eq!(
            name("wasi:keyvalue/store@0.2.7").compat(),
            "wasi:keyvalue/store@0.2"
        );
        assert_eq!(
            name("wasi:keyvalue/store@0.2.7").path(),
            "wasi:keyvalue/store"
        );
    }

    #[test]
    fn names_follow_their_rule() {
        for bad in [
            "",
            "a",
            "a:b",
            "a/b",
            "a:b/c@",
            "a:b/c@1",
            "a:b/c@x",
            "A b:c/d",
            "a:b/c/d",
            "a:b/-c",
            "a:b/c--d",
            "a:b/c@1.0.0@2",
        ] {
            assert!(InterfaceName::new(bad).is_err(), "{bad}");
        }
        assert!(InterfaceName::new(&format!("a:b/{}", "c".repeat(200))).is_err());
        let of_resources = [
            "[constructor]bucket",
            "[method]bucket.get",
            "[static]bucket.open-all",
        ];
        for good in ["get", "list-keys", "HTTP-get", "f2"]
            .iter()
            .chain(&of_resources)
        {
            assert!(FunctionName::new(good).is_ok(), "{good}");
        }
        let of_no_resource = [
            "[constructor]bucket.get",
            "[method]bucket",
            "[method]bucket.get.all",
            "[other]bucket.get",
            "[]get",
            "[method]",
            "[methodbucket.get",
            "bucket.get",
        ];
        for bad in ["", "1a", "a_b", "a--b", "Ab", "-a", "a-"]
            .iter()
            .chain(&of_no_resource)
        {
            assert!(FunctionName::new(bad).is_err(), "{bad}");
        }
    }
}
