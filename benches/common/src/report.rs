//! The table, and the rows of `summary.json`.

use crate::{
    Failure,
    bars::{self, Bar},
    cell::{Cell, Size},
    figures::{Figures, Pair},
    options::{Cells, Options},
    summary::{self, Row},
};
use std::{fmt, time::Duration};

/// What is special about the rows of a program.
#[derive(Debug, Clone, Copy)]
pub struct Rows {
    /// The figures that have a name of their own, or a bar.
    pub headlines: &'static [Headline],
    /// Names of a cell or row, for a message about names.
    pub examples: &'static str,
}

/// A figure that has a name of its own, or a bar.
#[derive(Debug, Clone, Copy)]
pub struct Headline {
    /// The figure: a path, a metric and a load, such as `nats.p99.1x16B`.
    pub figure: &'static str,
    /// The name of its row.
    pub row: &'static str,
    /// What it has to meet.
    pub bar: Bar,
}

/// Prints measurements as they come, and keeps them for the summary.
#[derive(Debug)]
pub struct Report {
    options: Options,
    rows: Rows,
    pairs: Vec<Pair>,
    /// Rows that aren't about cells.
    others: Vec<(Row, Bar)>,
    /// Rows that can't be measured here, each with the reason.
    left_out: Vec<(String, String)>,
}

impl Report {
    /// Creates a report. Nothing is printed before the first figures.
    pub fn new(options: &Options, rows: Rows) -> Self {
        Self {
            options: options.clone(),
            rows,
            pairs: Vec::new(),
            others: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// Returns the rounds of each side of a cell.
    pub fn rounds(&self) -> usize {
        self.options.rounds
    }

    /// Returns the time of one round of one side.
    pub fn time(&self) -> Duration {
        self.options.time
    }

    /// Returns those cells of a path that were requested, by their own names or by a row's.
    pub fn wanted(&self, cells: Vec<Cell>) -> Vec<Cell> {
        match self.options.cells {
            Cells::All => cells,
            Cells::Smoke => cells.into_iter().take(1).collect(),
            Cells::Only(_) => cells
                .into_iter()
                .filter(|cell| self.wants(&cell.to_string()) || self.wants_row_of(*cell))
                .collect(),
        }
    }

    /// Returns whether a row that isn't about cells was requested.
    pub fn wants(&self, row: &str) -> bool {
        self.options.cells.select(row)
    }

    /// Returns the figures of a cell, if it was measured.
    pub fn pair(&self, cell: Cell) -> Option<&Pair> {
        self.pairs.iter().find(|pair| pair.cell == cell)
    }

    /// Returns whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty() && self.others.is_empty()
    }

    /// Adds a row that isn't about cells. It is printed at the end.
    pub fn add_row(&mut self, row: Row, bar: Bar) {
        self.others.push((row, bar));
    }

    /// Leaves out a row that can't be measured here. The reason is printed at the end.
    pub fn leave_out(&mut self, row: &str, reason: impl fmt::Display) {
        self.left_out.push((row.to_owned(), reason.to_string()));
    }

    /// Prints a line of the table.
    pub fn add(&mut self, pair: Pair) {
        if self.pairs.is_empty() {
            self.print_head();
        }
        let Pair {
            cell,
            ours,
            baseline,
        } = pair;
        let rate = format!(
            "{:>9.0} | {:>9.0} | {:>5.2}",
            ours.rate,
            baseline.rate,
            ours.rate / baseline.rate
        );
        let times = [
            (ours.p50, baseline.p50),
            (ours.p99, baseline.p99),
            (ours.cpu, baseline.cpu),
        ];
        let times = times.map(|(ours, baseline)| {
            format!("{ours:>8.2} | {baseline:>8.2} | {:>5.2}", ours / baseline)
        });
        println!(
            "| {:22} | {:>9} | {:>6} | {rate} | {} |",
            cell.path,
            cell.in_flight,
            Size(cell.size).to_string(),
            times.join(" | ")
        );
        self.pairs.push(pair);
    }

    /// Prints the rows that have a bar or aren't about cells, and those that were left out, and
    /// writes the summary.
    ///
    /// # Errors
    /// Fails when nothing was requested, or the summary can't be written.
    pub fn finish(self) -> Result<(), Failure> {
        if self.is_empty() && self.left_out.is_empty() {
            let examples = self.rows.examples;
            return Err(
                format!("no cell or row has this in its name; names are like {examples}").into(),
            );
        }
        let of_cells = self.pairs.iter().flat_map(|pair| self.rows_of(pair));
        let mut all: Vec<_> = of_cells.collect();
        let is_barred = |(_, bar): &&(Row, Bar)| *bar != Bar::None;
        let mut shown: Vec<_> = all.iter().filter(is_barred).cloned().collect();
        shown.extend(self.others.iter().cloned());
        all.extend(self.others);
        if !shown.is_empty() {
            bars::print(&shown);
        }
        for (row, reason) in &self.left_out {
            println!("\n`{row}` is left out: {reason}");
        }
        let suffix = &self.options.suffix;
        let named = all.into_iter().map(|(row, _)| Row {
            row: row.row + suffix,
            ..row
        });
        let file = &self.options.summary;
        summary::merge(file, &named.collect::<Vec<_>>())?;
        println!("\nwritten to {}", file.display());
        Ok(())
    }

    fn print_head(&self) {
        println!(
            "ours, baseline and their ratio; {} round(s) of {} s per side; times in µs; CPU time is that of all processes, per call\n",
            self.options.rounds,
            self.options.time.as_secs_f64()
        );
        println!(
            "| {:22} | in flight | {:>6} | {:>9} | {:>9} | ratio | {:>8} | {:>8} | ratio | {:>8} | {:>8} | ratio | {:>8} | {:>8} | ratio |",
            "path",
            "size",
            "calls/s",
            "baseline",
            "p50",
            "baseline",
            "p99",
            "baseline",
            "CPU",
            "baseline"
        );
        println!("| --- | --: | --: |{}", " --: | --: | --: |".repeat(4));
    }

    fn rows_of(&self, pair: &Pair) -> [(Row, Bar); 4] {
        METRICS.map(|Metric { name, unit, of }| {
            let (row, bar) = self.named(pair.cell, name);
            let (ours, baseline) = (of(&pair.ours), of(&pair.baseline));
            (Row::new(&row, ours, Some(baseline), unit), bar)
        })
    }

    fn wants_row_of(&self, cell: Cell) -> bool {
        METRICS
            .iter()
            .any(|metric| self.wants(&self.named(cell, metric.name).0))
    }

    /// Returns the name of the row of a figure, and its bar.
    fn named(&self, cell: Cell, metric: &str) -> (String, Bar) {
        let figure = format!("{}.{metric}.{}", cell.path, cell.load());
        let mut headlines = self.rows.headlines.iter();
        match headlines.find(|headline| headline.figure == figure) {
            Some(headline) => (headline.row.to_owned(), headline.bar),
            None => (figure, Bar::None),
        }
    }
}

/// A column of the table.
struct Metric {
    name: &'static str,
    unit: &'static str,
    of: fn(&Figures) -> f64,
}

const METRICS: [Metric; 4] = [
    Metric {
        name: "rate",
        unit: "calls/s",
        of: |figures| figures.rate,
    },
    Metric {
        name: "p50",
        unit: "µs",
        of: |figures| figures.p50,
    },
    Metric {
        name: "p99",
        unit: "µs",
        of: |figures| figures.p99,
    },
    Metric {
        name: "cpu",
        unit: "µs/call",
        of: |figures| figures.cpu,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: Rows = Rows {
        headlines: &[Headline {
            figure: "nats.p99.1x16B",
            row: "nats.slowest",
            bar: Bar::Ratio(1.5),
        }],
        examples: "`nats.64x16B`",
    };

    fn pair(in_flight: usize, p99: f64) -> Pair {
        let figures = |p99| Figures {
            rate: 10.0,
            p50: 2.0,
            p99,
            cpu: 4.0,
        };
        Pair {
            cell: Cell {
                path: "nats",
                in_flight,
                size: 16,
            },
            ours: figures(p99),
            baseline: figures(p99 / 2.0),
        }
    }

    #[test]
    fn rows_have_the_names_of_their_bars_and_end_in_the_name_of_the_build() {
        let directory = tempfile::tempdir().expect("a directory");
        let summary = directory.path().join("summary.json");
        let options = Options {
            suffix: ".careful".to_owned(),
            summary: summary.clone(),
            ..Options::default()
        };
        let mut report = Report::new(&options, ROWS);
        report.add(pair(1, 3.0));
        report.add(pair(64, 8.0));
        report.finish().expect("written");
        let row = |name: &str| summary::row(&summary, name).expect("a summary");
        let named = row("nats.slowest.careful").expect("a row of this name");
        assert_eq!((named.ours, named.baseline), (3.0, Some(1.5)));
        assert!(row("nats.p99.64x16B.careful").is_some());
        assert!(row("nats.rate.1x16B.careful").is_some());
        assert_eq!(row("nats.p99.1x16B.careful"), None, "it has another name");
    }

    #[test]
    fn a_row_that_is_left_out_is_no_failure() {
        let directory = tempfile::tempdir().expect("a directory");
        let options = Options {
            summary: directory.path().join("summary.json"),
            ..Options::default()
        };
        let report = || Report::new(&options, ROWS);
        let nothing = report().finish().expect_err("nothing was measured");
        assert!(nothing.to_string().contains("`nats.64x16B`"), "{nothing}");
        let mut without_server = report();
        without_server.leave_out("kv.rate", "there is no server");
        without_server.finish().expect("it says why");
        let row = summary::row(&options.summary, "kv.rate");
        assert_eq!(row.expect("a summary"), None);
    }

    #[test]
    fn cells_are_selected_by_their_own_names_and_by_those_of_their_rows() {
        let cells = || crate::cell::cells("nats", &[1, 64], &[16]);
        let wanted = |text: &str| {
            let options = Options {
                cells: Cells::Only(vec![text.to_owned()]),
                ..Options::default()
            };
            Report::new(&options, ROWS).wanted(cells()).len()
        };
        for (text, count) in [
            ("nats", 2),
            ("nats.64x16B", 1),
            ("nats.cpu.64x16B", 1),
            ("nats.slowest", 1),
            ("memory", 0),
        ] {
            assert_eq!(wanted(text), count, "{text}");
        }
    }
}
