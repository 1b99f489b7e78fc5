//! Values from the environment and from files. An empty variable counts as unset, and no message
//! repeats a value, because it may be a misplaced secret.

use crate::failure::Failure;
use std::{
    env, fs,
    io::{self, IsTerminal as _, Read as _},
    path::Path,
};

/// The most bytes that a file with a secret may have.
const MAX_SECRET: u64 = 64 * 1024;

/// Returns the value of a variable, without what tools put around values; `None` if it is unset, or
/// empty.
pub(crate) fn variable(name: &str) -> Result<Option<String>, Failure> {
    let value = verbatim(name)?;
    let value = value.map(|value| bare(&value).to_owned());
    Ok(value.filter(|value| !value.is_empty()))
}

/// Returns the value of a variable with a password or a token, which may begin and end with any
/// character; `None` if it is unset, or has only white space. A line end behind it is left out: it
/// is that of the file from which the variable was made.
pub(crate) fn secret_variable(name: &str) -> Result<Option<String>, Failure> {
    let value = verbatim(name)?;
    let value = value.filter(|value| !value.trim().is_empty());
    Ok(value.map(|value| value.trim_end_matches(['\r', '\n']).to_owned()))
}

/// Returns a value without a byte order mark, white space and quotes around it. `docker run
/// --env-file` and others keep the quotes, which shells remove.
fn bare(value: &str) -> &str {
    let value = value.trim_start_matches('\u{feff}').trim();
    let quoted = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    quoted('"').or_else(|| quoted('\'')).unwrap_or(value).trim()
}

fn verbatim(name: &str) -> Result<Option<String>, Failure> {
    match env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => {
            Err(Failure::Usage(format!("the value of {name} isn't text")))
        }
    }
}

/// Returns whether a variable is set to `1` or a synonym of it.
pub(crate) fn switch(name: &str) -> Result<bool, Failure> {
    let value = variable(name)?.unwrap_or_default();
    match value.trim().to_ascii_lowercase().as_str() {
        "" | "0" | "false" | "no" | "off" => Ok(false),
        "1" | "true" | "yes" | "on" => Ok(true),
        _ => Err(Failure::Usage(format!(
            "{name} is neither on nor off; set it to `1` or `0`"
        ))),
    }
}

/// Returns the value of an option, or else of the variable with this name.
pub(crate) fn parsed<T>(
    given: Option<T>,
    name: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, Failure> {
    match (given, variable(name)?) {
        (None, Some(text)) => parse(text.trim())
            .map(Some)
            .map_err(|error| Failure::Usage(format!("{name}: {error}"))),
        (given, _) => Ok(given),
    }
}

/// Reads a secret from a file that `option` names, without the line end after it.
pub(crate) fn secret_in(option: &str, file: &Path) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    fs::File::open(file)
        .and_then(|file| file.take(MAX_SECRET).read_to_end(&mut bytes))
        .map_err(|error| unreadable(option, &error))?;
    let text = String::from_utf8(bytes).map_err(|_| {
        Failure::Usage(format!(
            "the file given with {option} isn't UTF-8 text; save it as plain text, without a byte order mark"
        ))
    })?;
    let text = text
        .trim_start_matches('\u{feff}')
        .trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(Failure::Usage(format!(
            "the file given with {option} is empty"
        )));
    }
    Ok(text.to_owned())
}

/// Returns a new secret, `what`: the value of the variable, or else what is piped to this command,
/// without the line end after it. A terminal is refused, because it would show what is typed.
pub(crate) fn new_secret(what: &str, variable: &str) -> Result<String, Failure> {
    if let Some(secret) = secret_variable(variable)? {
        return Ok(secret);
    }
    let stdin = io::stdin();
    let missing = || {
        Failure::Usage(format!(
            "there is no {what}; set {variable}, or pipe it to this command, as in `lattice … < file`"
        ))
    };
    if stdin.is_terminal() {
        return Err(missing());
    }
    let secret = secret_from(what, stdin.lock())?;
    secret.ok_or_else(missing)
}

/// Reads a secret to its end, and returns `None` if there is none.
fn secret_from(what: &str, from: impl io::Read) -> Result<Option<String>, Failure> {
    let mut bytes = Vec::new();
    from.take(MAX_SECRET)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::failed(format!("the {what} can't be read"), &error))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::Usage(format!("the {what} isn't UTF-8 text; pipe it as text")))?;
    let text = text
        .trim_start_matches('\u{feff}')
        .trim_end_matches(['\r', '\n']);
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// Fails if the file can't be opened.
pub(crate) fn readable(option: &str, file: &Path) -> Result<(), Failure> {
    match fs::File::open(file) {
        Ok(_) => Ok(()),
        Err(error) => Err(unreadable(option, &error)),
    }
}

/// The path isn't repeated, because a secret may have been given in its place by mistake.
pub(crate) fn unreadable(option: &str, error: &io::Error) -> Failure {
    Failure::Usage(format!(
        "the file given with {option} can't be read: {error}; give the path of a file"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_without_what_tools_put_around_them() {
        for value in [
            "a b",
            " a b\r\n",
            "\"a b\"",
            "'a b'\n",
            "\" a b \"",
            "\u{feff}a b",
            "\u{feff}\"a b\"",
        ] {
            assert_eq!(bare(value), "a b", "{value:?}");
        }
        for value in ["\"", "'", "\"a", "a'", "\"a'", "a\"b\"c"] {
            assert_eq!(bare(value), value);
        }
        for empty in ["", " \n", "\"\"", "''", "\u{feff}"] {
            assert_eq!(bare(empty), "", "{empty:?}");
        }
    }

    #[test]
    fn a_piped_secret_has_no_line_end_and_is_not_repeated() {
        let read = |bytes: &[u8]| secret_from("token", bytes);
        for bytes in [
            &b"s3cret"[..],
            b"s3cret\n",
            b"s3cret\r\n",
            "\u{feff}s3cret".as_bytes(),
        ] {
            assert_eq!(read(bytes), Ok(Some("s3cret".to_owned())));
        }
        assert_eq!(read(b" a b "), Ok(Some(" a b ".to_owned())));
        assert_eq!(read(b"\n"), Ok(None));
        let refused = read(b"s3cret\xff").expect_err("not text");
        assert!(!refused.to_string().contains("s3cret"), "{refused}");
    }
}
