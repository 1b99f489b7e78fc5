//! Prints to stdout.

use crate::{
    failure::Failure,
    secrets,
    words::{for_terminal, harmless_json, in_commands, is_control},
};
use clap::ValueEnum;
use std::{
    env, fmt,
    io::{self, ErrorKind, IsTerminal as _, Write as _},
};

/// How a list is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns, for people.
    #[default]
    Table,
    /// JSON, for programs.
    Json,
}

/// Prints a text. Fails with [`Failure::ReaderLeft`] when the reader has closed its end, as `head`
/// does.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::ReaderLeft),
        Err(error) => Err(Failure::failed("the output can't be written", &error)),
    }
}

/// Prints a text of the library, which may contain text of guests and peers.
pub(crate) fn print_text(text: &str) -> Result<(), Failure> {
    print(&for_terminal(text))
}

/// Prints JSON and ends the line.
pub(crate) fn print_json(json: &impl fmt::Display) -> Result<(), Failure> {
    print(&format!("{}\n", harmless_json(&json.to_string())))
}

/// Waits until the reader of stdout has closed its end. Without this, a command with nothing to
/// print would not notice it. Never returns where it can't be detected, such as for a file.
pub(crate) async fn reader_left() {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd as _;
        use tokio::{io::Interest, net::unix::pipe::Sender};
        let out = io::stdout().as_fd().try_clone_to_owned();
        // A file can't be polled, and has no reader that closes its end. Nothing is written here,
        // so the descriptor may stay in blocking mode.
        if let Ok(out) = out.and_then(Sender::from_owned_fd_unchecked)
            && out.ready(Interest::ERROR).await.is_ok()
        {
            return;
        }
    }
    std::future::pending().await
}

/// Prints a note to stderr. If it can't be written there, it is lost and the command continues.
pub(crate) fn note(text: &str) {
    let text = secrets::without_logins(text, secrets::words());
    let _ = writeln!(io::stderr().lock(), "{}", for_terminal(&text));
}

/// The widest cell to which the other cells of its column are aligned. A wider cell shifts only the
/// rest of its own row.
const WIDEST: usize = 100;

/// A colour of a line.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Colour {
    Red,
    Green,
    Yellow,
}

/// Whether lines are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    Coloured,
    Plain,
}

impl Paint {
    /// Returns colours if stdout is a terminal, unless `NO_COLOR` is set.
    pub(crate) fn for_stdout() -> Self {
        let is_unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if io::stdout().is_terminal() && !is_unwanted {
            Self::Coloured
        } else {
            Self::Plain
        }
    }

    pub(crate) fn paint(self, colour: Colour, text: &str) -> String {
        let code = match colour {
            Colour::Red => 31,
            Colour::Green => 32,
            Colour::Yellow => 33,
        };
        match self {
            Self::Coloured => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            Self::Plain => text.to_owned(),
        }
    }
}

/// Prints rows under their headings.
pub(crate) fn print_rows(
    headings: &[&'static str],
    rows: &[Vec<String>],
    format: Format,
) -> Result<(), Failure> {
    match format {
        Format::Table => print(&table(headings, rows)),
        Format::Json => print_json(&json(headings, rows)),
    }
}

fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let titles: Vec<String> = headings.iter().map(|title| title.to_uppercase()).collect();
    let lines: Vec<Vec<String>> = std::iter::once(&titles)
        .chain(rows)
        .map(|row| row.iter().map(|text| cell(text)).collect())
        .collect();
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        let widths = cells.map(|cell| cell.chars().count());
        widths.filter(|width| *width <= WIDEST).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let text = lines.iter().map(|line| {
        let cells = line.iter().zip(&widths);
        let padded: Vec<String> = cells
            .map(|(cell, width)| {
                cell.clone() + &" ".repeat(width.saturating_sub(cell.chars().count()))
            })
            .collect();
        format!("{}\n", padded.join("   ").trim_end())
    });
    text.collect()
}

/// Returns a text as a cell of a table.
fn cell(text: &str) -> String {
    if text.is_empty() {
        return "-".to_owned();
    }
    in_one_line(text)
}

/// Returns a text of the library on one line, in the words of this command.
pub(crate) fn in_one_line(text: &str) -> String {
    on_one_line(&in_commands(text))
}

/// Returns an untrusted text on one line, without characters that move the cursor.
pub(crate) fn on_one_line(text: &str) -> String {
    text.chars()
        .map(|c| if is_control(c) { ' ' } else { c })
        .collect()
}

fn json(headings: &[&str], rows: &[Vec<String>]) -> String {
    let objects = rows.iter().map(|row| {
        let fields = headings.iter().zip(row);
        let fields = fields.map(|(name, cell)| ((*name).to_owned(), cell.clone().into()));
        serde_json::Value::Object(fields.collect())
    });
    format!("{:#}", serde_json::Value::Array(objects.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Vec<String>> {
        vec![
            vec!["größe".to_owned(), "1".to_owned()],
            vec!["a".to_owned(), String::new()],
            vec!["b\u{1b}[2J\n".to_owned(), "3".to_owned()],
        ]
    }

    #[test]
    fn columns_are_aligned_and_control_characters_are_removed() {
        let expected = "NAME     COUNT\ngröße    1\na        -\nb [2J    3\n";
        assert_eq!(table(&["name", "count"], &rows()), expected);
    }

    #[test]
    fn a_wide_cell_shifts_only_its_own_row() {
        for width in [WIDEST + 1, 70_000, 1 << 20] {
            let wide = "x".repeat(width);
            let rows = [["a", "1"], [&wide, "2"]].map(|row| row.map(str::to_owned).to_vec());
            let text = table(&["name", "count"], &rows);
            assert_eq!(text, format!("NAME   COUNT\na      1\n{wide}   2\n"));
        }
    }

    #[test]
    fn json_has_every_cell_unchanged() {
        let text = json(&["name", "count"], &rows());
        let read: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(read[0]["name"], "größe");
        assert_eq!(read[2]["name"], "b\u{1b}[2J\n");
        assert_eq!(json(&["name"], &[]), "[]");
    }
}
