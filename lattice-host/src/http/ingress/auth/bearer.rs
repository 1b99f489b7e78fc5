//! Tokens.

use http::HeaderValue;
use lattice_core::wormhole::TokenHash;

/// Separates these hashes from all others.
const PURPOSE: &str = "lattice wormhole token, salted, version 1";

/// Hashes a token for a wormhole, with a new salt: `salt:hash`, both in hexadecimal.
///
/// The hash is fast, so use long random tokens. For passwords of people, use
/// [`hash_password`](super::hash_password).
///
/// ```
/// let hash = lattice_host::http::hash_token("q7Xn2m0vT5bq8r1kGZ4c");
/// assert_eq!(hash.split_once(':').map(|(salt, hash)| (salt.len(), hash.len())), Some((32, 64)));
/// ```
///
/// # Panics
/// Panics if the operating system has no random bytes.
pub fn hash_token(token: &str) -> String {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).expect("the operating system has random bytes");
    let salt = data_encoding::HEXLOWER.encode(&salt);
    let hash = salted(&salt, token.as_bytes());
    format!("{salt}:{}", hash.to_hex())
}

/// Returns the value that asks for a token.
pub(super) fn challenge(had_token: bool) -> HeaderValue {
    HeaderValue::from_static(if had_token {
        r#"Bearer realm="restricted", error="invalid_token""#
    } else {
        r#"Bearer realm="restricted""#
    })
}

/// Returns whether it is one of the tokens. The time that this takes doesn't depend on which.
pub(super) fn is_known(token: &[u8], tokens: &[TokenHash]) -> bool {
    let mut is_known = false;
    for known in tokens {
        let hash = known.as_str().rsplit_once(':').map(|(_, hash)| hash);
        let hash = hash.and_then(|hash| blake3::Hash::from_hex(hash).ok());
        // The comparison of these hashes takes constant time.
        is_known |= hash.is_some_and(|hash| hash == salted(known.salt(), token));
    }
    is_known
}

fn salted(salt: &str, token: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_derive_key(PURPOSE);
    hasher.update(&(salt.len() as u64).to_le_bytes());
    hasher.update(salt.as_bytes());
    hasher.update(token);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_token_passes_and_no_other() {
        let hash = |token: &str| hash_token(token).parse().expect("a hash");
        let tokens: Vec<TokenHash> = vec![hash("one"), hash("two")];
        for (token, passes) in [
            ("one", true),
            ("two", true),
            ("three", false),
            ("", false),
            ("one ", false),
        ] {
            assert_eq!(is_known(token.as_bytes(), &tokens), passes, "{token}");
        }
        assert!(!is_known(b"one", &[]));
        assert_ne!(hash_token("one"), hash_token("one"), "the salts differ");
    }

    #[test]
    fn the_salt_is_not_part_of_the_token() {
        assert_ne!(salted("ab", b"c"), salted("a", b"bc"));
    }
}
