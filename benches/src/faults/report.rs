//! The table: each row with its bar, and whether it meets it.

use crate::faults::options::Options;
use crate::{
    Failure,
    summary::{self, Row},
};
use std::path::PathBuf;

/// The bar that a row has to meet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bar {
    /// Ours is at most this.
    AtMost(f64),
    /// The ratio is at most this.
    Ratio(f64),
    /// The ratio is at most the first value, or ours exceeds the baseline by at most the second.
    RatioOrMore(f64, f64),
    /// No bar: the row explains another one.
    None,
}

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
        println!(
            "\n| {:28} | {:>10} | {:>10} | {:>7} | {:5} | {:>18} |        |",
            "row", "ours", "baseline", "ratio", "unit", "bar"
        );
        println!("| --- | --: | --: | --: | --- | --: | --- |");
        for (row, bar) in &self.rows {
            let number =
                |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
            println!(
                "| {:28} | {:>10} | {:>10} | {:>7} | {:5} | {:>18} | {:6} |",
                row.row,
                number(Some(row.ours)),
                number(row.baseline),
                number(row.ratio),
                row.unit,
                bar.text(),
                bar.verdict(row)
            );
        }
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

impl Bar {
    fn text(self) -> String {
        match self {
            Self::AtMost(most) => format!("≤ {most}"),
            Self::Ratio(most) => format!("ratio ≤ {most}"),
            Self::RatioOrMore(most, more) => format!("ratio ≤ {most}, or +{more}"),
            Self::None => String::new(),
        }
    }

    fn verdict(self, row: &Row) -> &'static str {
        let met = match self {
            Self::AtMost(most) => row.ours <= most,
            Self::Ratio(most) => row.ratio.is_some_and(|ratio| ratio <= most),
            Self::RatioOrMore(most, more) => {
                row.ratio.is_some_and(|ratio| ratio <= most)
                    || row
                        .baseline
                        .is_some_and(|baseline| row.ours <= baseline + more)
            }
            Self::None => return "",
        };
        if met { "pass" } else { "MISSED" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_met_or_missed() {
        let row = |ours, baseline| Row::new("r", ours, baseline, "ms");
        for (bar, row, verdict) in [
            (Bar::AtMost(0.0), row(0.0, Some(9.0)), "pass"),
            (Bar::AtMost(0.0), row(1.0, None), "MISSED"),
            (Bar::AtMost(5.0), row(f64::NAN, None), "MISSED"),
            (Bar::Ratio(1.5), row(3.0, Some(2.0)), "pass"),
            (Bar::Ratio(1.5), row(3.1, Some(2.0)), "MISSED"),
            (Bar::Ratio(1.5), row(0.0, None), "MISSED"),
            (Bar::RatioOrMore(1.5, 2.0), row(3.0, Some(1.0)), "pass"),
            (Bar::RatioOrMore(1.5, 2.0), row(3.1, Some(1.0)), "MISSED"),
            (Bar::None, row(1.0, None), ""),
        ] {
            assert_eq!(bar.verdict(&row), verdict, "{bar:?} {row:?}");
        }
    }
}
