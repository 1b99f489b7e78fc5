//! What lets a request in: the token, which is shown to the person who starts the page, and the
//! session, which the browser gets in its place.

use crate::error::UiError;
use std::fmt;
use subtle::ConstantTimeEq as _;

/// Least length of a token that the caller chooses: 16 characters of hexadecimal digits take years
/// to guess at the rate that a page answers.
const LEAST: usize = 16;
/// Most characters of a token, which is part of an address.
const MOST: usize = 256;

/// A value that isn't guessed. It is compared in a time that doesn't depend on the contents.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

impl Token {
    /// Makes a random one: 32 bytes as hexadecimal digits.
    pub(crate) fn random() -> Result<Self, UiError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| UiError::NoRandomness {
            reason: error.to_string(),
        })?;
        Ok(Self(hex::encode(bytes)))
    }

    /// Checks one that was chosen.
    pub(crate) fn chosen(text: &str) -> Result<Self, UiError> {
        let is_plain =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
        if !(LEAST..=MOST).contains(&text.len()) || !text.bytes().all(is_plain) {
            return Err(UiError::BadToken);
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns whether this is the given text.
    pub(crate) fn is(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Omits the token.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_random_and_are_not_debugged() {
        let (one, other) = (
            Token::random().expect("random"),
            Token::random().expect("random"),
        );
        assert_ne!(one, other);
        assert_eq!(one.as_str().len(), 64);
        assert!(one.is(one.as_str()) && !one.is(other.as_str()) && !one.is(""));
        assert!(!format!("{one:?}").contains(one.as_str()));
    }

    #[test]
    fn a_chosen_token_is_long_and_fits_into_an_address() {
        assert!(Token::chosen("0123456789abcdef").is_ok());
        let long = "a".repeat(MOST + 1);
        for wrong in [
            "",
            "short",
            "0123456789abcde&",
            "0123456789 abcdef",
            "0123456789abcdéf",
            &long,
        ] {
            assert!(
                matches!(Token::chosen(wrong), Err(UiError::BadToken)),
                "{wrong}"
            );
        }
    }
}
