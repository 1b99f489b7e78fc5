//! Texts that are in a file or a variable of the machine, and not in the settings themselves.

use crate::{
    access::{allowed_path, allowed_variables, read_file},
    provider::Refusal,
};
use lattice_core::quantity::ByteSize;
use serde::Deserialize;
use std::{collections::BTreeMap, env, io, path::Path};
use zeroize::Zeroize as _;

/// The largest file that a text is read from. Keys and certificates are smaller.
const MAX_FILE: ByteSize = ByteSize::kib(64);

/// Returns the config of an actor with the texts of other places: a value `{ "file": "colour" }`
/// becomes what is in the file, and `{ "env": "SHOP_COLOUR" }` what is in the variable, each
/// without a line break at its end. Every other value stays what it is, also an object with other
/// entries.
///
/// This is how a host reads the config of the actors of an app when it starts them, in the
/// [`scope`](crate::Access::scope) of its [`Access`](crate::Access). Places are the same as those
/// of a [`Secret`](crate::Secret), and have the same limits. Blocks while the disk does.
///
/// ```
/// use lattice_provider_sdk::{Access, read_places};
/// use std::collections::BTreeMap;
///
/// let config = [("size", "7"), ("colour", r#"{ "env": "SHOP_COLOUR" }"#)];
/// let config = config.map(|(key, value)| (key.to_owned(), value.to_owned()));
/// let read = Access::none().scope(|| read_places(&BTreeMap::from(config)));
/// let refusal = read.expect_err("no variable may be named");
/// let says = "the value `colour` in the environment variable `SHOP_COLOUR` can't be read";
/// assert!(refusal.reason().starts_with(says));
/// ```
///
/// # Errors
/// Fails with a [`Refusal`] that names the value and its place, and says what to do, when the place
/// may not be named, isn't there, or can't be read. It never repeats what is there.
pub fn read_places(config: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Refusal> {
    let read = |(name, text): (&String, &String)| -> Result<(String, String), Refusal> {
        let text = match serde_json::from_str::<Place>(text) {
            Ok(place) => place
                .read(&format!("the value `{name}`"))
                .map_err(Refusal::new)?,
            Err(_) => text.clone(),
        };
        Ok((name.clone(), text))
    };
    config.iter().map(read).collect()
}

/// Where a text is.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Place {
    /// In the file with this path.
    File(String),
    /// In the variable with this name.
    Env(String),
}

impl Place {
    /// Reads the text, without a line break at its end. Fails with a reason, in which the text is
    /// called `what`.
    pub(crate) fn read(&self, what: &str) -> Result<String, String> {
        let (kind, name, read) = match self {
            Self::File(path) => ("file", path, from_file(path)),
            Self::Env(name) => ("environment variable", name, from_env(name)),
        };
        read.map_err(|reason| format!("{what} in the {kind} `{name}` can't be read: {reason}"))
    }
}

fn from_file(path: &str) -> Result<String, String> {
    let full = allowed_path(Path::new(path))?;
    let content = read_file(&full, MAX_FILE).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            "there is no such file on this machine; create it, or correct the path".to_owned()
        }
        _ => error.to_string(),
    })?;
    match String::from_utf8(content) {
        Ok(text) => Ok(without_line_break(text)),
        Err(error) => {
            error.into_bytes().zeroize();
            Err("it isn't valid UTF-8".to_owned())
        }
    }
}

fn from_env(name: &str) -> Result<String, String> {
    if name.to_uppercase().starts_with("LATTICE_") {
        return Err("such variables are the host's own".to_owned());
    }
    allowed_variables(name)?;
    match env::var(name) {
        Ok(text) => Ok(without_line_break(text)),
        // Its error has the content in it.
        Err(env::VarError::NotUnicode(_)) => Err("it isn't valid UTF-8".to_owned()),
        Err(env::VarError::NotPresent) => Err(
            "it isn't set; set it for the process of the host or provider, and start that again"
                .to_owned(),
        ),
    }
}

fn without_line_break(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Access;

    /// Returns what a value is after places were read.
    fn read(text: &str) -> Result<String, String> {
        let config = BTreeMap::from([("it".to_owned(), text.to_owned())]);
        let read = read_places(&config).map_err(|refusal| refusal.reason().to_owned());
        Ok(read?.remove("it").expect("it stays"))
    }

    #[test]
    fn only_a_place_is_read() {
        // Cargo sets this variable for tests.
        let name = read(r#"{ "env": "CARGO_PKG_NAME" }"#).expect("it is set");
        assert_eq!(name, env!("CARGO_PKG_NAME"));
        for text in [
            "",
            "7",
            "file",
            r#""env""#,
            "{}",
            r#"["env", "CARGO_PKG_NAME"]"#,
            r#"{ "env": 7 }"#,
            r#"{ "env": "CARGO_PKG_NAME", "file": "a" }"#,
            r#"{ "url": "CARGO_PKG_NAME" }"#,
            r#"{ "env": "CARGO_PKG_NAME" } "#.trim_end_matches([' ', '}']),
        ] {
            assert_eq!(read(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn a_place_is_read_in_the_bounds_of_the_access() {
        let none = Access::none();
        for (text, expected) in [
            (
                r#"{ "env": "CARGO_PKG_NAME" }"#,
                "doesn't let providers use variables",
            ),
            (r#"{ "file": "/etc/hostname" }"#, "use no files"),
        ] {
            let error = none.scope(|| read(text)).expect_err("not allowed");
            assert!(error.starts_with("the value `it` in the "), "{error}");
            assert!(error.contains(expected), "{error}");
        }
        let access = none.env("CARGO_PKG_");
        let name = access.scope(|| read(r#"{ "env": "CARGO_PKG_NAME" }"#));
        assert_eq!(name.as_deref(), Ok(env!("CARGO_PKG_NAME")));
        let own = Access::all().scope(|| read(r#"{ "env": "LATTICE_KEY" }"#));
        assert!(own.expect_err("the host's").contains("the host's own"));
    }

    #[test]
    fn what_is_missing_is_named_with_what_to_do() {
        for (text, expected) in [
            (r#"{ "env": "NO_SUCH_VARIABLE" }"#, "it isn't set; set it"),
            (
                r#"{ "file": "/no/such/file" }"#,
                "no such file on this machine; create it",
            ),
        ] {
            let error = read(text).expect_err("it is missing");
            assert!(
                error.contains("NO_SUCH") || error.contains("/no/such"),
                "{error}"
            );
            assert!(error.contains(expected), "{error}");
        }
    }
}
