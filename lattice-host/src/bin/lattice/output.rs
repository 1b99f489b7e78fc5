//! What goes to stdout.

use crate::failure::Failure;
use clap::ValueEnum;
use std::io::{self, ErrorKind, Write as _};

/// How a list is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns, for people.
    #[default]
    Table,
    /// JSON, for programs.
    Json,
}

/// Prints a text. A reader that has gone away, as `head` does, has what it wanted.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::failed("the output can't be written", &error))
        }
        _ => Ok(()),
    }
}

/// Prints rows under their headings.
pub(crate) fn print_rows(
    headings: &[&'static str],
    rows: &[Vec<String>],
    format: Format,
) -> Result<(), Failure> {
    print(&match format {
        Format::Table => table(headings, rows),
        Format::Json => json(headings, rows),
    })
}

fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let titles: Vec<String> = headings.iter().map(|title| title.to_uppercase()).collect();
    let lines: Vec<Vec<String>> = std::iter::once(&titles)
        .chain(rows)
        .map(|row| row.iter().map(|cell| on_one_line(cell)).collect())
        .collect();
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let text = lines.iter().map(|line| {
        let cells = line.iter().zip(&widths);
        let padded: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        format!("{}\n", padded.join("   ").trim_end())
    });
    text.collect()
}

/// Others wrote these texts: nothing in them may move the cursor.
fn on_one_line(cell: &str) -> String {
    if cell.is_empty() {
        return "-".to_owned();
    }
    cell.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn json(headings: &[&str], rows: &[Vec<String>]) -> String {
    let objects = rows.iter().map(|row| {
        let fields = headings.iter().zip(row);
        let fields = fields.map(|(name, cell)| ((*name).to_owned(), cell.clone().into()));
        serde_json::Value::Object(fields.collect())
    });
    format!("{:#}\n", serde_json::Value::Array(objects.collect()))
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
    fn columns_are_aligned_and_control_characters_do_nothing() {
        let expected = "NAME     COUNT\ngröße    1\na        -\nb [2J    3\n";
        assert_eq!(table(&["name", "count"], &rows()), expected);
    }

    #[test]
    fn json_holds_every_cell_as_it_is() {
        let text = json(&["name", "count"], &rows());
        let read: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(read[0]["name"], "größe");
        assert_eq!(read[2]["name"], "b\u{1b}[2J\n");
        assert_eq!(json(&["name"], &[]), "[]\n");
    }
}
