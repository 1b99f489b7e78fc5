//! Host names, in the one form in which they are compared.

use super::{MAX_HOST, WormholeRuleError, hosts::shortened};
use serde::Serialize;
use std::{borrow::Borrow, fmt, str::FromStr};

/// Longest label of a host name in bytes, as in DNS.
const MAX_LABEL: usize = 63;

/// A host name in the form in which names are compared: lower case, without a dot at the end.
///
/// ```
/// use lattice_core::wormhole::HostName;
///
/// let name: HostName = "Shop.Example.".parse()?;
/// assert_eq!(name.as_str(), "shop.example");
/// assert!("shop.example:80".parse::<HostName>().is_err());
/// # Ok::<_, lattice_core::wormhole::WormholeRuleError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct HostName(Box<str>);

impl HostName {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Brings a name of a record into this form. The rule isn't checked, because an older version
    /// may have had another one: its names are kept, and can be given up.
    pub(crate) fn of_record(name: &str) -> Self {
        let name = name.strip_suffix('.').unwrap_or(name);
        Self(name.to_ascii_lowercase().into())
    }

    /// Returns whether it has the form of those that are generated, also by versions with other
    /// words: two words and a number of four digits, as in `quiet-harbor-4821`.
    pub(crate) fn may_be_generated(&self) -> bool {
        let is_word =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
        let is_number =
            |part: &str| part.len() == 4 && part.bytes().all(|byte| byte.is_ascii_digit());
        let mut parts = self.0.split('-');
        matches!(
            (parts.next(), parts.next(), parts.next(), parts.next()),
            (Some(first), Some(second), Some(number), None)
                if is_word(first) && is_word(second) && is_number(number)
        )
    }

    /// Returns whether it follows the rule of DNS.
    fn is_valid(&self) -> bool {
        let is_label = |label: &str| {
            let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            let mut bytes = label.bytes();
            label.len() <= MAX_LABEL
                && bytes.next().is_some_and(is_plain)
                && bytes.next_back().is_none_or(is_plain)
                && bytes.all(|byte| is_plain(byte) || byte == b'-')
        };
        self.0.len() <= MAX_HOST && self.0.split('.').all(is_label)
    }
}

/// Parses a name in any case, with or without a dot at the end.
///
/// # Errors
/// Fails with [`WormholeRuleError::Host`] if it breaks the rule of DNS.
impl FromStr for HostName {
    type Err = WormholeRuleError;

    fn from_str(text: &str) -> Result<Self, WormholeRuleError> {
        let name = Self::of_record(text);
        if name.is_valid() {
            return Ok(name);
        }
        Err(WormholeRuleError::Host {
            host: shortened(name.as_str(), MAX_HOST),
        })
    }
}

impl Borrow<str> for HostName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<&str> for HostName {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_follow_the_rule_of_dns() {
        let long = format!("{}.example", "x".repeat(63));
        for (good, name) in [
            ("a", "a"),
            ("quiet-harbor-4821", "quiet-harbor-4821"),
            ("shop.example", "shop.example"),
            ("Shop.Example.", "shop.example"),
            ("0.1", "0.1"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            (&long, &long),
        ] {
            let parsed: HostName = good.parse().expect(good);
            assert_eq!(parsed, name);
        }
        let too_long = vec!["x".repeat(63); 4].join(".");
        for bad in [
            "",
            ".",
            "a..b",
            "-a",
            "a-",
            "a_b",
            "a b",
            "shop.example:80",
            "http://shop",
            "bücher.example",
            "*.example",
            &"x".repeat(64),
            &too_long,
        ] {
            let error = bad.parse::<HostName>().expect_err(bad);
            assert!(error.to_string().contains("shop.example"), "{error}");
        }
        assert_eq!(HostName::of_record("A_b."), "a_b", "of an older version");
    }

    #[test]
    fn names_that_may_be_generated_have_two_words_and_a_number() {
        let may_be = |name: &str| HostName::of_record(name).may_be_generated();
        for name in ["quiet-harbor-4821", "a-b-0000"] {
            assert!(may_be(name), "{name}");
        }
        for name in [
            "shop.example",
            "quiet-harbor",
            "quiet-harbor-482",
            "quiet-harbor-48210",
            "quiet-harbor-4821-x",
            "quiet-harbor-4821.example",
            "quiet--4821",
            "quiet2-harbor-4821",
            "",
        ] {
            assert!(!may_be(name), "{name}");
        }
    }
}
