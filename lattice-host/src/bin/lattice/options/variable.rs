//! Values from the environment and from files. An empty variable counts as unset, and no message
//! repeats a value, because it may be a misplaced secret.

use crate::failure::Failure;
use std::{
    env, fs,
    io::{self, Read as _},
    path::Path,
};

/// The most bytes that a file with a secret may have.
const MAX_SECRET: u64 = 64 * 1024;

/// Returns the value of a variable; `None` if it is unset, or has only white space.
pub(crate) fn variable(name: &str) -> Result<Option<String>, Failure> {
    match env::var(name) {
        Ok(value) if value.trim().is_empty() => Ok(None),
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
