//! Strings that are never printed.

use crate::place::Place;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use zeroize::{Zeroize as _, ZeroizeOnDrop};

/// What is shown in place of a secret.
const HIDDEN: &str = "***";

/// A string that is never printed, such as a password: `Debug`, `Display` and `Serialize` show
/// `***`. Its memory is overwritten when it is dropped.
///
/// In a config it is the string itself, or says where the string is, as `{ "file": "/run/db" }` or
/// `{ "env": "DB_PASSWORD" }` do. A file or variable is read when the config is parsed, without a
/// line break at its end. A file has at most 64 KiB. An error names the file or the variable, and
/// never the content. Variables whose names start with `LATTICE_` and files below `/proc`, `/sys`
/// and `/dev` can't be read: the key of the host is there, and a config may come from an app. In
/// the settings of an app, a secret may only be where the host's [`Access`](crate::Access) lets it
/// be, and the config of a link can't name files and variables at all.
///
/// ```
/// use lattice_provider_sdk::Secret;
///
/// #[derive(Debug, serde::Deserialize)]
/// struct Config {
///     user: String,
///     password: Secret,
/// }
///
/// let config: Config = serde_json::from_str(r#"{ "user": "ada", "password": "enigma" }"#)?;
/// assert_eq!(config.password.expose(), "enigma");
/// assert_eq!(format!("{config:?}"), r#"Config { user: "ada", password: *** }"#);
/// # Ok::<_, serde_json::Error>(())
/// ```
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Creates a secret from the string itself.
    pub fn new(secret: String) -> Self {
        Self(secret)
    }

    /// Returns the string. Keep it out of logs and errors.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl ZeroizeOnDrop for Secret {}

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self(secret)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(HIDDEN)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(SecretVisitor)
    }
}

/// The name of the entry that says where a secret is.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Entry {
    File,
    Env,
}

struct SecretVisitor;

impl<'de> de::Visitor<'de> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a secret, or an object with `file` or `env`, which says where it is")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
        Ok(Secret(text.to_owned()))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Secret, E> {
        Ok(Secret(text))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
        let one = "a secret's place is one entry: `file` with a path, or `env` with a name";
        let Some(entry) = map.next_key::<Entry>()? else {
            return Err(de::Error::custom(one));
        };
        let name = map.next_value::<String>()?;
        if map.next_key::<de::IgnoredAny>()?.is_some() {
            return Err(de::Error::custom(one));
        }
        let place = match entry {
            Entry::File => Place::File(name),
            Entry::Env => Place::Env(name),
        };
        let text = place.read("the secret");
        text.map(Secret).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::env;

    fn parse(json: &str) -> Result<Secret, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn a_secret_is_never_printed() {
        let secret = parse(r#""enigma""#).expect("a secret");
        assert_eq!(secret.expose(), "enigma");
        assert_eq!(format!("{secret} {secret:?} {secret:#?}"), "*** *** ***");
        let json = serde_json::to_string(&secret).expect("JSON");
        assert_eq!(json, r#""***""#);
    }

    #[test]
    fn a_secret_is_read_from_a_file_without_its_last_line_break() {
        for (content, secret) in [
            ("enigma\n", "enigma"),
            ("enigma\r\n", "enigma"),
            ("two\nlines\n\n", "two\nlines\n"),
            ("", ""),
        ] {
            let path = env::temp_dir().join(format!("lattice-secret-{}", std::process::id()));
            std::fs::write(&path, content).expect("written");
            let place = serde_json::json!({ "file": path });
            let read = parse(&place.to_string()).expect("read");
            std::fs::remove_file(&path).expect("removed");
            assert_eq!(read.expose(), secret);
        }
    }

    #[test]
    fn a_secret_that_cannot_be_read_is_named_by_its_place() {
        for (json, expected) in [
            (r#"{ "file": "/no/such/file" }"#, "`/no/such/file`"),
            (r#"{ "file": "/" }"#, "it isn't a regular file"),
            (
                r#"{ "env": "NO_SUCH_VARIABLE" }"#,
                "`NO_SUCH_VARIABLE` can't be read: it isn't set",
            ),
            (r#"{ "env": "LATTICE_KEY" }"#, "the host's own"),
            (r#"{ "env": "Lattice_Key" }"#, "the host's own"),
            ("{}", "one entry"),
            (r#"{ "env": "PATH", "file": "/" }"#, "one entry"),
            (r#"{ "path": "/" }"#, "unknown variant `path`"),
            ("7", "expected a secret"),
        ] {
            let error = parse(json).expect_err(json).to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_environment_is_not_read_as_a_file() {
        for path in ["/proc/self/environ", "/dev/../proc/self/environ"] {
            let json = serde_json::json!({ "file": path }).to_string();
            let error = parse(&json).expect_err(path).to_string();
            assert!(error.contains("are the system's"), "{error}");
        }
    }
}
