//! Digests of images.

use super::text::as_text;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};
use std::{borrow::Cow, fmt, str::FromStr};

/// The SHA-256 digest of an image, written as `sha256:` and 64 hexadecimal digits. For a file it is
/// the digest of its bytes. For an artifact in a registry it is the digest of its manifest, as is
/// usual for registries.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageDigest([u8; 32]);

/// A text that isn't a valid digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` isn't a valid digest; write `sha256:` and 64 hexadecimal digits in lower case")]
pub struct DigestError {
    /// The text, cut to 80 characters.
    pub given: String,
}

impl ImageDigest {
    /// Returns the digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Returns its 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns its 64 hexadecimal digits, without `sha256:`.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
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
        // Upper case is refused, so that each digest has only one text.
        if digits.bytes().any(|digit| digit.is_ascii_uppercase()) {
            return Err(refuse());
        }
        let mut digest = [0; 32];
        hex::decode_to_slice(digits, &mut digest).map_err(|_| refuse())?;
        Ok(Self(digest))
    }
}

impl fmt::Display for ImageDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.to_hex())
    }
}

impl fmt::Debug for ImageDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

as_text!(ImageDigest);

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn digests_round_trip() {
        let digest = ImageDigest::of(b"");
        assert_eq!(digest.to_string(), EMPTY);
        assert_eq!(EMPTY.parse(), Ok(digest));
        let json = format!("\"{EMPTY}\"");
        assert_eq!(serde_json::to_string(&digest).expect("encodes"), json);
        assert_eq!(
            serde_json::from_str::<ImageDigest>(&json).expect("decodes"),
            digest
        );
    }

    #[test]
    fn invalid_digests_are_rejected() {
        for given in [
            String::new(),
            "sha256:".into(),
            EMPTY.to_uppercase(),
            EMPTY.replace("e3", "E3"),
            EMPTY.replace("sha256:", "sha512:"),
            EMPTY.replace("sha256:", ""),
            format!("{EMPTY}0"),
            EMPTY.replace('e', "é"),
            EMPTY.replace("e3", "g3"),
        ] {
            assert!(given.parse::<ImageDigest>().is_err(), "{given}");
        }
    }
}
