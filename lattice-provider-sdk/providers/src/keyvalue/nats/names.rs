//! Names of buckets and keys, as NATS can have them.
//!
//! A key has letters, digits, `-`, `/`, `_` and dots that separate something. Every other byte is
//! `=` and two hexadecimal digits, and the empty key is `=`. So most keys are the same in NATS, and
//! the encoding of a key is never that of another.
//!
//! A bucket has letters, digits and `-`. Every other byte is `_` and two hexadecimal digits, and
//! the empty name is `_`.

use super::super::backend::Failure;
use std::fmt::Write as _;

/// Longest encoded name of a bucket. It is part of the name of a stream.
const MAX_BUCKET: usize = 200;

/// Returns a bucket's name in NATS.
pub(super) fn bucket(prefix: &str, name: &str) -> Result<String, Failure> {
    let mut encoded = String::from(prefix);
    if name.is_empty() {
        encoded.push('_');
    }
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            encoded.push(char::from(byte));
        } else {
            escape(&mut encoded, '_', byte);
        }
    }
    if encoded.len() > MAX_BUCKET {
        return Err(Failure::InvalidKey(format!(
            "the name of a bucket has at most {MAX_BUCKET} bytes in NATS, where every byte but letters, digits and `-` takes three; this one has {}",
            encoded.len()
        )));
    }
    Ok(encoded)
}

/// Returns a key in NATS.
pub(super) fn key(key: &str) -> String {
    if key.is_empty() {
        return "=".to_owned();
    }
    let bytes = key.as_bytes();
    let mut encoded = String::with_capacity(bytes.len());
    for (at, byte) in bytes.iter().copied().enumerate() {
        let is_plain = match byte {
            b'-' | b'/' | b'_' => true,
            b'.' => {
                let separates = |other: Option<&u8>| other.is_some_and(|other| *other != b'.');
                let before = at.checked_sub(1).and_then(|before| bytes.get(before));
                separates(before) && separates(bytes.get(at + 1))
            }
            byte => byte.is_ascii_alphanumeric(),
        };
        if is_plain {
            encoded.push(char::from(byte));
        } else {
            escape(&mut encoded, '=', byte);
        }
    }
    encoded
}

/// Returns the key with this encoding. `None` for what was written by others and isn't the encoding
/// of a key.
pub(super) fn decoded(encoded: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'=' && encoded.len() > 1 {
            let (digits, after) = rest.split_at_checked(2)?;
            let digits = std::str::from_utf8(digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = after;
        } else if byte != b'=' {
            bytes.push(byte);
        }
    }
    let decoded = String::from_utf8(bytes).ok()?;
    (key(&decoded) == encoded).then_some(decoded)
}

fn escape(encoded: &mut String, with: char, byte: u8) {
    // Writing to a string doesn't fail.
    let _ = write!(encoded, "{with}{byte:02X}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_an_encoding_of_its_own() {
        for (plain, expected) in [
            ("", "="),
            ("a", "a"),
            ("users/ada_1-x", "users/ada_1-x"),
            ("a.b", "a.b"),
            (".a", "=2Ea"),
            ("a.", "a=2E"),
            ("a..b", "a=2E=2Eb"),
            ("=", "=3D"),
            ("a b*>\0", "a=20b=2A=3E=00"),
            ("é", "=C3=A9"),
        ] {
            assert_eq!(key(plain), expected);
            assert_eq!(decoded(expected).as_deref(), Some(plain));
        }
        let all: String = (0..=0x2ff).filter_map(char::from_u32).collect();
        assert_eq!(decoded(&key(&all)), Some(all));
    }

    #[test]
    fn other_encodings_are_nobodys() {
        for encoded in [
            "=61", "a=", "a=2", "a=2e", "a=C3", "==", ".a", "a..b", "=+1",
        ] {
            assert_eq!(decoded(encoded), None, "{encoded}");
        }
    }

    #[test]
    fn buckets_are_told_apart_and_bounded() {
        for (name, expected) in [("", "kv-_"), ("a", "kv-a"), ("a_b.c", "kv-a_5Fb_2Ec")] {
            assert_eq!(bucket("kv-", name).as_deref(), Ok(expected));
        }
        let long = bucket("kv-", &"_".repeat(66)).expect_err("too long");
        assert!(matches!(long, Failure::InvalidKey(_)), "{long}");
    }
}
