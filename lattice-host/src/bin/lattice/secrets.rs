//! Hides secrets that were given in the wrong place on the command line, where messages repeat it.

use std::env;

/// The fewest characters of a word that may be a key or a token.
const LONG: usize = 32;
/// The fewest letters and digits in a row within such a word if it is shorter, or has other
/// characters.
const RANDOM: usize = 20;
/// The digits of a lattice key, and the characters of the seed of an nkey.
const KEY: usize = 64;
const SEED: usize = 58;

/// Returns the words of the command line.
pub(crate) fn words() -> impl Iterator<Item = String> {
    let words = env::args_os().skip(1);
    words.map(|word| word.to_string_lossy().into_owned())
}

/// Returns an error of the command line without the words that may contain a secret.
pub(crate) fn without_secrets(text: &str, words: impl Iterator<Item = String>) -> String {
    without(text, words, may_be_secret)
}

/// Returns a message without the words that are certainly a secret: a key, or a URL with a login or
/// with a query, which may have a signature. Others may be a name or a path that the message is
/// about.
pub(crate) fn without_logins(text: &str, words: impl Iterator<Item = String>) -> String {
    without(text, words, is_secret)
}

fn without(text: &str, words: impl Iterator<Item = String>, hides: fn(&str) -> bool) -> String {
    let mut text = text.to_owned();
    for word in words {
        let value = value_of(&word);
        if !hides(value) {
            continue;
        }
        text = text.replace(value, "…");
        // A URL in place of a path may be repeated with a single slash.
        if let Some((_, rest)) = value.split_once("://")
            && rest.contains('@')
        {
            text = text.replace(rest, "…");
        }
    }
    text
}

/// Returns the value of an option, or another word as it is.
fn value_of(word: &str) -> &str {
    match word.strip_prefix('-') {
        None => word,
        Some(long) if long.starts_with('-') => {
            word.split_once('=').map_or(word, |(_, value)| value)
        }
        Some(short) => {
            let mut value = short.chars();
            value.next();
            value.as_str().trim_start_matches('=')
        }
    }
}

/// URLs may have a password, and long words may be keys, seeds or tokens.
fn may_be_secret(word: &str) -> bool {
    let is_long = word.len() >= LONG
        && word
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_=+/".contains(&b));
    let mut parts = word.split(|c: char| !c.is_ascii_alphanumeric());
    let is_random = parts.any(|part| {
        part.len() >= RANDOM
            && part.bytes().any(|b| b.is_ascii_digit())
            && part.bytes().any(|b| b.is_ascii_alphabetic())
    });
    word.contains("://") || word.contains('@') || is_long || is_random
}

fn is_secret(word: &str) -> bool {
    let is_url = word
        .split_once("://")
        .is_some_and(|(_, rest)| rest.contains(['@', '?']));
    let word = word.trim();
    let is_key = word.len() == KEY && word.bytes().all(|b| b.is_ascii_hexdigit());
    let is_seed = word.len() == SEED
        && word.starts_with('S')
        && word
            .bytes()
            .all(|b| b.is_ascii_uppercase() || (b'2'..=b'7').contains(&b));
    let is_token = word.starts_with("eyJ") && word.matches('.').count() == 2;
    is_url || is_key || is_seed || is_token
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> impl Iterator<Item = String> {
        words.iter().map(|word| (*word).to_owned())
    }

    #[test]
    fn words_that_may_be_secrets_are_hidden_in_every_form() {
        let key = "0a".repeat(32);
        let token = "eyJhbGciOiJlZDI1NTE5In0.eyJqdGkiOiJYIn0.s3cret-s1gnature";
        for (word, text) in [
            ("nats://joe:s3cret@h", "`nats://joe:s3cret@h` is wrong"),
            ("--nat=nats://joe:s3cret@h", "nats://joe:s3cret@h is wrong"),
            ("-onats://joe:s3cret@h", "'nats://joe:s3cret@h' is wrong"),
            ("-o=nats://joe:s3cret@h", "'nats://joe:s3cret@h' is wrong"),
            ("-ojoe:s3cret@h", "'joe:s3cret@h' is wrong"),
            ("-o=joe:s3cret@h", "'joe:s3cret@h' is wrong"),
            // After other short options.
            ("-fonats://joe:s3cret@h", "'nats://joe:s3cret@h' is wrong"),
            ("joe:s3cret@h", "'joe:s3cret@h' is wrong"),
            (&key, &format!("'{key}' is wrong")),
            (token, &format!("'{token}' is wrong")),
            ("glpat-s3cretS3CRETs3cret42", "'glpat-s3cretS3CRETs3cret42'"),
        ] {
            let shown = without_secrets(text, words(&[word]));
            for part in ["s3cret", "0a0a", "eyJ"] {
                assert!(!shown.contains(part), "{word}: {shown}");
            }
            assert!(shown.contains('…'), "{word}: {shown}");
        }
        let path = "deploy/production/shop-with-a-long-name.toml";
        let text = format!("'{path}' is wrong");
        assert_eq!(without_secrets(&text, words(&[path, "", "-", "--"])), text);
    }

    #[test]
    fn only_certain_secrets_are_hidden_in_other_messages() {
        let key = "0a".repeat(32);
        let seed = format!("SU{}", "A2BC".repeat(14));
        let url = "nats://joe:s3cret@h:4222";
        let token = "eyJhbGciOiJlZDI1NTE5In0.eyJqdGkiOiJYIn0.s3cret";
        let signed = "https://shop.example/greeter.wasm?X-Amz-Signature=s3cret";
        for (word, text) in [
            (url, &*format!("`{url}` can't be read")),
            (url, "`/tmp/nats:/joe:s3cret@h:4222` can't be read"),
            (url, "`joe:s3cret@h:4222` can't be read"),
            (&key, &format!("`{key}` can't be read")),
            (&seed, &format!("`{seed}` can't be read")),
            (token, &format!("`{token}` can't be read")),
            (signed, &format!("`{signed}` can't be read")),
        ] {
            let shown = without_logins(text, words(&["up", word]));
            for part in ["s3cret", "0a0a", "A2BC"] {
                assert!(!shown.contains(part), "{word}: {shown}");
            }
            assert!(shown.ends_with("can't be read"), "{shown}");
        }
        for word in [
            "a:b/c@1.0.0",
            "ghcr.io/shop/greeter@sha256:0a0a",
            "target/wasm32-wasip2/release/front_desk.wasm",
            "https://shop.example/app.toml",
        ] {
            let text = format!("`{word}` can't be read");
            assert_eq!(without_logins(&text, words(&[word])), text);
        }
    }
}
