//! What a guest that panicked has written about it.
//!
//! A Rust guest writes the message of a panic to its standard error and aborts with a trap. The
//! trap itself knows only that, in some frames of the standard library.

use lattice_core::sync::Mutex;
use std::sync::{Arc, MutexGuard};

/// Most bytes that are kept.
const MOST: usize = 1_024;
/// What the line before a message contains; the place of the panic follows.
const AT: &str = "panicked at ";
/// Beginnings of the lines after a message.
const AFTER: [&str; 2] = ["note: run with `RUST_BACKTRACE", "stack backtrace:"];

/// The message of an instance's last panic, as it was written line by line. Cheap to clone; clones
/// share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct PanicText(Arc<Mutex<Written>>);

#[derive(Debug, Default)]
struct Written {
    text: String,
    is_complete: bool,
}

impl PanicText {
    fn lock(&self) -> MutexGuard<'_, Written> {
        self.0.lock()
    }

    /// Takes a line of the standard error.
    pub(crate) fn line(&self, line: &str) {
        let mut written = self.lock();
        if let Some((_, place)) = line.split_once(AT) {
            written.text.clear();
            written.text.push_str(place);
            written.is_complete = false;
        } else if !written.text.is_empty() && !written.is_complete {
            if AFTER.iter().any(|after| line.starts_with(after)) {
                written.is_complete = true;
            } else {
                written.text.push(' ');
                written.text.push_str(line);
            }
        }
        if written.text.len() > MOST {
            let end = written.text.floor_char_boundary(MOST);
            written.text.truncate(end);
            written.text.push('…');
            written.is_complete = true;
        }
    }

    /// The message, with its place in front, if there was a panic.
    pub(super) fn message(&self) -> Option<String> {
        let written = self.lock();
        let text = written.text.trim_end();
        (!text.is_empty()).then(|| text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_the_last_panic_is_kept() {
        let text = PanicText::default();
        text.line("an ordinary line");
        assert_eq!(text.message(), None);
        text.line("thread 'main' panicked at src/first.rs:1:2:");
        text.line("first");
        text.line("thread '<unnamed>' (1) panicked at src/lib.rs:7:9:");
        text.line("no room:");
        text.line("2 left");
        text.line("note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace");
        text.line("not of it");
        let message = text.message();
        assert_eq!(message.as_deref(), Some("src/lib.rs:7:9: no room: 2 left"));
    }

    #[test]
    fn a_long_message_is_cut() {
        let text = PanicText::default();
        text.line("thread 'main' panicked at src/lib.rs:7:9:");
        for _ in 0..100 {
            text.line(&"ä".repeat(50));
        }
        let message = text.message().expect("a message");
        assert!(message.len() <= MOST + '…'.len_utf8(), "{}", message.len());
        assert!(message.ends_with('…'));
    }
}
