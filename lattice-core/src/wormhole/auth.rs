//! Authentication of the requests of a wormhole.

use super::WormholeRuleError;
use crate::name::{ComponentId, LinkName};
use serde::{Deserialize, Deserializer, Serialize, de};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// Longest hash in bytes: several times what hashes have.
const MAX_HASH: usize = 512;
/// Shortest and longest salt of a token's hash, in bytes of its text.
const SALT: std::ops::RangeInclusive<usize> = 8..=128;
/// Most users or tokens of one wormhole. What has more needs a verifier.
pub(super) const MAX_ENTRIES: usize = 256;

/// The requests that a wormhole lets through. Passwords and tokens are kept only as salted hashes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum WormholeAuth {
    /// Users with passwords, in the header `Authorization: Basic …`.
    Basic {
        /// The hashes of their passwords, by name.
        users: BTreeMap<String, PasswordHash>,
    },
    /// Requests with one of these tokens, in the header `Authorization: Bearer …`.
    Bearer {
        /// The hashes of the tokens.
        tokens: Vec<TokenHash>,
    },
    /// Requests that an actor accepts. It is called with the head of each request through
    /// `lattice:http/verifier`.
    Verifier {
        /// The actor.
        actor: ComponentId,
        /// The name of the link, which a provider that verifies requests is told.
        #[serde(default)]
        link: LinkName,
    },
}

/// The salted hash of a password: an argon2 hash in the PHC format, `$argon2id$…`.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct PasswordHash(String);

/// The salted hash of a token: a salt, a colon, and 64 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct TokenHash(String);

/// Why a text isn't the hash of a password or of a token. The text isn't repeated, because it may
/// be the password itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this isn't the hash of a {what}; make it with `{command}`, and write what that prints")]
pub struct HashError {
    what: &'static str,
    command: &'static str,
}

impl WormholeAuth {
    /// Returns the name of its kind: `basic`, `bearer` or `verifier`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Basic { .. } => "basic",
            Self::Bearer { .. } => "bearer",
            Self::Verifier { .. } => "verifier",
        }
    }

    /// Returns the actor that decides, if one does.
    pub fn verifier(&self) -> Option<&ComponentId> {
        match self {
            Self::Verifier { actor, .. } => Some(actor),
            Self::Basic { .. } | Self::Bearer { .. } => None,
        }
    }

    /// Returns the name of the link by which the actor that decides is called, if one does.
    pub fn verifier_link(&self) -> Option<&LinkName> {
        match self {
            Self::Verifier { link, .. } => Some(link),
            Self::Basic { .. } | Self::Bearer { .. } => None,
        }
    }

    /// Checks that somebody is let through, and not too many by name.
    pub(crate) fn check(&self) -> Result<(), WormholeRuleError> {
        let (entries, what) = match self {
            Self::Basic { users } => {
                let is_bad = |user: &&String| {
                    user.is_empty() || user.contains(|c: char| c == ':' || c.is_control())
                };
                if let Some(user) = users.keys().find(is_bad) {
                    return Err(WormholeRuleError::User { user: user.clone() });
                }
                (users.len(), "users")
            }
            Self::Bearer { tokens } => (tokens.len(), "tokens"),
            Self::Verifier { .. } => return Ok(()),
        };
        match entries {
            0 => Err(WormholeRuleError::NoneAllowed { what }),
            1..=MAX_ENTRIES => Ok(()),
            _ => Err(WormholeRuleError::TooManyAllowed {
                what,
                limit: MAX_ENTRIES,
            }),
        }
    }
}

impl PasswordHash {
    /// Returns the hash as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TokenHash {
    /// Returns the hash as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the salt.
    pub fn salt(&self) -> &str {
        self.0.split_once(':').map_or("", |(salt, _)| salt)
    }
}

impl FromStr for PasswordHash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let parts = text.split('$').count();
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        let fits = text.len() <= MAX_HASH && parts >= 5 && is_plain;
        if fits && text.starts_with("$argon2") {
            return Ok(Self(text.to_owned()));
        }
        Err(HashError {
            what: "password",
            command: "lattice wormhole hash",
        })
    }
}

impl FromStr for TokenHash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let is_digest = |digest: &str| {
            let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            digest.len() == 64 && digest.bytes().all(is_digit)
        };
        let is_salt = |salt: &str| {
            SALT.contains(&salt.len()) && salt.bytes().all(|byte| byte.is_ascii_graphic())
        };
        match text.split_once(':') {
            Some((salt, digest)) if is_salt(salt) && is_digest(digest) => Ok(Self(text.to_owned())),
            _ => Err(HashError {
                what: "token",
                command: "lattice wormhole hash --token",
            }),
        }
    }
}

macro_rules! hash {
    ($name:ident) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = String::deserialize(from)?;
                text.parse().map_err(de::Error::custom)
            }
        }

        // The hash is kept out of logs: who has it may try passwords at leisure.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
}

hash!(PasswordHash);
hash!(TokenHash);
