//! Errors as text.

use std::error::Error;

/// Returns an error and its causes in one line, separated by colons.
///
/// A cause is left out if the text ends with it already: transparent errors have the message of
/// their source, and some messages repeat it.
pub fn chain(error: &(dyn Error + '_)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("no connection to `db`")]
    struct Outer(#[source] std::io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error(transparent)]
    struct Transparent(Outer);

    #[test]
    fn causes_are_appended_without_repetition() {
        let error = Transparent(Outer(std::io::Error::other("timed out")));
        assert_eq!(chain(&error), "no connection to `db`: timed out");
    }
}
