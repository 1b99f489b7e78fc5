//! The rows of all scenarios, each with its bar.

use crate::faults::options::Options;
use crate::{
    Failure, bars,
    summary::{self, Row},
};
use std::path::PathBuf;

pub(crate) use crate::bars::Bar;

/// Prints measurements as they come, and keeps them for the summary.
pub(crate) struct Report {
    rows: Vec<(Row, Bar)>,
    summary: PathBuf,
}

impl Report {
    pub(crate) fn new(options: &Options) -> Self {
        println!("the result of each round; the table is at the end\n");
        Self {
            rows: Vec::new(),
            summary: options.summary.clone(),
        }
    }

    pub(crate) fn add(&mut self, row: Row, bar: Bar) {
        self.rows.push((row, bar));
    }

    /// Prints the table and writes the summary.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        if self.rows.is_empty() {
            return Err("no scenario has this name; names are like `fault.kill`".into());
        }
        bars::print(&self.rows);
        let rows: Vec<_> = self.rows.into_iter().map(|(row, _)| row).collect();
        summary::merge(&self.summary, &rows)?;
        println!("\nwritten to {}", self.summary.display());
        Ok(())
    }
}

/// Prints a line about a round.
pub(crate) fn note(what: &str) {
    println!("{what}");
}
