//! The credentials that a registry requires, as its responses state them.

use std::collections::BTreeMap;

/// The supported ways to authenticate.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// With user and password.
    Basic,
    /// With a token from a token service.
    Bearer {
        /// URL of the token service.
        realm: String,
        /// The name of the registry at the token service.
        service: Option<String>,
    },
}

impl Challenge {
    /// Reads the `WWW-Authenticate` headers of a response. They are untrusted. Returns the first
    /// one for a token, or else one for user and password.
    pub(super) fn read<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut basic = None;
        for (scheme, mut values) in headers.flat_map(schemes) {
            match (scheme.as_str(), values.remove("realm")) {
                ("bearer", Some(realm)) => {
                    let service = values.remove("service");
                    return Some(Self::Bearer { realm, service });
                }
                ("basic", _) => basic = Some(Self::Basic),
                _ => {}
            }
        }
        basic
    }
}

/// Returns the schemes of a header, each with its parameters. Names are in lower case.
fn schemes(header: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let mut found: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    let mut rest = header.trim_start_matches(is_separator);
    while !rest.is_empty() {
        let end = rest
            .find(|char| char == '=' || is_separator(char))
            .unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let word = word.to_ascii_lowercase();
        rest = if let Some(value) = after.strip_prefix('=') {
            let (value, after) = read_value(value);
            if let Some((_, values)) = found.last_mut() {
                values.entry(word).or_insert(value);
            }
            after
        } else {
            found.push((word, BTreeMap::new()));
            after
        };
        rest = rest.trim_start_matches(is_separator);
    }
    found
}

fn is_separator(char: char) -> bool {
    char == ',' || char.is_whitespace()
}

/// Reads a value, in quotes or not. Returns it with the text after it.
fn read_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(is_separator).unwrap_or(text.len());
        let (value, after) = text.split_at(end);
        return (value.to_owned(), after);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return (value, quoted.get(at + 1..).unwrap_or_default()),
            '\\' => value.extend(chars.next().map(|(_, char)| char)),
            char => value.push(char),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[expect(clippy::unnecessary_wraps, reason = "compared with a result")]
    fn bearer(realm: &str, service: Option<&str>) -> Option<Challenge> {
        Some(Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(ToOwned::to_owned),
        })
    }

    #[test]
    fn challenges_of_real_registries_are_parsed() {
        for (headers, expected) in [
            (
                &[
                    r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a:pull,push""#,
                ][..],
                bearer("https://auth.docker.io/token", Some("registry.docker.io")),
            ),
            (
                &[r#"bearer Realm="https://a/t" , Service=b"#],
                bearer("https://a/t", Some("b")),
            ),
            (&[r#"Basic realm="Registry Realm""#], Some(Challenge::Basic)),
            (&["Basic"], Some(Challenge::Basic)),
            (
                &[r#"Basic realm="a", Bearer realm="https://b""#],
                bearer("https://b", None),
            ),
            (
                &[r#"Basic realm="a""#, r#"Bearer realm="https://b""#],
                bearer("https://b", None),
            ),
            (
                &[r#"Bearer realm="https://a/\"b""#],
                bearer("https://a/\"b", None),
            ),
            (&[r#"Bearer realm="https://a"#], bearer("https://a", None)),
            (&["Bearer service=a"], None),
            (&["Negotiate", ""], None),
            (&["realm=a", "=", "\"", ",,"], None),
        ] {
            let read = Challenge::read(headers.iter().copied());
            assert_eq!(read, expected, "{headers:?}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_parsed_without_a_panic(header in "[Bb]?[ -~é]{0,60}") {
            let _ = Challenge::read([&*header].into_iter());
        }
    }
}
