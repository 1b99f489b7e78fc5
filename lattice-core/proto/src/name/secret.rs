//! Names of secrets.

use super::{NameError, text::text};
use std::sync::Arc;

const RULE: &str =
    "use 1 to 253 letters of ASCII, digits, `.`, `-` and `_`, and don't start with a `.`";
const MAX: usize = 253;

/// The name of a secret in the lattice's store, such as `db.password`. It may also be the name of a
/// file and, with other separators, of a variable.
///
/// 1 to 253 letters of ASCII, digits, `.`, `-` and `_`, and not a `.` at the start. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName(Arc<str>);
text!(SecretName);

impl SecretName {
    /// Parses a name.
    ///
    /// # Errors
    /// Fails with a [`NameError`] that states the rule.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        let is_name = (1..=MAX).contains(&text.len())
            && !text.starts_with('.')
            && text.bytes().all(is_allowed);
        if is_name {
            Ok(Self(text.into()))
        } else {
            Err(NameError::new("secret", text, RULE))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_follow_their_rule() {
        let longest = "x".repeat(MAX);
        for good in ["a", "db.password", "API_KEY-2", "7", "-", &longest] {
            assert_eq!(SecretName::new(good).expect(good).as_str(), good);
        }
        let longer = "x".repeat(MAX + 1);
        for bad in [
            "", ".", "..", ".a", "a/b", "a b", "a\0", "\u{e9}", "a*", &longer,
        ] {
            let error = SecretName::new(bad).expect_err(bad).to_string();
            assert!(error.contains("1 to 253"), "{error}");
        }
    }

    #[test]
    fn a_value_in_place_of_a_name_is_not_repeated() {
        for value in [
            "postgres://ada:enigma@db/shop",
            &format!("{}=", "0a".repeat(20)),
        ] {
            let error = SecretName::new(value).expect_err(value);
            assert_eq!(error.given, "…");
        }
    }
}
