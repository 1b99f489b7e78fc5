//! Errors of the command line, and help.

use crate::{
    output,
    secrets::{without_secrets, words},
    words::for_terminal,
};
use std::{
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
        let text = without_secrets(&text, words());
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
            vec!["lattice", "get", "hosts", "-onats://joe:s3cret@host"],
        ] {
            let error = crate::Cli::try_parse_from(&line).expect_err("wrong");
            let words = line.iter().map(|word| (*word).to_owned());
            let text = without_secrets(&error.render().to_string(), words);
            assert!(!text.contains("s3cret") && !text.contains(&key), "{text}");
            assert!(text.starts_with("error: "), "{text}");
        }
    }
}
