//! Errors of the command line, and help.

use crate::{output, words::for_terminal};
use std::{
    env,
    io::{self, IsTerminal as _},
    process::ExitCode,
};

/// Prints help or an error, and returns the exit code. A value that could be a secret in the wrong
/// place is not repeated.
pub(crate) fn explain(error: &clap::Error) -> ExitCode {
    let rendered = error.render();
    let is_terminal = if error.use_stderr() {
        io::stderr().is_terminal()
    } else {
        io::stdout().is_terminal()
    };
    let text = if is_terminal {
        rendered.ansi().to_string()
    } else {
        rendered.to_string()
    };
    if error.use_stderr() {
        let words = env::args_os().skip(1);
        let words = words.map(|word| word.to_string_lossy().into_owned());
        let text = without_secrets(&text, words);
        // Colours are only used on a terminal, and values are already quoted here.
        let text = if is_terminal {
            text
        } else {
            for_terminal(&text)
        };
        // If stderr can't be written to, the error can't be reported.
        let _ = io::Write::write_all(&mut io::stderr(), text.as_bytes());
    } else {
        // If the reader has closed its end, nothing is left to do.
        let _ = output::print(&text);
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// Returns the text without the words of the command line that may contain a secret.
fn without_secrets(text: &str, words: impl Iterator<Item = String>) -> String {
    let mut text = text.to_owned();
    for word in words {
        let value = match word.split_once('=') {
            Some((option, value)) if option.starts_with("--") => value,
            _ => &word,
        };
        if may_be_secret(value) {
            text = text.replace(value, "…");
        }
    }
    text
}

/// URLs may have a password, and long words of letters and digits may be keys, seeds or tokens.
fn may_be_secret(word: &str) -> bool {
    let is_key = word.len() >= 32
        && word
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_=+/".contains(&b));
    word.contains("://") || word.contains('@') || is_key
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[test]
    fn a_secret_in_the_wrong_place_is_not_repeated() {
        let key = "0a".repeat(32);
        for line in [
            vec!["lattice", "get", "nats://joe:s3cret@host"],
            vec!["lattice", "get", "joe:s3cret@host"],
            vec!["lattice", "get", "hosts", "--nat=nats://joe:s3cret@host"],
            vec!["lattice", "up", "--label", "nats://joe:s3cret"],
            vec!["lattice", "up", &key],
        ] {
            let error = crate::Cli::try_parse_from(&line).expect_err("wrong");
            let words = line.iter().map(|word| (*word).to_owned());
            let text = without_secrets(&error.render().to_string(), words);
            assert!(!text.contains("s3cret") && !text.contains(&key), "{text}");
            assert!(text.starts_with("error: "), "{text}");
        }
    }
}
